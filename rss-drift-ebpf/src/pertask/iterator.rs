//! The iterator: the counters of every task's mm and the task's own cache, and what the shadow keeps of the mm.
//!
//! Every task is written, kernel threads on a borrowed mm included: exact is the mm's counters plus the caches of all
//! tasks that use it. A sync (`mm/memory.c:sync_mm_rss`) adds to the mm, then zeroes the cache, and may be preempted in
//! between: user space takes two passes and believes them where they are identical.

use rss_drift_common::{
    protocol::{handle::Handle, pertask::reader},
    record::{FLAG_KTHREAD, FLAG_LEADER_GONE, FLAG_VALID},
    running::{Peak, Seed, TaskShadow},
};

use super::memory::ByTask;
use crate::{
    iterator::{Identity, TaskContext, Visit, write_record},
    kernel::{PF_KTHREAD, layout, load, load_at, probe},
    run,
    shadow::{Bpf, Maps},
};

/// The counters of one task's mm and the task's own cache.
#[inline(always)]
pub fn visit(ctx: *const TaskContext) {
    if let Some(visit) = Visit::of(ctx) {
        let _ = write_task(&visit);
    }
}

/// As [`visit`], with what is kept of the mm as the second half of the record.
#[inline(always)]
pub fn visit_with_shadow(ctx: *const TaskContext) {
    let Some(visit) = Visit::of(ctx) else { return };
    let Some(identity) = write_task(&visit) else { return };
    let mut record = EMPTY;
    if visit.task == identity.leader || identity.flags & FLAG_LEADER_GONE != 0 {
        reader::read(&Maps::<ByTask>::new(), &visit, identity.mm as u64, &mut record);
    }
    visit.write_shadow(&record);
}

/// Writes the record of a task and returns whose it is; `None` for a task without an mm.
#[inline(always)]
fn write_task(visit: &Visit) -> Option<Identity> {
    let task = visit.task;
    // SAFETY: pointers that the verifier knows, offsets from BTF.
    unsafe {
        let mm: *const u8 = load_at!(task, task_mm);
        if mm.is_null() {
            return None;
        }
        let leader: *const u8 = load_at!(task, task_group_leader);
        let leader_mm: *const u8 = load_at!(leader, task_mm);
        let mut flags = FLAG_VALID;
        let task_flags: u32 = load_at!(task, task_flags);
        if task_flags & PF_KTHREAD != 0 {
            flags |= FLAG_KTHREAD;
        } else if leader_mm as u64 != mm as u64 {
            flags |= FLAG_LEADER_GONE;
        }
        // Not a typed load: 5.10's verifier refuses one from an array of `atomic_long_t`. The four counters lie side by
        // side, and each is copied whole (`mm/maccess.c` copies 8 bytes at a time).
        let count = probe(mm as u64 + u64::from(layout!(mm_rss_stat)))?;
        let cache = layout!(task_rss_count);
        let cached = [
            i64::from(load::<i32>(task, cache)),
            i64::from(load::<i32>(task, cache + 4)),
            i64::from(load::<i32>(task, cache + 8)),
            i64::from(load::<i32>(task, cache + 12)),
        ];
        let identity = Identity { mm, leader, flags };
        write_record(visit, &identity, &count, &cached);
        Some(identity)
    }
}

const EMPTY: TaskShadow = TaskShadow {
    id: 0,
    index: 0,
    totals: [0; 4],
    hits: 0,
    misses: 0,
    flushes: 0,
    publications: 0,
    faults: 0,
    churn: 0,
    peak: Peak { exact: 0, drift: 0, active_max: 0, hidden: 0, twice: 0 },
    lost: 0,
    seed: Seed { pages: [0; 4], peak_exact: 0, peak_drift: 0, repaired: 0, lost: 0, id: 0 },
    measured: 0,
};

impl reader::Visit<Maps<ByTask>> for Visit {
    #[inline(always)]
    fn mm_now(&self, _: &Maps<ByTask>) -> u64 {
        // SAFETY: a task that the verifier knows.
        unsafe { load_at!(self.task, task_mm) }
    }
    #[inline(always)]
    fn visited(&self, _: &Maps<ByTask>, handle: Handle<'_, Bpf>, mm: u64, ran: u64) {
        run::visits::count(handle.index, mm, ran);
        // SAFETY: a task that the verifier knows.
        unsafe { run::tasks::seen(self.task, handle.index) };
    }
}
