//! What a run came to.

use std::time::{Duration, SystemTime};

use rss_drift_common::run::{Largest, MemberCounts, kind};

use super::{child::Ended, opened::Openings, samples::Samples, sites::Sites};
use crate::{
    drift::{collect::Rules, sample::Host},
    kernel::Accounting,
    output::ShadowCheck,
    probe::{RunTotals, Scope},
    proc::{Precision, Source, TaskFolder},
    table::bytes,
};

/// The command's own among [`Report::peaks`].
pub(super) const COMMAND: usize = 0;
/// That of the process with the largest among [`Report::peaks`].
pub(super) const LARGEST: usize = 1;

/// All that is reported of one run.
#[derive(Debug)]
pub(super) struct Report {
    /// What does not change from one run to the next.
    pub host: Host,
    /// The command and its arguments, separated by blanks.
    pub command: String,
    pub scope: Scope,
    pub began: SystemTime,
    /// From then to the end of the command, or of the run.
    pub duration: Duration,
    /// When measuring ended, where `--max-overhead` ended it before the command did.
    pub stopped: Option<Duration>,
    /// How the command ended; `None`: it still runs.
    pub ended: Option<Ended>,
    /// What the BPF programs counted.
    pub totals: RunTotals,
    /// From where updates came.
    pub sites: Sites,
    /// Page faults of the threads that live on.
    pub faults_of_living: u64,
    /// How often files of /proc that say RSS were opened, of processes that are measured; or why that is not known.
    pub openings: Result<Openings, String>,
    /// Processes that outlive the run: pid and name.
    pub outlived: Vec<(u32, String)>,
    /// True peaks: of the command itself, and of the process with the largest.
    pub peaks: [Option<Peak>; 2],
    /// Name of the process with the largest drift by events; empty without one.
    pub drift_comm: String,
    /// What was seen while it ran.
    pub samples: Samples,
    /// From when on a |drift| counts as above, in bytes.
    pub threshold: u64,
    /// What drift follows from.
    pub rules: Rules,
    pub check: ShadowCheck,
    pub costs: Costs,
}

/// What measuring cost.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Costs {
    /// CPU time of this process.
    pub cpu_time: Duration,
    /// Our own RSS in bytes.
    pub rss: Option<u64>,
    /// Its largest so far, start-up included.
    pub peak_rss: Option<u64>,
    /// Kernel memory of the BPF programs and maps in bytes.
    pub maps: u64,
}

/// The largest RSS of a process, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Peak {
    pub pid: u64,
    pub comm: String,
    /// By the events of its counters.
    pub exact: i64,
    /// By how much that may be wrong.
    pub error: i64,
    /// `VmHWM` as the kernel would have printed it last.
    pub vm_hwm: Option<i64>,
    /// What getrusage(2) says of it.
    pub maxrss: Option<i64>,
}

impl Peak {
    /// Of what the BPF programs kept, by this name.
    pub(super) fn new(of: &Largest, comm: String, rules: &Rules) -> Self {
        let size = |pages: i64| bytes(pages, rules.page_size);
        let vm_hwm = if of.ended == 0 {
            // It lives on: the kernel still says it.
            let pid = u32::try_from(of.tgid).unwrap_or(0);
            TaskFolder::process(pid).read(rules.wanted, rules.page_size).figures.vm_hwm
        } else {
            // As `fs/proc/task_mmu.c:task_mem` does when the process still had its memory.
            let now = match rules.precisions.status {
                Precision::Exact => of.exact,
                Precision::Approximate | Precision::Unknown => of.approximate,
            };
            Some(of.hiwater.max(now))
        };
        let others = of.cpus.saturating_sub(1).max(0).unsigned_abs();
        let twice = if others == 0 { 0 } else { of.twice.unsigned_abs() };
        let exact = match rules.accounting {
            // The sum of all CPUs' slots can be below 0: what the kernel remembers may be more than there ever was.
            Accounting::PerCpu => of.peak,
            // What tasks have cached is not: it is no more.
            Accounting::PerTask => of.peak.max(vm_hwm.unwrap_or(0)),
        };
        Self {
            pid: of.tgid,
            comm,
            exact: size(exact),
            error: bytes(
                others
                    .saturating_mul(rules.pending_limit.saturating_add(of.hidden.unsigned_abs()))
                    .saturating_add(twice),
                rules.page_size,
            ),
            vm_hwm: vm_hwm.map(size),
            maxrss: (of.maxrss > 0).then(|| size(of.maxrss)),
        }
    }
}

/// Updates for each miss; `None` without one.
pub(super) fn updates_per_miss(counts: &MemberCounts) -> Option<f64> {
    (counts.misses > 0).then(|| counts.updates() as f64 / counts.misses as f64)
}

impl Report {
    /// Page faults of the command and its descendants, by the kernel's count.
    pub(super) const fn faults(&self) -> u64 {
        (self.totals.faults + self.faults_of_living).saturating_sub(self.totals.faults_before)
    }

    /// How often the kernel read RSS that we know of: openings of files of /proc, and what is left of a process's RSS when it
    /// ends (`kernel/exit.c:do_exit`) or executes a program (`fs/exec.c:exec_mmap`): its highest, for getrusage(2).
    pub(super) fn reads(&self) -> Option<u64> {
        self.openings.as_ref().ok().map(|openings| openings.sum() + self.totals.exits + self.totals.execs)
    }

    /// Updates for each of these; `None` without one.
    pub(super) fn updates_per_read(&self) -> Option<f64> {
        let reads = self.reads().filter(|&reads| reads > 0)?;
        Some(self.totals.updates().updates() as f64 / reads as f64)
    }

    /// The files of /proc that are read as this precision has it.
    pub(super) fn sources(&self, precision: Precision) -> Vec<&'static str> {
        let all = Source::ALL.into_iter();
        all.filter(|&source| self.rules.precisions.of(source) == precision).map(Source::name).collect()
    }

    /// Whether a file is known to be approximate, so that the readings' drift is its own.
    pub(super) fn knows_drift(&self) -> bool {
        !self.sources(Precision::Approximate).is_empty()
    }

    /// Updates by the RFC's own sites; `None` where the kernel hides its functions' names. Per-task accounting needs none: what a
    /// task has cached came by these sites.
    pub(super) fn by_rfc_sites(&self) -> Option<MemberCounts> {
        let known = self.sites.nameless().is_none() || self.host.accounting == Accounting::PerTask;
        known.then(|| self.totals.of_kind(kind::RFC))
    }

    /// Updates by other functions; `None` where their names are hidden.
    pub(super) fn by_other_sites(&self) -> Option<MemberCounts> {
        self.sites.nameless().is_none().then(|| self.totals.of_kind(kind::OTHER))
    }

    /// CPUs that a reader would have visited, on average, of a sum over all readings; `None` without a reading.
    pub(super) fn visited(&self, sum: u64) -> Option<f64> {
        let readings = self.totals.visits.readings;
        (readings > 0).then(|| sum as f64 / readings as f64)
    }

    /// Readings that drifted by the threshold or more, in percent; `None` without a reading.
    pub(super) fn above_percent(&self) -> Option<f64> {
        let readings = self.samples.readings;
        (readings > 0 && self.knows_drift()).then(|| self.samples.above as f64 * 100.0 / readings as f64)
    }
}
