//! States whose mm ended unseen: found by the reader, which visits every mm that a task has (per-cpu accounting).
//!
//! Without fentry on `__mmdrop`, the end of an mm without mappings has no event up to 6.18. And
//! the kernel's recursion guard may leave out a run of the BPF program that sees ends. The state
//! of such an mm is all 0, but it stays, and gives its peaks to the next mm at its address.

use super::{limbo, percpu::PerCpu};
use crate::memory::{Memory, Next, StateStep, Step, Word};

/// After so many readings without a visit, and without an event, the mm of a state is taken to have ended.
const PASSES: u64 = 2;
/// Nanoseconds without an event that are needed too: readings can follow
/// each other at once, and an mm has no task while it is made or ended.
const QUIET: u64 = 1_000_000_000;

/// The first task of a reading.
#[inline(always)]
pub fn begin_of_reading<M: PerCpu>(memory: &M) {
    if let Some(shared) = memory.shared() {
        shared.visited.set(0);
    }
}

/// After the last task: if there are more states than mms that were visited, each state is checked.
#[inline(always)]
pub fn end_of_reading<M: PerCpu>(memory: &M) {
    limbo::release(memory);
    let Some(shared) = memory.shared() else { return };
    let mut living = Living { states: memory.zero() };
    memory.for_each_cpu(&mut living);
    if living.states > shared.visited.get().cast_signed() {
        memory.for_each_state(&mut Look { pass: shared.pass.get() });
    }
    shared.pass.set(shared.pass.get() + 1);
}

/// States that live: all CPUs' births less their deaths.
struct Living {
    states: i64,
}

impl<M: Memory> Step<M> for Living {
    #[inline(always)]
    fn step(&mut self, memory: &M, cpu: u32) -> Next {
        let Some(owner) = memory.cpu(cpu) else { return Next::Stop };
        let counts = &owner.counts;
        self.states += counts.births.get().wrapping_sub(counts.deaths.get()).cast_signed();
        Next::GoOn
    }
}

/// Checks each state. If the mm lives on (no task of this PID namespace has it, or the
/// kernel hides the task), it gets another state at its next event; only its peaks are lost.
struct Look {
    pass: u64,
}

impl<M: PerCpu> StateStep<M> for Look {
    #[inline(always)]
    fn step(&mut self, memory: &M, mm: u64, index: u32) -> Next {
        let Some(state) = memory.state(index) else { return Next::GoOn };
        let Some(cpu) = memory.cpu(memory.here()) else { return Next::Stop };
        if state.visited.get() + PASSES > self.pass {
            return Next::GoOn;
        }
        let events = state.events_now();
        if state.events_seen.get() != events + 1 {
            state.events_seen.set(events + 1);
            state.events_seen_at.set(memory.now());
            return Next::GoOn;
        }
        if state.events_seen_at.get() + QUIET > memory.now() {
            return Next::GoOn;
        }
        cpu.counts.swept.add(1);
        // It is not checked for a residue: the mm's words cannot be read any more.
        memory.let_go(mm);
        Next::GoOn
    }
}
