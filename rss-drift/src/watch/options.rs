//! What `watch` is asked for.

use std::time::Duration;

use super::{Condition, Sort};
use crate::{
    drift::{behaviour::Precisions, by::By, groups::Aggregate, sample::Row},
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
    pub shape: Shape,
    pub interval: Duration,
    pub count: Option<u64>,
    pub duration: Option<Duration>,
    /// The file whose figure is the reported one.
    pub source: Source,
    /// Walk the page tables of the processes shown.
    pub resident: bool,
    /// Show who holds the pages that the global counts lack (`--where`).
    pub holders: bool,
    /// The columns of tables, of what the rows are.
    pub columns: Columns,
    /// What tables look like.
    pub look: Look,
    /// A level that the verdict compares with, in bytes (`--near`).
    pub near: Option<u64>,
    /// What ends it with a status of its own (`--fail-if`).
    pub fail_if: Vec<Condition>,
    pub outputs: Vec<OutputSpec>,
    /// How long a lock of another process on an output is waited for.
    pub lock_timeout: Duration,
    /// The share of the host's CPU time that the BPF programs may take, in percent.
    pub max_overhead: f64,
}

/// What the rows are, and their order.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    Processes(Sort<Row>),
    Groups(GroupShape),
}

/// Rows that are sums (`--by`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupShape {
    pub by: By,
    pub sort: Sort<Aggregate>,
    /// The least exact RSS of a group, in bytes.
    pub min_rss: Option<u64>,
    /// The least |drift| of a group, in bytes.
    pub min_drift: Option<u64>,
}

/// Fields that tell what changed while /proc was read: who sorts by them wants it read.
const BETWEEN_READINGS: &[&str] = &["moved_bytes", "uncertainty_bytes", "uncertainty"];

impl Options {
    /// What of /proc the outputs need: each file costs as much as reading all counters of a process.
    pub(super) fn wanted(&self, precisions: Precisions) -> Wanted {
        let asked = Wanted { resident: self.resident, ..Wanted::NOTHING };
        let (Shape::Processes(sort), Columns::Processes(fields)) = (self.shape, &self.columns) else {
            // Groups are of the iterator's records. Some are compared with the source's file.
            return Wanted::only(self.source);
        };
        if self.has_machine_output() {
            return asked.and(Wanted { cgroup: true, ..Wanted::default() }).and(sort.field.files());
        }
        let shown = fields.iter().flatten().map(|field| field.files());
        let wanted = shown.fold(asked.and(sort.field.files()), Wanted::and);
        // The record has what an approximate `stat` prints.
        let in_record = precisions.stat == Precision::Approximate;
        let mut shown = fields.iter().flatten().chain([&sort.field]);
        let shows_stat = self.source == Source::Stat || shown.any(|field| field.name == "stat_bytes");
        let stat = shows_stat && (!in_record || BETWEEN_READINGS.contains(&sort.field.name));
        let source = if self.source == Source::Stat { Wanted::NOTHING } else { Wanted::only(self.source) };
        Wanted { stat: wanted.stat || stat, ..wanted.and(source) }
    }

    /// The least |drift| of a row that is asked for, in bytes.
    pub(super) const fn min_drift(&self) -> Option<u64> {
        match self.shape {
            Shape::Processes(_) => self.criteria.min_drift,
            Shape::Groups(groups) => groups.min_drift,
        }
    }

    /// The most rows that any output takes; `None`: every selected process.
    pub(super) fn most_rows(&self) -> Option<usize> {
        if self.has_machine_output() { self.machine_limit } else { self.limit }
    }

    fn has_machine_output(&self) -> bool {
        self.outputs.iter().any(|output| output.format != Format::Table)
    }
}
