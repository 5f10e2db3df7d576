//! The table for people: on a terminal, in a pipe or in a text file.

use std::{
    collections::HashMap,
    env,
    fs::File,
    os::fd::{AsRawFd as _, RawFd},
};

use super::{Block, Detail, FinalSummary, Reported, Target, encoder::Encoder};
use crate::table::{Column, Units, default_fields};

mod check;
mod head;
mod holders;
mod layout;
mod lines;
mod render;

pub(crate) use holders::lines as holder_lines;
pub(crate) use lines::clock;
pub use render::{render, render_summary};

/// A terminal narrower than this is treated as if it were so wide: the shortest column has to fit.
pub const MIN_WIDTH: usize = 24;

/// What was asked for of every table, beside its columns.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Units of sizes; `None`: for people on a terminal, else bare KiB.
    pub units: Option<Units>,
    pub detail: Detail,
}

/// How a table of records `R` looks.
#[derive(Debug)]
pub struct View<R: 'static> {
    /// The columns.
    pub fields: Vec<&'static Column<R>>,
    /// Whether optional columns, which most reports leave empty, are left out of a block in which they would be.
    pub hide_empty: bool,
    /// Columns of the terminal; `None` is unlimited.
    pub width: Option<usize>,
    /// Whether escape codes for bold and colour may be written.
    pub colour: bool,
    /// Units of sizes.
    pub units: Units,
    /// How much is told of rss-drift itself, and of how drift is distributed.
    pub detail: Detail,
    /// The widest that each column was so far, by its name: columns stay where they are from report to report.
    widest: HashMap<&'static str, usize>,
}

impl<R: Reported> View<R> {
    /// Unlimited, in bare KiB and without colour; `None` are the default columns, where an empty `resident` or `note` is left out.
    #[must_use]
    pub fn plain(fields: Option<&[&'static Column<R>]>) -> Self {
        Self::new(fields, Units::Kib, Detail::Happened)
    }

    /// In these units.
    fn new(fields: Option<&[&'static Column<R>]>, units: Units, detail: Detail) -> Self {
        Self {
            fields: fields.map_or_else(|| default_fields(units), <[_]>::to_vec),
            hide_empty: fields.is_none(),
            width: None,
            colour: false,
            units,
            detail,
            widest: HashMap::new(),
        }
    }
}

/// A table as an output.
#[derive(Debug)]
pub(super) struct Table<R: 'static> {
    view: View<R>,
    /// The terminal that it goes to, if it goes to one.
    terminal: Option<File>,
}

impl<R: Reported> Table<R> {
    /// A table of these columns, or the default ones, with this look.
    pub(super) fn new(
        target: &Target,
        terminal: Option<File>,
        fields: Option<&[&'static Column<R>]>,
        look: Look,
    ) -> Self {
        let usual = if terminal.is_some() { Units::Human } else { Units::Kib };
        let mut view = View::new(fields, look.units.unwrap_or(usual), look.detail);
        view.colour = terminal.is_some() && colour_is_welcome(|name| env::var(name).ok());
        // As ps: what runs us in a pipe of its own (watch(1)) says by COLUMNS how much it can show.
        if *target == Target::Stdout {
            view.width = columns(env::var("COLUMNS").ok().as_deref());
        }
        Self { view, terminal }
    }

    /// The view of this moment: a terminal's window may have changed.
    fn refresh(&mut self) {
        if let Some(width) = self.terminal.as_ref().and_then(|terminal| window_width(terminal.as_raw_fd())) {
            self.view.width = Some(width);
        }
    }
}

impl<R: Reported> Encoder for Table<R> {
    fn block(&mut self, block: &Block<'_>) -> (Vec<u8>, u64) {
        self.refresh();
        (render(block, &mut self.view).into_bytes(), R::shown(block).len() as u64)
    }

    fn finish(&mut self, summary: &FinalSummary<'_>) -> Vec<u8> {
        self.refresh();
        render_summary(summary, &self.view).into_bytes()
    }
}

/// Whether the user wants colour on a terminal (<https://no-color.org>: any value but the empty one says no).
fn colour_is_welcome(variable: impl Fn(&str) -> Option<String>) -> bool {
    variable("NO_COLOR").is_none_or(|value| value.is_empty())
        && variable("TERM").is_none_or(|term| term != "dumb")
}

/// The width that the variable COLUMNS gives; nonsense is no width.
fn columns(variable: Option<&str>) -> Option<usize> {
    variable?.trim().parse().ok().filter(|&columns| columns > 0)
}

/// Columns of the terminal behind a descriptor; `None` where it does not know.
pub(crate) fn window_width(terminal: RawFd) -> Option<usize> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ writes one winsize to the address that it is given, and that is where `size` lies.
    let result = unsafe { libc::ioctl(terminal, libc::TIOCGWINSZ, &raw mut size) };
    (result == 0 && size.ws_col > 0).then_some(size.ws_col.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_is_refused_by_a_variable_that_says_something() {
        let with = |name: &'static str, value: &'static str| {
            colour_is_welcome(move |asked| (asked == name).then(|| value.to_owned()))
        };
        assert!(with("TERM", "xterm"));
        assert!(with("NO_COLOR", ""));
        assert!(!with("NO_COLOR", "1"));
        assert!(!with("TERM", "dumb"));
    }

    #[test]
    fn nonsense_is_no_width() {
        assert_eq!(columns(Some("80")), Some(80));
        for nonsense in [None, Some(""), Some("0"), Some("wide"), Some("-1")] {
            assert_eq!(columns(nonsense), None);
        }
    }
}
