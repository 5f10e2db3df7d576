//! How a run goes, from the start of the command on.

use std::{
    io,
    time::{Duration, Instant, SystemTime},
};

use nix::sys::signal::Signal;

use super::{
    FAILURE,
    child::Ended,
    code_of,
    opened::{Opened, Openings},
    report::Report,
    samples::Samples,
};
use crate::{kernel::symbols::Symbols, session::OverheadGuard};

pub(super) struct Course {
    pub began: SystemTime,
    pub clock: Instant,
    pub duration: Duration,
    pub ended: Option<Ended>,
    /// The signal that ended the run.
    pub signal: Option<Signal>,
    pub samples: Samples,
    /// Page faults that all who lived had before, with `--system`.
    pub faults_before: Option<u64>,
    /// Counts openings of files of /proc, where that can be had; the report takes it.
    pub opened: Option<io::Result<Opened>>,
    /// The kernel's functions; the report takes them.
    pub symbols: Option<Result<Symbols, String>>,
    pub guard: Option<OverheadGuard>,
    /// The report of the time that was measured, where the guard has ended that before the command did.
    pub stopped: Option<Box<Report>>,
}

impl Course {
    /// Begins now.
    pub(super) fn begin(
        symbols: Result<Symbols, String>,
        opened: io::Result<Opened>,
        limit: Option<f64>,
    ) -> Self {
        Self {
            began: SystemTime::now(),
            clock: Instant::now(),
            duration: Duration::ZERO,
            ended: None,
            signal: None,
            samples: Samples::default(),
            faults_before: None,
            opened: Some(opened),
            symbols: Some(symbols),
            guard: limit.map(OverheadGuard::new),
            stopped: None,
        }
    }

    /// The exit status: the command's own; after Ctrl-C, or where the command did not heed a signal, that of the signal.
    pub(super) fn code(&self) -> u8 {
        match (self.signal, self.ended) {
            (Some(signal @ Signal::SIGINT), _) | (Some(signal), None) => code_of(signal),
            (_, Some(ended)) => ended.code(),
            (None, None) => FAILURE,
        }
    }

    /// What the BPF programs took when they were measured last, in percent of the host's CPU time.
    pub(super) fn overhead(&self) -> Option<f64> {
        self.guard.as_ref().and_then(OverheadGuard::share)
    }

    /// Ends the count of openings.
    pub(super) fn openings(&mut self) -> Result<Openings, String> {
        let opened = self.opened.take().unwrap_or_else(|| Err(io::Error::other("not counted")));
        opened.map(Opened::end).map_err(|error| error.to_string())
    }
}
