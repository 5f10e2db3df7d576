//! One process at one instant: what the kernel reported, what is exact, and what follows from the two.
//!
//! Figures are pages in here and bytes outside (`table/`).

use std::time::SystemTime;

use rss_drift_common::{Pages, member};

use crate::{
    kernel::Accounting,
    proc::{Precision, ProcFigures, Source},
};

/// What a row says of the process itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Thread group id, as `ps` prints it.
    pub pid: u32,
    /// Start of the thread group's leader in clock ticks since boot: field 22 of `/proc/PID/stat`.
    pub start_ticks: u64,
    /// Rises with every execve of the process (the kernel's `self_exec_id`): a new mm under the same pid.
    pub mm_generation: u64,
    /// The leader's name, at most 15 bytes; bytes that are not UTF-8 are replaced.
    pub comm: String,
    /// Effective user id; `None` when `/proc/PID/status` could not be read.
    pub uid: Option<u32>,
    /// Path in the cgroup v2 hierarchy, else the memory controller's; `None` when unreadable.
    pub cgroup: Option<String>,
    /// The lowest pid of the processes that use the same mm, where several do ([`Note::SharedMm`]).
    pub mm_pid: Option<u32>,
    /// Threads of the thread group.
    pub threads: u32,
    /// Page faults of all its tasks since it began, as the kernel counts them (`min_flt` and `maj_flt` of
    /// `/proc/PID/stat`); `None` when unreadable.
    pub faults: Option<u64>,
}

/// A remark that a reader of the row has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Note {
    /// The leader exited while its threads live: `/proc/PID/stat` says 0, so the files of a living thread were read.
    DeadLeader,
    /// Another process uses the same mm (`CLONE_VM`): both rows show the same memory, sums count it once.
    SharedMm,
    /// The counters kept moving while they were read: exact is not of one instant.
    Uncertain,
    /// The process died after this row.
    Died,
}

impl Note {
    /// The word in the column `note`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DeadLeader => "dead-leader",
            Self::SharedMm => "shared-mm",
            Self::Uncertain => "uncertain",
            Self::Died => "died",
        }
    }
}

/// What full mode adds to a row. Figures are pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShadowFigures {
    /// RSS by our own per-CPU cache.
    pub shadow: i64,
    /// Pages by which the counters changed between the readings around /proc, without signs; `None` where one of the
    /// two had no valid shadow.
    pub uncertainty: Option<u64>,
    /// Largest exact RSS since the mm was seeded.
    pub peak_exact: i64,
    /// Largest |drift| of `stat` since the mm was seeded; `None` where its precision is not known.
    pub peak_drift: Option<i64>,
    /// By how much the two peaks can be off: 0 as long as one CPU at a time changed the mm.
    pub peak_error: u64,
    /// Updates that found the CPU's slot holding the mm.
    pub hits: u64,
    /// Updates that found it holding another.
    pub misses: u64,
    /// Slots that gave their deltas up for another mm.
    pub flushes: u64,
    /// Page faults of its tasks; `None` where no BPF program counts them.
    pub faults: Option<u64>,
}

/// Which report of a run a row stands in: all rows of one report have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportId {
    /// From 1.
    pub interval: u64,
    /// When the reading of the whole host began that the report is made of.
    pub time: SystemTime,
}

impl ReportId {
    /// That of a row that stands in no report yet.
    pub const NONE: Self = Self { interval: 0, time: SystemTime::UNIX_EPOCH };
}

/// One row of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The report that it stands in.
    pub report: ReportId,
    pub time: SystemTime,
    pub process: Process,
    /// Which file is `reported`.
    pub source: Source,
    /// How that file reads the counters.
    pub precision: Precision,
    /// Exact pages per member.
    pub exact: Pages,
    /// The kernel's global count per member, in pages, without what is cached per CPU or per task; can be negative.
    pub global: Pages,
    pub files: ProcFigures,
    /// |second - first| of the exact RSS around the reading of /proc, in pages: a lower bound of what moved.
    pub moved: Option<u64>,
    /// The largest |drift| that `source` can have here, in pages; `None` where there is no bound.
    pub bound: Option<u64>,
    /// What full mode knows; `None` in passive mode and for an mm without a state.
    pub shadow: Option<ShadowFigures>,
    /// Events that the BPF programs missed on this host so far; `None` in passive mode.
    pub missed_events: Option<u64>,
    pub notes: Vec<Note>,
}

impl Row {
    /// Exact RSS in pages.
    #[must_use]
    pub fn exact_rss(&self) -> i64 {
        member::rss(&self.exact)
    }

    /// Page faults: counted by the BPF programs since the mm was seeded, else by the kernel since the process began.
    #[must_use]
    pub fn faults(&self) -> Option<u64> {
        self.shadow.and_then(|shadow| shadow.faults).or(self.process.faults)
    }

    /// What `source` reported, in pages.
    #[must_use]
    pub const fn reported(&self) -> Option<i64> {
        self.files.of(self.source)
    }

    /// Exact - reported, in pages; positive: the kernel under-reports. `None` where the file's precision is not known.
    #[must_use]
    pub fn drift(&self) -> Option<i64> {
        self.reported().and_then(|reported| self.precision.drift(self.exact_rss(), reported))
    }

    /// The lowest and the highest that the true drift can be, in pages: the counters moved by the uncertainty between the two
    /// readings around /proc, of which drift is by one. `None` where that is not known, as in passive mode, and where a reading is
    /// not of one instant.
    #[must_use]
    pub fn band(&self) -> Option<(i64, i64)> {
        if self.notes.contains(&Note::Uncertain) {
            return None;
        }
        let moved = i64::try_from(self.shadow?.uncertainty?).unwrap_or(i64::MAX);
        self.drift().map(|drift| (drift.saturating_sub(moved), drift.saturating_add(moved)))
    }

    /// By how many pages the drift can be off, as far as that is known: passive mode knows a lower bound of what moved. `None` where it is
    /// not known at all: a reading is not of one instant, or there is one reading only.
    #[must_use]
    pub fn uncertainty(&self) -> Option<u64> {
        if self.notes.contains(&Note::Uncertain) {
            return None;
        }
        self.shadow.and_then(|shadow| shadow.uncertainty).or(self.moved)
    }

    /// Whether so much moved between the two readings around /proc that there may be no drift at all: the band has 0 in it. Passive
    /// mode knows a lower bound of what moved: where that does not reach 0, the true band still may.
    #[must_use]
    pub fn is_moving(&self) -> bool {
        match self.shadow.and_then(|shadow| shadow.uncertainty).or(self.moved) {
            None | Some(0) => false,
            Some(moved) => self.drift().is_some_and(|drift| drift.unsigned_abs() <= moved),
        }
    }

    /// Drift as a share of exact, in percent; `None` without a reported or with an exact figure of 0.
    #[must_use]
    pub fn drift_percent(&self) -> Option<f64> {
        let exact = self.exact_rss();
        self.drift().filter(|_| exact != 0).map(|drift| drift as f64 * 100.0 / exact as f64)
    }
}

/// Why passive mode measures though full mode was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepDown {
    /// Full mode could not be had at the start.
    Unavailable,
    /// It took more of the host's CPU time than `--max-overhead` allows.
    Overhead,
}

impl StepDown {
    /// The word in the column `step_down`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Overhead => "overhead",
        }
    }
}

/// What does not change from one interval to the next, and stands in every row of the CSV.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Node name of uname(2).
    pub hostname: String,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// Release of uname(2).
    pub kernel: String,
    pub accounting: Accounting,
    /// `passive` or `full`.
    pub mode: &'static str,
    /// Why the mode is passive though full was asked for.
    pub step_down: Option<StepDown>,
    pub page_size: u64,
}
