//! What the entry points of the events call.

use rss_drift_common::protocol::percpu::{events, life};

use super::memory::{ByCpu, current_mm};
use crate::{
    kernel::{CLONE_VM, load_at},
    number, pointer, run,
    shadow::Maps,
};

/// `kmem:rss_stat`: an mm's member was changed.
///
/// # Safety
/// The first two arguments of the event must be an mm that the verifier knows, and a member.
#[inline(always)]
pub unsafe fn updated(context: *const u64) {
    run::sites::calibrate(context);
    // SAFETY: the event has these arguments.
    let event = || unsafe { (pointer(context, 0), number(context, 1)) };
    events::updated(&Maps::<ByCpu>::of_event(context), event);
}

/// This CPU switches to `next`.
///
/// # Safety
/// It must be a task to the verifier.
#[inline(always)]
pub unsafe fn switched(next: *const u8) {
    // SAFETY: a task to the verifier.
    let mm: u64 = unsafe { load_at!(next, task_mm) };
    events::switched(&Maps::<ByCpu>::new(), mm);
    run::count::switched(mm);
}

/// A task with a new mm that it was not switched to (`exec_mmap`).
///
/// # Safety
/// `task` must be a task to the verifier, and the running one.
#[inline(always)]
pub unsafe fn executed(task: *const u8) {
    // SAFETY: a task to the verifier.
    let mm: *const u8 = unsafe { load_at!(task, task_mm) };
    if !mm.is_null() {
        events::executed(&Maps::<ByCpu>::new(), mm);
        run::count::executed(mm as u64);
    }
}

/// A new task, which has not run yet.
///
/// # Safety
/// `task` must be a task to the verifier.
#[inline(always)]
pub unsafe fn forked(task: *const u8, clone_flags: u64) {
    // SAFETY: a task to the verifier.
    let mm: *const u8 = unsafe { load_at!(task, task_mm) };
    if !mm.is_null() && clone_flags & CLONE_VM == 0 {
        life::born(&Maps::<ByCpu>::new(), mm);
    }
}

/// A page fault of the current task.
#[inline(always)]
pub fn page_fault() {
    let mm = current_mm();
    if mm != 0 {
        events::page_fault(&Maps::<ByCpu>::new(), mm);
    }
}

/// An mm ends.
///
/// # Safety
/// `mm` must be known to the verifier.
#[inline(always)]
pub unsafe fn ended(mm: *const u8) {
    life::end(&Maps::<ByCpu>::new(), mm);
}
