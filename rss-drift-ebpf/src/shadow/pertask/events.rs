//! What the tracepoints' programs do, per-task accounting.

use rss_drift_common::slot::Update;

use super::{
    super::{lifecycle::find, maps as shared},
    counts,
    lifecycle::{self, Maker, find_or_create},
    look::Here,
    task::Task,
};
use crate::{
    atomic,
    kernel::probe,
    run,
    shadow::{apply, events::CLONE_VM},
};

/// This CPU leaves `prev` and takes `next`.
///
/// # Safety
/// Both must be tasks to the verifier.
#[inline(always)]
pub unsafe fn switch(prev: *const u8, next: *const u8) {
    let Some(here) = Here::begin() else { return };
    // SAFETY: by the caller; the rest lies in map values.
    unsafe {
        here.look(&Task::of(prev));
        let next = Task::of(next);
        apply::switch(here.this, next.mm);
        run::count::switched(next.mm, true);
        (*here.running).enter(next.address, next.mm, next.counts);
    }
    here.end();
}

/// A page fault of the current task: what the one before it changed is in the task's cache by now.
#[inline(always)]
pub fn page_fault() {
    let Some(here) = Here::begin() else { return };
    if let Some(task) = Task::current()
        && task.mm != 0
    {
        here.look(&task);
        // SAFETY: map values.
        unsafe {
            (*here.this).counts.faults += 1;
            if !(*here.this).slot.fault(task.mm)
                && let Some(index) = find(task.mm)
                && let Some(state) = shared::state(index)
            {
                atomic::add(&raw mut (*state).faults, 1);
            }
        }
    }
    here.end();
}

/// `kmem:rss_stat`: the count of `mm`'s `member` was changed directly, and was `count` then.
#[inline(always)]
pub fn rss_stat(context: *const u64, mm: u64, member: u32, count: i64) {
    run::sites::calibrate(context);
    let Some(here) = Here::begin() else { return };
    if let Some(task) = Task::current() {
        let own = task.mm == mm;
        if own {
            here.look(&task);
        }
        direct(&here, context, mm, own, member, count);
    }
    here.end();
}

/// A direct update, or the task's cache on its way to the count (`mm/memory.c:sync_mm_rss`): that adds, fires the event, and
/// clears the cache afterwards.
///
/// Whenever the running task has anything cached of the member it is taken for gone: at the next look it is found again
/// where that was wrong. So nothing is ever lost. It counts as a sync, and not as an update, where the count moved by
/// just what was cached.
#[inline(always)]
fn direct(here: &Here, context: *const u64, mm: u64, own: bool, member: u32, count: i64) {
    // SAFETY: map values.
    unsafe {
        let slot = &raw mut (*here.this).slot;
        let holds = (*slot).mm == mm;
        let found = if holds {
            here.hold(mm)
        } else {
            find_or_create(Maker::Cpu(here.number), mm).and_then(|index| Some((index, shared::state(index)?)))
        };
        let Some((index, state)) = found else {
            // The map is full. Whether it was a hit can be told all the same.
            if holds {
                (*here.this).counts.hits += 1;
            } else {
                (*here.this).counts.misses += 1;
            }
            return;
        };
        if run::on() && probe::<i32>(mm + u64::from(run::count::mm_users())) == Some(0) {
            run::count::last_user_gone(index, mm, state, counts::exact(index, state, slot));
        }
        let cached = if own && holds {
            let cached = (*here.running).transfer(member as usize);
            (*slot).transferred(member as usize, cached);
            here.publish_if_full();
            cached
        } else {
            0
        };
        let Some(delta) = counts::follow(mm, member, count, state) else {
            (*here.this).counts.unsettled += 1;
            return;
        };
        let transfer = cached != 0 && i64::from(cached) == delta;
        if !transfer {
            let missed = (*slot).direct(mm, delta) == Update::Miss;
            if missed {
                (*here.this).counts.misses += 1;
                atomic::add(&raw mut (*state).misses, 1);
                atomic::add(&raw mut (*state).churn, delta.unsigned_abs());
            }
            // What was cached has been counted already, and is again when the next look finds it.
            run::count::update(context, index, member, delta - i64::from(cached), !missed);
        }
        // Where another CPU's change came with it, what is cached is known again at the next look only.
        if transfer || cached == 0 {
            counts::peaks(here.number, index, state, slot);
        }
    }
}

/// A task with a new mm that it was not switched to (`exec_mmap`): nobody else has used that mm.
///
/// # Safety
/// `task` must be a task to the verifier, and the running one.
#[inline(always)]
pub unsafe fn exec(task: *const u8) {
    let Some(here) = Here::begin() else { return };
    // SAFETY: by the caller.
    let task = unsafe { Task::of(task) };
    here.look(&task);
    if task.mm != 0 {
        lifecycle::born(here.number, task.mm);
        run::count::switched(task.mm, false);
    }
    here.end();
}

/// A new task, which has not run yet.
///
/// # Safety
/// `task` must be a task to the verifier.
#[inline(always)]
pub unsafe fn new_task(task: *const u8, clone_flags: u64) {
    if clone_flags & CLONE_VM != 0 {
        return;
    }
    let Some(here) = Here::begin() else { return };
    // SAFETY: by the caller.
    let task = unsafe { Task::of(task) };
    if task.mm != 0 {
        lifecycle::born(here.number, task.mm);
    }
    here.end();
}
