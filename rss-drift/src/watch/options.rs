//! What `watch` is asked for.

use std::time::Duration;

use crate::{
    output::{Format, OutputSpec},
    proc::Source,
    session::Mode,
    table::Field,
};

#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub mode: Mode,
    /// Only these processes, each of them; `watch` ends when the last of them does. Empty: all.
    pub pids: Vec<u32>,
    /// Only processes of these names. Empty: all.
    pub comms: Vec<String>,
    /// The most rows of the table; `None`: every selected process.
    pub limit: Option<usize>,
    /// The same of the outputs for machines.
    pub machine_limit: Option<usize>,
    pub sort: Sort,
    pub interval: Duration,
    pub count: Option<u64>,
    pub duration: Option<Duration>,
    /// The file whose figure is the reported one.
    pub source: Source,
    /// Walk the page tables of the processes shown.
    pub resident: bool,
    /// Show who holds the pages that the global counts lack (`--where`).
    pub holders: bool,
    /// Columns of the table; `None`: the default ones.
    pub columns: Option<Vec<&'static Field>>,
    pub outputs: Vec<OutputSpec>,
    /// How long a lock of another process on an output is waited for.
    pub lock_timeout: Duration,
    /// The share of the host's CPU time that the BPF programs may take, in percent.
    pub max_overhead: f64,
}

/// An order of rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sort {
    pub field: &'static Field,
    pub reverse: bool,
}

impl Options {
    /// Whether the table shows or sorts by this field.
    pub(super) fn shows(&self, name: &str) -> bool {
        let column = self.columns.iter().flatten().any(|field| field.name == name);
        column || self.sort.field.name == name
    }

    /// Whether any output has the cgroup: reading it costs a file more per process.
    pub(super) fn wants_cgroup(&self) -> bool {
        self.shows("cgroup") || self.has_machine_output()
    }

    /// The most rows that any output takes; `None`: every selected process.
    pub(super) fn most_rows(&self) -> Option<usize> {
        if self.has_machine_output() { self.machine_limit } else { self.limit }
    }

    fn has_machine_output(&self) -> bool {
        self.outputs.iter().any(|output| output.format != Format::Table)
    }
}
