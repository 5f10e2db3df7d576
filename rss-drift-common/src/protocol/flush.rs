//! What a CPU's slot gives up reaches the state of its mm: at a switch, at a publication, at the end of an event.

use super::{
    handle::{Given, Handle},
    lifecycle,
};
use crate::{
    memory::{Memory, Word},
    shadow::Cpu,
    slot::{Batch, Switch},
};

/// A switch of this CPU to a task whose mm is `next`, 0 for a task without one, by a program that nothing preempts.
#[inline(always)]
pub fn switch<M: Memory>(memory: &M, cpu: &Cpu<M::Words>, next: u64) {
    match cpu.slot.switch(next) {
        Switch::Nothing | Switch::Deferred => {}
        Switch::Took => cpu.counts.switches.add(1),
        Switch::Publish(batch) => {
            give(memory, cpu, &batch, Given::Published);
            done(memory, cpu);
        }
        Switch::Flush(batch) => {
            cpu.counts.switches.add(1);
            give(memory, cpu, &batch, Given::Flushed);
            done(memory, cpu);
        }
    }
}

/// The running task has the mm at `next`, and no switch told of it. A program that can be preempted says so as if that switch had been
/// deferred: one that preempts us sets the slot right itself, and takes that back.
#[inline(always)]
pub fn catch_up<M: Memory>(memory: &M, cpu: &Cpu<M::Words>, next: u64) {
    cpu.slot.deferred.set(next);
    if cpu.slot.busy.get() == 0 {
        make_up(memory, cpu);
    }
}

/// Ends a change of a slot, and makes up for a switch that it deferred.
#[inline(always)]
pub fn done<M: Memory>(memory: &M, cpu: &Cpu<M::Words>) {
    if cpu.slot.done() {
        make_up(memory, cpu);
    }
}

/// Makes up for a switch that was deferred. Rare: a function of its own.
#[inline(never)]
fn make_up<M: Memory>(memory: &M, cpu: &Cpu<M::Words>) {
    if let Some(batch) = cpu.slot.make_up() {
        cpu.counts.switches.add(1);
        if !batch.is_empty() {
            give(memory, cpu, &batch, Given::Flushed);
        }
    }
    // A switch that was deferred in here is not made up for: the next one, or an update, sets the slot right.
    cpu.slot.done();
}

/// This CPU's slot gives its pending deltas to the totals, and keeps its mm.
#[inline(always)]
pub fn publish<M: Memory>(memory: &M, cpu: &Cpu<M::Words>) {
    let slot = &cpu.slot;
    // Busy: whoever changes it was preempted by us.
    if slot.busy.get() != 0 {
        return;
    }
    // Whose it is we ask behind the mark: a switch can have come before.
    slot.mark();
    if slot.id.get() != 0 {
        slot.begin();
        let batch = slot.publish();
        give(memory, cpu, &batch, Given::Published);
    }
    done(memory, cpu);
}

/// Publishes the slot of an event that is at work on it, where a pending delta has come to the threshold.
#[inline(always)]
pub fn publish_now<M: Memory>(memory: &M, cpu: &Cpu<M::Words>) {
    let batch = cpu.slot.publish();
    give(memory, cpu, &batch, Given::Published);
}

/// Adds what a slot gave up to its state.
#[inline(always)]
pub fn give<M: Memory>(memory: &M, cpu: &Cpu<M::Words>, batch: &Batch, given: Given) {
    let sought = memory.gives_up();
    let handle = if batch.id == 0 {
        // Only faults were counted, and nothing had to be looked up yet.
        lifecycle::find(memory, batch.mm)
    } else {
        Handle::known(memory, batch.index, batch.id)
    };
    let Some(handle) = handle else { return };
    // Not where a publication has none: LLVM makes another instruction of the addition of 0, which 5.10 refuses.
    if batch.hits != 0 {
        cpu.counts.hits.add(batch.hits);
    }
    if batch.id != 0 && !handle.lives() {
        // The mm ended while this CPU's slot was on it: nobody judged it.
        return;
    }
    handle.add(batch, given);
    if given == Given::Flushed && batch.hits != 0 {
        cpu.counts.flushes.add(1);
        memory.flushed(handle.index, sought);
    }
}
