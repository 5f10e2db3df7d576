//! What the entry points of the events call.

use aya_ebpf::helpers::generated::bpf_get_current_task;
use rss_drift_common::protocol::pertask::{Task, events, life};

use super::memory::ByTask;
use crate::{
    kernel::{CLONE_VM, layout, load, load_at, probe},
    run,
    shadow::Maps,
};

/// This CPU switches from `prev` to `next`.
///
/// # Safety
/// Both must be tasks to the verifier.
#[inline(always)]
pub unsafe fn switched(prev: *const u8, next: *const u8) {
    // SAFETY: both are tasks to the verifier.
    let (prev, next) = unsafe { (task_of(prev), task_of(next)) };
    events::switched(&Maps::<ByTask>::new(), &prev, &next);
    run::count::switched(next.mm);
}

/// A page fault of the current task.
#[inline(always)]
pub fn page_fault() {
    events::page_fault(&Maps::<ByTask>::new(), current);
}

/// `kmem:rss_stat`: the count of `mm`'s `member` was changed directly, and was `count` then.
#[inline(always)]
pub fn updated(context: *const u64, mm: u64, member: u32, count: i64) {
    run::sites::calibrate(context);
    events::updated(&Maps::<ByTask>::of_event(context), current, mm, member, count);
}

/// A task with a new mm that it was not switched to (`exec_mmap`).
///
/// # Safety
/// `task` must be a task to the verifier, and the running one.
#[inline(always)]
pub unsafe fn executed(task: *const u8) {
    // SAFETY: a task to the verifier.
    let task = unsafe { task_of(task) };
    events::executed(&Maps::<ByTask>::new(), &task);
    run::count::executed(task.mm);
}

/// A new task, which has not run yet.
///
/// # Safety
/// `task` must be a task to the verifier.
#[inline(always)]
pub unsafe fn forked(task: *const u8, clone_flags: u64) {
    if clone_flags & CLONE_VM == 0 {
        // SAFETY: a task to the verifier.
        events::forked(&Maps::<ByTask>::new(), &unsafe { task_of(task) });
    }
}

/// The mm at this address ends.
#[inline(always)]
pub fn ended(mm: u64) {
    life::end(&Maps::<ByTask>::new(), mm);
}

/// A task that the verifier knows.
///
/// # Safety
/// `task` must be a `task_struct` to the verifier.
#[inline(always)]
unsafe fn task_of(task: *const u8) -> Task {
    let cache = layout!(task_rss_count);
    // SAFETY: a task to the verifier; offsets from BTF.
    unsafe {
        Task {
            address: task as u64,
            mm: load_at!(task, task_mm),
            counts: [load(task, cache), load(task, cache + 4), load(task, cache + 8), load(task, cache + 12)],
        }
    }
}

/// The current task, read by copies: 5.10 has no helper that returns it as a pointer which the verifier knows.
#[inline(always)]
fn current() -> Option<Task> {
    // SAFETY: no preconditions.
    let address = unsafe { bpf_get_current_task() };
    let mm = probe(address + u64::from(layout!(task_mm)))?;
    let counts = probe(address + u64::from(layout!(task_rss_count)))?;
    Some(Task { address, mm, counts })
}
