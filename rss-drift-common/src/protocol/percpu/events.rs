//! What the tracepoints' programs do.

use super::{PerCpu, life, words};
use crate::{
    MEMBERS,
    memory::{Memory, Word, Words},
    protocol::{flush, handle::Handle, lifecycle},
    shadow::Cpu,
};

/// `kmem:rss_stat`: `mm`'s `member` was changed, by this CPU as a rule.
#[inline(always)]
pub fn updated<M: PerCpu>(memory: &M, mm: M::Mm, member: u32) {
    let number = memory.here();
    let Some(cpu) = memory.cpu(number) else { return };
    let slot = &cpu.slot;
    if slot.busy.get() != 0 {
        cpu.counts.nested.add(1);
        return;
    }
    let address = memory.address(mm);
    if !slot.holds(address) && memory.current_mm() == address {
        catch(memory, cpu, address);
    }
    // A switch that preempts us (from 7.x on) defers itself from the mark on; one that came before it is seen behind it.
    let marked = slot.holds(address);
    if marked {
        slot.mark();
    }
    let holds = marked && slot.holds(address);
    update(memory, cpu, number, mm, member, holds);
    if marked {
        flush::done(memory, cpu);
    }
}

/// The running task's own mm is not the one that the slot holds: no switch told of it, or not yet. A function of its own, as it is
/// rare and long.
#[inline(never)]
fn catch<M: PerCpu>(memory: &M, cpu: &Cpu<M::Words>, mm: u64) {
    cpu.counts.caught.add(1);
    flush::switch(memory, cpu, mm);
}

/// The update of [`updated`]. `holds`: the slot of this CPU holds the mm, and is marked as busy.
#[inline(always)]
fn update<M: PerCpu>(memory: &M, cpu: &Cpu<M::Words>, number: u32, mm: M::Mm, member: u32, holds: bool) {
    let slot = &cpu.slot;
    let address = memory.address(mm);
    let mut known = None;
    let id = slot.id.get();
    if holds && id != 0 {
        let Some(handle) = Handle::known(memory, slot.index.get(), id) else { return };
        if handle.lives() {
            known = Some(handle);
        } else {
            // The slot's mm ended behind its back (execve), and a new one has the address: begin again with that.
            let _ = slot.take(address);
        }
    }
    let handle = if let Some(handle) = known {
        handle
    } else {
        let Some(handle) = life::find_or_create(memory, mm) else {
            count_only(cpu, holds);
            return;
        };
        handle
    };
    let Some(seen) = memory.seen(number, handle.index) else { return };
    if memory.listens() && memory.is_unused(mm) {
        let pending = if holds { slot.pending_rss() } else { 0 };
        memory.last_user_gone(handle.index, address, handle.approximate(), handle.totals_rss() + pending);
    }
    if !holds {
        let delta = miss(memory, cpu, handle, seen, mm, member);
        memory.updated(handle.index, member, i64::from(delta), false);
        return;
    }
    if slot.live.get() == 0 {
        slot.id.set(handle.id);
        slot.index.set(handle.index);
        slot.live.set(1);
        handle.enter(number);
    }
    slot.begin();
    if let Some(delta) = words::refresh_own(memory, mm, member, cpu.offset.get(), seen, handle) {
        slot.update(member as usize, delta);
        memory.updated(handle.index, member, i64::from(delta), true);
        if slot.is_full(member as usize, memory.threshold()) {
            flush::publish_now(memory, cpu);
        }
        handle.raise_peaks(slot.pending_rss(), memory.bound());
    } else {
        cpu.counts.unsettled.add(1);
    }
}

/// An update of an mm that this CPU's slot does not hold goes straight to the totals. By how many pages it was.
#[inline(always)]
fn miss<M: PerCpu>(
    memory: &M,
    cpu: &Cpu<M::Words>,
    handle: Handle<'_, M::Words>,
    seen: &[<M::Words as Words>::I32; MEMBERS],
    mm: M::Mm,
    member: u32,
) -> i32 {
    cpu.counts.misses.add(1);
    let Some(delta) = words::refresh_own(memory, mm, member, cpu.offset.get(), seen, handle) else {
        cpu.counts.unsettled.add(1);
        return 0;
    };
    if delta != 0 {
        handle.add_total(member, delta);
        handle.add_churn(u64::from(delta.unsigned_abs()));
        raise_from_outside(memory, handle);
    }
    handle.add_miss();
    delta
}

/// The peaks of an mm that this CPU changes without holding it (reclaim, ptrace, userfaultfd, khugepaged, fork, execve). A CPU that holds
/// it meanwhile has pending deltas, which count too: where it is one, they are those of its slot; of others the error of the peaks
/// tells. The totals come first: a publication takes the deltas out of the slot before it adds them, so that they are never
/// counted twice.
#[inline(always)]
fn raise_from_outside<M: PerCpu>(memory: &M, handle: Handle<'_, M::Words>) {
    let mut exact = handle.totals_rss();
    if let Some(other) = handle.another()
        && let Some(cpu) = memory.cpu(other)
        && cpu.slot.id.get() == handle.id
    {
        exact += cpu.slot.pending_rss();
    }
    handle.raise_peaks_to(exact, memory.bound());
}

/// The mm has no state: the map is full. Whether it was a hit can be told all the same.
#[inline(always)]
fn count_only<W: crate::memory::Live>(cpu: &Cpu<W>, hit: bool) {
    if hit {
        cpu.counts.hits.add(1);
    } else {
        cpu.counts.misses.add(1);
    }
}

/// A task has a new mm, and runs on it here without a switch (`exec_mmap`).
#[inline(always)]
pub fn executed<M: PerCpu>(memory: &M, mm: M::Mm) {
    life::born(memory, mm);
    switched(memory, memory.address(mm));
}

/// This CPU goes on with the mm at `next`; 0 is none.
#[inline(always)]
pub fn switched<M: PerCpu>(memory: &M, next: u64) {
    if let Some(cpu) = memory.cpu(memory.here()) {
        flush::switch(memory, cpu, next);
    }
}

/// A page fault of the current task, which has the mm at this address.
#[inline(always)]
pub fn page_fault<M: Memory>(memory: &M, mm: u64) {
    let Some(cpu) = memory.cpu(memory.here()) else { return };
    cpu.counts.faults.add(1);
    if !cpu.slot.fault(mm)
        && let Some(handle) = lifecycle::find(memory, mm)
    {
        handle.add_faults(1);
    }
}
