//! States whose mm ended unseen: found by the reader, which visits every mm that a task has (per-cpu accounting).
//!
//! Where there is no fentry on `__mmdrop`, the end of an mm without mappings has no event up to 6.18, and a run of the
//! program that sees ends may be refused by the kernel's recursion guard. Such a state is all 0, but it stays, and gives its
//! peaks to the next mm at its address.

use super::{
    limbo,
    percpu::{PerCpu, life},
};
use crate::memory::{Memory, Next, StateStep, Step, Word};

/// Readings without a visit after which a state without an event is taken for that of an mm that ended.
const PASSES: u64 = 2;
/// Nanoseconds for which it must have had no event: readings can follow each other at once, and an mm has no task while it is
/// made or taken down.
const QUIET: u64 = 1_000_000_000;

/// The first task of a reading.
#[inline(always)]
pub fn begin_of_reading<M: PerCpu>(memory: &M) {
    if let Some(shared) = memory.shared() {
        shared.visited.set(0);
    }
}

/// Behind the last task: when there are more states than mms were visited, each state is looked at.
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

/// A look at each state. An mm that lives on (no task of this PID namespace has it, or one that the kernel hides) gets
/// another state at its next event: what is lost are its peaks.
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
        let moves = state.moves_now();
        if state.looked.get() != moves + 1 {
            state.looked.set(moves + 1);
            state.looked_at.set(memory.now());
            return Next::GoOn;
        }
        if state.looked_at.get() + QUIET > memory.now() {
            return Next::GoOn;
        }
        cpu.counts.swept.add(1);
        // It is not asked for a residue: the mm's words cannot be read any more.
        life::let_go(memory, mm);
        Next::GoOn
    }
}
