//! The line on a terminal while the command runs.

use std::{
    env,
    io::{self, IsTerminal as _},
    mem,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd},
    time::Duration,
};

use nix::{
    sys::termios::{LocalFlags, tcgetattr},
    unistd::{getpgrp, tcgetpgrp},
};

use super::Options;
use crate::output::{stderr, table::window_width};

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

/// A line that is written over; nothing where standard error is no terminal that can do that, or the report goes to a file.
#[derive(Debug)]
pub(super) struct Progress {
    shown: bool,
    terminal: bool,
}

impl Progress {
    pub(super) fn new(options: &Options) -> Self {
        let dumb = env::var_os("TERM").is_some_and(|name| name == "dumb");
        let wanted = !options.no_progress && options.output.is_none() && !dumb;
        Self { shown: false, terminal: wanted && io::stderr().is_terminal() }
    }

    /// Whether there is somebody to show it to, and the terminal is not the command's.
    pub(super) fn is_wanted(&mut self) -> bool {
        if !self.terminal {
            return false;
        }
        let free = !is_taken(io::stderr().as_fd());
        // What the command has on the screen is not to be cleared.
        self.shown &= free;
        free
    }

    /// Shows it. A terminal that is gone is nobody.
    pub(super) fn show(&mut self, now: Now) {
        if self.terminal {
            // One that is too long would go on in the next line, and stay.
            let columns = window_width(io::stderr().as_raw_fd()).unwrap_or(80);
            let line: String = line(now).chars().take(columns.saturating_sub(1)).collect();
            stderr::show(&format!("\r{line}\x1b[K"));
            self.shown = true;
        }
    }

    /// Takes the line away.
    pub(super) fn take_away(&mut self) {
        if mem::take(&mut self.shown) {
            stderr::say("\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.take_away();
    }
}

/// Whether a program reads the keys of this terminal itself (an editor, a pager, a password's prompt), or another process group has the
/// terminal in the foreground (a shell's jobs).
fn is_taken(terminal: BorrowedFd<'_>) -> bool {
    let line_by_line = LocalFlags::ICANON | LocalFlags::ECHO;
    let keys = tcgetattr(terminal).is_ok_and(|now| !now.local_flags.contains(line_by_line));
    // Not known where it is not the terminal that controls us.
    keys || tcgetpgrp(terminal).is_ok_and(|group| group != getpgrp())
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
