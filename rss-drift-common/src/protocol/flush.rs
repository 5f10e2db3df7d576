//! How the state of an mm gets what a CPU's slot gives up: at a switch, at a publication, at the end of an event.

use super::{
    handle::{Given, Handle},
    lifecycle,
};
use crate::{
    memory::{Live, Memory, Word},
    shadow::Cpu,
    slot::{Batch, Slot},
};

/// A switch of this CPU to a task whose mm is `next`, 0 for a task without one. Nothing can preempt the BPF program that calls this.
#[inline(always)]
pub fn switch<M: Memory>(memory: &M, cpu: &Cpu<M::Words>, next: u64) {
    if cpu.slot.switch(next) {
        memory.give_up(cpu, next);
    }
}

/// The rest of a switch to `next` for which the slot gives something up. Called by [`Memory::give_up`].
#[inline(always)]
pub fn give_up<M: Memory>(memory: &M, cpu: &Cpu<M::Words>, next: u64) {
    let slot = &cpu.slot;
    slot.begin();
    let (batch, given) =
        if next == 0 { (slot.leave(), Given::Published) } else { (slot.take(next), Given::Flushed) };
    give(memory, cpu, &batch, given);
    done(memory, cpu);
}

/// The running task has the mm at `next`, and no switch has shown that. The caller can be preempted, so it enters
/// the mm as that of a deferred switch. A switch that preempts us sets the slot right itself, and clears this entry.
#[inline(always)]
pub fn catch_up<M: Memory>(memory: &M, cpu: &Cpu<M::Words>, next: u64) {
    cpu.slot.deferred.set(next);
    if cpu.slot.busy.get() == 0 {
        memory.make_up(cpu);
    }
}

/// Ends a change of a slot, and does a switch that was deferred meanwhile.
#[inline(always)]
pub fn done<M: Memory>(memory: &M, cpu: &Cpu<M::Words>) {
    if cpu.slot.done() {
        memory.make_up(cpu);
    }
}

/// Does a switch that was deferred. Called by [`Memory::make_up`].
#[inline(always)]
pub fn make_up<M: Memory>(memory: &M, cpu: &Cpu<M::Words>) {
    if let Some(batch) = cpu.slot.make_up()
        && !batch.is_empty()
    {
        give(memory, cpu, &batch, Given::Flushed);
    }
    // A switch that is deferred in here is dropped: the next switch, or an update, sets the slot right.
    cpu.slot.done();
}

/// This CPU's slot gives its pending deltas to the totals, and keeps its mm.
#[inline(always)]
pub fn publish<M: Memory>(memory: &M, cpu: &Cpu<M::Words>) {
    let slot = &cpu.slot;
    // Busy: we preempted the BPF program that changes it.
    if slot.busy.get() != 0 {
        return;
    }
    // The id is read behind the mark: a switch can have come before.
    slot.mark();
    if slot.id.get() != 0 {
        slot.begin();
        let batch = slot.publish();
        give(memory, cpu, &batch, Given::Published);
    }
    done(memory, cpu);
}

/// Publishes a slot that the event has marked busy, when a pending delta has reached the threshold.
#[inline(always)]
pub fn publish_now<M: Memory>(memory: &M, cpu: &Cpu<M::Words>) {
    let batch = cpu.slot.publish();
    give(memory, cpu, &batch, Given::Published);
}

/// Publishes what a slot has pending of one member. The event has marked the slot as busy.
#[inline(always)]
pub fn publish_member<W: Live>(handle: Handle<'_, W>, slot: &Slot<W>, member: u32) {
    let pages = slot.take_pending(member as usize);
    // Else the mm ended while this CPU's slot held it. It was not checked for a residue.
    if handle.lives() {
        handle.publish(member, pages);
    }
}

/// Adds what a slot gave up to its state.
#[inline(always)]
pub fn give<M: Memory>(memory: &M, cpu: &Cpu<M::Words>, batch: &Batch, given: Given) {
    let sought = memory.gives_up();
    let handle = if batch.id == 0 {
        // Only page faults were counted: nothing had to be looked up yet.
        lifecycle::find(memory, batch.mm)
    } else {
        Handle::known(memory, batch.index, batch.id)
    };
    let Some(handle) = handle else { return };
    // Not for a publication, which has no hits: LLVM compiles an addition of 0 to another instruction, which 5.10 refuses.
    if batch.hits != 0 {
        cpu.counts.hits.add(batch.hits);
    }
    if batch.id != 0 && !handle.lives() {
        // The mm ended while this CPU's slot held it. It was not checked for a residue.
        return;
    }
    handle.add(batch, given);
    if given == Given::Flushed && batch.hits != 0 {
        cpu.counts.flushes.add(1);
        memory.flushed(handle.index, sought);
    }
}
