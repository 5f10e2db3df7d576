//! per-task accounting: `mm_struct.rss_stat.count` and a cache in each task (`SPLIT_RSS_COUNTING`, mainline up to 6.1).
//!
//! Every task is written, kernel threads on a borrowed mm included: exact is the mm's counters plus the caches of all
//! tasks that use it. A sync (`mm/memory.c:sync_mm_rss`) adds to the mm, then zeroes the cache, and may be preempted in
//! between: user space takes two passes and believes them where they are identical.

use rss_drift_common::record::{FLAG_KTHREAD, FLAG_LEADER_GONE, FLAG_VALID};

use crate::{
    iterator::{Identity, TaskContext, Visit, write_record},
    kernel::{PF_KTHREAD, layout, load, load_at, probe},
};

/// The counters of one task's mm and the task's own cache.
#[inline(always)]
pub fn visit(ctx: *const TaskContext) {
    if let Some(visit) = Visit::of(ctx) {
        let _ = write_task(&visit);
    }
}

/// Writes the record of a task and returns whose it is; `None` for a task without an mm.
#[inline(always)]
pub fn write_task(visit: &Visit) -> Option<Identity> {
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
