//! What `watch` is asked for.

use std::time::Duration;

use super::Sort;
use crate::{
    drift::{behaviour::Precisions, sample::Row},
    output::{Columns, Format, Look, OutputSpec},
    proc::{Precision, Source, Wanted},
    select::Criteria,
    session::Mode,
};

#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub mode: Mode,
    /// Only these processes, each of them; `watch` ends when the last of them does. Empty: all.
    pub pids: Vec<u32>,
    /// What else selects processes.
    pub criteria: Criteria,
    /// The most rows of the table; `None`: every selected process.
    pub limit: Option<usize>,
    /// The same of the outputs for machines.
    pub machine_limit: Option<usize>,
    pub sort: Sort<Row>,
    pub interval: Duration,
    pub count: Option<u64>,
    pub duration: Option<Duration>,
    /// The file whose figure is the reported one.
    pub source: Source,
    /// Walk the page tables of the processes shown.
    pub resident: bool,
    /// Show who holds the pages that the global counts lack (`--where`).
    pub holders: bool,
    /// What the rows are, and the columns of tables.
    pub columns: Columns,
    /// What tables look like.
    pub look: Look,
    /// A level that the verdict compares with, in bytes (`--near`).
    pub near: Option<u64>,
    pub outputs: Vec<OutputSpec>,
    /// How long a lock of another process on an output is waited for.
    pub lock_timeout: Duration,
    /// The share of the host's CPU time that the BPF programs may take, in percent.
    pub max_overhead: f64,
}

/// Fields that tell what changed while /proc was read: who sorts by them wants it read.
const BETWEEN_READINGS: &[&str] = &["moved_bytes", "uncertainty_bytes", "uncertainty"];

impl Options {
    /// Whether any column has the figure of `stat`.
    fn shows_stat(&self) -> bool {
        let Columns::Processes(fields) = &self.columns;
        let mut shown = fields.iter().flatten().chain([&self.sort.field]);
        self.source == Source::Stat || shown.any(|field| field.name == "stat_bytes")
    }

    /// What of /proc the outputs need: each file costs as much as reading all counters of a process.
    pub(super) fn wanted(&self, precisions: Precisions) -> Wanted {
        let asked = Wanted { resident: self.resident, ..Wanted::NOTHING };
        if self.has_machine_output() {
            return asked.and(Wanted { cgroup: true, ..Wanted::default() }).and(self.sort.field.files());
        }
        let Columns::Processes(fields) = &self.columns;
        let shown = fields.iter().flatten().map(|field| field.files());
        let wanted = shown.fold(asked.and(self.sort.field.files()), Wanted::and);
        // The record has what an approximate `stat` prints.
        let in_record = precisions.stat == Precision::Approximate;
        let stat = self.shows_stat() && (!in_record || BETWEEN_READINGS.contains(&self.sort.field.name));
        let source = if self.source == Source::Stat { Wanted::NOTHING } else { Wanted::only(self.source) };
        Wanted { stat: wanted.stat || stat, ..wanted.and(source) }
    }

    /// The most rows that any output takes; `None`: every selected process.
    pub(super) fn most_rows(&self) -> Option<usize> {
        if self.has_machine_output() { self.machine_limit } else { self.limit }
    }

    fn has_machine_output(&self) -> bool {
        self.outputs.iter().any(|output| output.format != Format::Table)
    }
}
