//! What `run` is asked for.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use super::User;
use crate::{
    output::Target,
    probe::{FullOptions, Scope},
};

#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub command: Vec<OsString>,
    /// Who the command is to be; `None`: who rss-drift is.
    pub user: Option<User>,
    /// The share of the host's CPU time that the BPF programs may take, in percent; `None`: what they need.
    pub max_overhead: Option<f64>,
    /// Show no line on a terminal while the command runs.
    pub no_progress: bool,
    /// Whom to measure.
    pub scope: Scope,
    /// When a run ends.
    pub until: Until,
    /// How long the command may take to end after a signal until it is killed; `None`: as long as it needs.
    pub kill_after: Option<Duration>,
    /// How often to run the command.
    pub repeat: u32,
    pub full: FullOptions,
    /// How often to sample drift.
    pub interval: Duration,
    /// A |drift| of this many bytes or more counts as above the threshold.
    pub threshold: u64,
    /// How many call chains of misses to print.
    pub misses: usize,
    /// The file for all call chains of misses.
    pub folded: Option<PathBuf>,
    pub format: Format,
    /// What the report is appended to; `None`: standard error.
    pub output: Option<Target>,
    /// How long a lock of another process on it is waited for.
    pub lock_timeout: Duration,
}

/// When a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// With the command.
    Command,
    /// With the last of its descendants.
    LastDescendant,
}

/// How a report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    /// One JSON object in one line.
    Json,
    /// RFC 4180: one row per run.
    Csv,
}
