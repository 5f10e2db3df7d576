//! Bounds: the largest |drift| that a source can have, from how the kernel batches its updates.

use rss_drift_common::Member;

use crate::{
    kernel::{Accounting, tunables::Cpus},
    proc::Precision,
};

/// Faults that one task can gather before its cache is added to the mm: `check_sync_rss_stat` tests the number of
/// earlier faults against `TASK_RSS_EVENTS_THRESH` (64) after it counted one (`mm/memory.c`, 5.10 to 6.1).
const FAULTS_PER_TASK: u64 = 66;

/// How the kernel batches its updates here: all that a bound follows from.
#[derive(Clone, Copy, Debug)]
pub struct Batching<'a> {
    /// Where updates are cached.
    pub accounting: Accounting,
    pub cpus: &'a Cpus,
    /// Pages that one fault on a file can map at once (per-task accounting).
    pub pages_per_fault: u64,
    /// Whether anything is cached at all: a `percpu_counter` without `CONFIG_SMP` has no slots.
    pub caches: bool,
}

impl Batching<'_> {
    /// The largest |drift| of RSS, in pages, that a file of this precision can have for an mm that `tasks` tasks use: the
    /// threads of every process that has it. A file of unknown precision gets the approximate bound.
    ///
    /// per-cpu: the bounds of the three members add up, because their slots are independent. per-task: one fault changes
    /// RSS by what one fault on a file maps at most, whatever the members. `vm_insert_pages` (TCP receive zerocopy) has
    /// no bound there: docs/limitations.md.
    #[must_use]
    pub fn bound(&self, precision: Precision, tasks: u32) -> u64 {
        match (precision, self.accounting) {
            (Precision::Exact, _) => 0,
            (_, Accounting::PerCpu) => {
                Member::RSS.iter().map(|&member| self.member_bound(member, precision, tasks)).sum()
            }
            (_, Accounting::PerTask) => self.member_bound(Member::File, precision, tasks),
        }
    }

    /// The largest |drift| of one member, in pages; as [`Self::bound`].
    ///
    /// per-cpu: each online CPU's slot holds at most batch - 1 pages of either sign
    /// (`lib/percpu_counter.c:percpu_counter_add_batch`, 6.2 to 7.2); tasks do not matter. per-task: each task's cache
    /// holds what at most 66 faults brought (`mm/memory.c:check_sync_rss_stat`): one anonymous page or swap entry each,
    /// and for files and shared memory as many pages as a fault maps around itself (`mm/memory.c:do_fault_around`).
    #[must_use]
    pub fn member_bound(&self, member: Member, precision: Precision, tasks: u32) -> u64 {
        match (precision, self.accounting) {
            _ if !self.caches => 0,
            (Precision::Exact, _) => 0,
            (_, Accounting::PerCpu) => self.cpus.online.len() as u64 * (self.cpus.batch() - 1),
            (_, Accounting::PerTask) => {
                let pages = match member {
                    Member::Anon | Member::Swap => 1,
                    Member::File | Member::Shmem => self.pages_per_fault.max(1),
                };
                u64::from(tasks).saturating_mul(FAULTS_PER_TASK).saturating_mul(pages)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpus(online: u32) -> Cpus {
        Cpus { possible: (0..256).collect(), online: (0..online).collect() }
    }

    const fn batching(accounting: Accounting, cpus: &Cpus) -> Batching<'_> {
        Batching { accounting, cpus, pages_per_fault: 16, caches: true }
    }

    #[test]
    fn the_bounds_of_the_kernel_notes() {
        let percpu =
            |online| batching(Accounting::PerCpu, &cpus(online)).bound(Precision::Approximate, 10_000);
        assert_eq!(percpu(2), 186);
        assert_eq!(percpu(64), 3 * 8128);
        assert_eq!(percpu(256) * 4096 / (1 << 20), 1533);
        let pertask = batching(Accounting::PerTask, &cpus(2)).bound(Precision::Approximate, 3);
        assert_eq!(pertask, 3 * 66 * 16);
        assert_eq!(batching(Accounting::PerCpu, &cpus(64)).bound(Precision::Exact, 1), 0);
        assert_eq!(percpu(2), batching(Accounting::PerCpu, &cpus(2)).bound(Precision::Unknown, 1));
    }

    #[test]
    fn per_task_each_member_has_the_bound_of_its_faults() {
        let cpus = cpus(8);
        let mut batching = batching(Accounting::PerTask, &cpus);
        let of = |batching: &Batching<'_>, member| batching.member_bound(member, Precision::Approximate, 10);
        assert_eq!(Member::ALL.map(|member| of(&batching, member)), [10_560, 660, 660, 10_560]);
        batching.pages_per_fault = 1;
        assert_eq!(Member::ALL.map(|member| of(&batching, member)), [660; 4], "fault-around switched off");
        assert_eq!(batching.bound(Precision::Approximate, 10), 660);
        batching.pages_per_fault = 0;
        assert_eq!(of(&batching, Member::File), 660, "a fault maps one page at least");
        assert_eq!(batching.member_bound(Member::Anon, Precision::Exact, 10), 0);
    }

    #[test]
    fn per_cpu_all_members_have_the_same_bound_and_tasks_do_not_matter() {
        let cpus = cpus(2);
        let batching = batching(Accounting::PerCpu, &cpus);
        for tasks in [1, 10_000] {
            for member in Member::ALL {
                assert_eq!(batching.member_bound(member, Precision::Approximate, tasks), 62);
            }
        }
    }

    #[test]
    fn where_nothing_is_cached_nothing_drifts() {
        let cpus = cpus(1);
        let batching = Batching { caches: false, ..batching(Accounting::PerCpu, &cpus) };
        assert_eq!(batching.bound(Precision::Approximate, 1), 0);
    }

    #[test]
    fn no_number_of_tasks_overflows() {
        let cpus = cpus(1);
        let batching = Batching { pages_per_fault: u64::MAX, ..batching(Accounting::PerTask, &cpus) };
        assert_eq!(batching.bound(Precision::Unknown, u32::MAX), u64::MAX);
    }
}
