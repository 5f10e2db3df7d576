//! What the BPF programs of the tracepoints do.

use super::{
    PerTask, Task,
    counts::{self, Way},
    life,
    look::Here,
};
use crate::{
    memory::Word,
    protocol::{flush, lifecycle, observer::Update},
};

/// This CPU switches from `prev` to `next`.
#[inline(always)]
pub fn switched<M: PerTask>(memory: &M, prev: &Task, next: &Task) {
    let Some(here) = Here::begin(memory) else { return };
    here.look(prev);
    flush::switch(memory, here.cpu, next.mm);
    here.running.enter(next.address, next.mm, next.counts);
    here.end();
}

/// A page fault of the current task. What the page fault before it changed is in the task's cache by now.
#[inline(always)]
pub fn page_fault<M: PerTask>(memory: &M, current: impl FnOnce() -> Option<Task>) {
    let Some(here) = Here::begin(memory) else { return };
    if let Some(task) = current()
        && task.mm != 0
    {
        here.look(&task);
        here.cpu.counts.faults.add(1);
        if !here.slot().fault(task.mm)
            && let Some(handle) = lifecycle::find(memory, task.mm)
        {
            handle.add_faults(1);
        }
    }
    here.end();
}

/// `kmem:rss_stat`: the count of the `member` of the mm at this address was changed directly, and was `count` then.
#[inline(always)]
pub fn updated<M: PerTask>(
    memory: &M,
    current: impl FnOnce() -> Option<Task>,
    mm: u64,
    member: u32,
    count: i64,
) {
    let Some(here) = Here::begin(memory) else { return };
    if let Some(task) = current() {
        let own = task.mm == mm;
        if own {
            here.look(&task);
        }
        direct(&here, mm, own, member, count);
    }
    here.end();
}

/// A direct update of the count, or a sync of the task's cache (`mm/memory.c:sync_mm_rss`):
/// a sync adds the cache to the count, fires the event, and then clears the cache.
///
/// If the running task has anything cached of the member, the cached pages are taken to be gone. If the count moved by just that, it
/// was a sync. Else another CPU's change came with it, or it was a direct update: the next look shows whether the cache was cleared.
#[inline(always)]
fn direct<M: PerTask>(here: &Here<'_, M>, mm: u64, own: bool, member: u32, count: i64) {
    let memory = here.memory;
    let slot = here.slot();
    let holds = slot.holds(mm);
    let found = if holds { here.hold(mm) } else { life::find_or_create(memory, mm) };
    let cached = if own && holds { here.running.transfer(member as usize) } else { 0 };
    let Some(handle) = found else {
        // The map is full. A hit is counted all the same: if pages were cached and it was no sync, the next look counts one.
        if cached != 0 {
            return;
        }
        if holds {
            here.cpu.counts.hits.add(1);
        } else {
            here.cpu.counts.misses.add(1);
        }
        return;
    };
    if memory.listens() && memory.is_unused(mm) {
        let exact = counts::exact(memory, handle, slot);
        memory.last_user_gone(handle.index, mm, handle.approximate(), exact);
    }
    if cached != 0 {
        handle.transfer(member, cached);
    }
    let counts::Followed { pages: delta, settled } = counts::follow(memory, mm, member, count, handle);
    if !settled {
        // The update counts all the same; the number of pages is not certain.
        here.cpu.counts.unsettled.add(1);
    }
    if cached != 0 {
        if i64::from(cached) != delta || !settled {
            here.running.doubt(member, cached, delta);
        }
        // A negative cache lowers `synced`, so that the direct updates come to more.
        here.settle(mm, handle, if cached < 0 { Way::Both } else { Way::Down });
        return;
    }
    if holds {
        slot.direct(delta);
    } else {
        here.cpu.counts.misses.add(1);
        handle.add_miss();
        handle.add_churn(delta.unsigned_abs());
        here.note_outside(handle);
    }
    memory.updated(handle.index, member, delta, if holds { Update::Hit } else { Update::Miss });
    here.settle(mm, handle, Way::Both);
    counts::raise_peaks(memory, here.number, handle, slot);
}

/// A task with a new mm that it was not switched to (`exec_mmap`): no other task has used that mm.
#[inline(always)]
pub fn executed<M: PerTask>(memory: &M, task: &Task) {
    let Some(here) = Here::begin(memory) else { return };
    here.look(task);
    if task.mm != 0 {
        life::born(memory, here.number, task.mm);
    }
    here.end();
}

/// A new task with an mm of its own, which has not run yet.
#[inline(always)]
pub fn forked<M: PerTask>(memory: &M, task: &Task) {
    let Some(here) = Here::begin(memory) else { return };
    if task.mm != 0 {
        life::born(memory, here.number, task.mm);
    }
    here.end();
}
