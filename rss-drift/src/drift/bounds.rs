//! Bounds: the largest |drift| that a source can have, from how the kernel batches its updates.

use crate::kernel::{Accounting, tunables::Cpus};

/// Whether a file of /proc prints what the counters add up to, found by behaviour at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// It sums all caches (`get_mm_counter_sum`): statm and status since 6.16 and where 82241a83cd15 was backported.
    Exact,
    /// It prints the global count alone (`get_mm_counter`).
    Approximate,
    /// No drift could be made to tell the two apart.
    Unknown,
}

impl Precision {
    /// The word in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Approximate => "approximate",
            Self::Unknown => "unknown",
        }
    }
}

/// Faults that one task can gather before its cache is added to the mm: `check_sync_rss_stat` tests the number of
/// earlier faults against `TASK_RSS_EVENTS_THRESH` (64) after it counted one (`mm/memory.c`, 5.10 to 6.1).
const FAULTS_PER_TASK: u64 = 66;

/// Pages that one file fault can map at once (`fault_around_bytes`, 64 KiB, unless changed through debugfs).
const PAGES_PER_FILE_FAULT: u64 = 16;

/// Members of which RSS is the sum.
const RSS_MEMBERS: u64 = 3;

/// The largest |drift| of RSS in pages that a file of this precision can have for a process with `threads` threads.
/// A file of unknown precision gets the approximate bound.
///
/// per-cpu: each online CPU's slot of each of the three members holds at most batch - 1 pages of either sign
/// (`lib/percpu_counter.c:percpu_counter_add_batch`); threads do not matter. per-task: each task's cache holds what at
/// most 66 faults brought. `vm_insert_pages` (TCP receive zerocopy) has no bound there: docs/limitations.md.
#[must_use]
pub fn bound(accounting: Accounting, precision: Precision, cpus: &Cpus, threads: u32) -> u64 {
    match (precision, accounting) {
        (Precision::Exact, _) => 0,
        (_, Accounting::PerCpu) => RSS_MEMBERS * cpus.online.len() as u64 * (cpus.batch() - 1),
        (_, Accounting::PerTask) => u64::from(threads) * FAULTS_PER_TASK * PAGES_PER_FILE_FAULT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpus(online: u32) -> Cpus {
        Cpus { possible: (0..256).collect(), online: (0..online).collect() }
    }

    #[test]
    fn the_bounds_of_the_kernel_notes() {
        let percpu = |online| bound(Accounting::PerCpu, Precision::Approximate, &cpus(online), 10_000);
        assert_eq!(percpu(2), 186);
        assert_eq!(percpu(64), 3 * 8128);
        assert_eq!(percpu(256) * 4096 / (1 << 20), 1533);
        assert_eq!(bound(Accounting::PerTask, Precision::Approximate, &cpus(2), 3), 3 * 66 * 16);
        assert_eq!(bound(Accounting::PerCpu, Precision::Exact, &cpus(64), 1), 0);
        assert_eq!(percpu(2), bound(Accounting::PerCpu, Precision::Unknown, &cpus(2), 1));
    }
}
