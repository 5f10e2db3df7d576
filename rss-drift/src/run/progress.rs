//! The line on a terminal while the command runs.

use std::{
    io::{self, IsTerminal as _, Write as _},
    os::fd::AsRawFd as _,
    time::Duration,
};

use crate::output::table::window_width;

/// What the line says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    /// Since the command began.
    pub elapsed: Duration,
    /// Page faults of all so far.
    pub faults: u64,
    /// RSS of all measured processes that live, in bytes. Pages that several share count for each.
    pub rss: u64,
    /// The largest true peak of a process so far, in bytes.
    pub peak: u64,
}

/// A line that is written over; nothing where standard error is no terminal.
#[derive(Debug)]
pub(super) struct Progress {
    shown: bool,
    terminal: bool,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self { shown: false, terminal: io::stderr().is_terminal() }
    }

    /// Whether there is somebody to show it to.
    pub(super) const fn is_wanted(&self) -> bool {
        self.terminal
    }

    /// Shows it. A terminal that is gone is nobody.
    pub(super) fn show(&mut self, now: Now) {
        if self.terminal {
            // One that is too long would go on in the next line, and stay.
            let columns = window_width(io::stderr().as_raw_fd()).unwrap_or(80);
            let line: String = line(now).chars().take(columns.saturating_sub(1)).collect();
            let _ = write!(io::stderr(), "\r{line}\x1b[K");
            self.shown = true;
        }
    }
}

impl Drop for Progress {
    /// Takes the line away.
    fn drop(&mut self) {
        if self.shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

fn line(now: Now) -> String {
    format!(
        " {:.1} s, {} page faults, RSS {} KiB, largest peak {} KiB",
        now.elapsed.as_secs_f64(),
        now.faults,
        now.rss / 1024,
        now.peak / 1024
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line() {
        let now = Now { elapsed: Duration::from_millis(1240), faults: 12, rss: 4096, peak: 1 << 20 };
        assert_eq!(line(now), " 1.2 s, 12 page faults, RSS 4 KiB, largest peak 1024 KiB");
    }
}
