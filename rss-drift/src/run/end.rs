//! The end of a run that a signal asks for: the command is waited for, killed after a time, or left.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::child::Child;

/// How long the command may take to end after a signal until the user is told that it is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// The end of a run that a signal asks for.
#[derive(Debug, Default)]
pub(super) struct End {
    /// A signal has come.
    asked: bool,
    /// When the user is told that the command is waited for.
    notice: Option<Instant>,
    /// When the command is killed.
    kill: Option<Instant>,
    /// Nobody waits for the command any more.
    pub left: bool,
}

impl End {
    /// A signal asks the command to end. It may take its time, as with `perf stat`; the second signal is not for it, but for us.
    pub(super) fn asked(&mut self, kill_after: Option<Duration>) {
        if self.asked {
            self.left = true;
            return;
        }
        self.asked = true;
        let now = Instant::now();
        self.notice = Some(now + PATIENCE);
        self.kill = kill_after.map(|time| now + time);
    }

    /// Does what is due.
    pub(super) fn time_is_over(&mut self, child: &Child) {
        let now = Instant::now();
        if take_due(&mut self.kill, now) {
            child.signal(Signal::SIGKILL);
        }
        if take_due(&mut self.notice, now) {
            log::warn!("waiting for the command to end; another signal ends rss-drift without it");
        }
    }

    /// When there is something to do next.
    pub(super) fn next(&self) -> Option<Instant> {
        [self.notice, self.kill].into_iter().flatten().min()
    }
}

/// Whether it is time; only once.
fn take_due(at: &mut Option<Instant>, now: Instant) -> bool {
    at.take_if(|at| *at <= now).is_some()
}
