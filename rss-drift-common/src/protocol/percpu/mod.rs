//! per-cpu accounting: `mm_struct.rss_stat` is an array of `percpu_counter` (mainline since 6.2).
//!
//! [`events`] is what the tracepoints' BPF programs do, [`words`] turns readings of the kernel's counters into deltas,
//! [`life`] makes and ends states, [`alone`] is what lets updates do without a look at one, [`reader`] is the iterator, [`exact`] reads the kernel's counters alone.

pub mod alone;
pub mod events;
pub mod exact;
pub mod life;
pub mod reader;
pub mod words;

use super::limbo::Waiting;
use crate::{
    MEMBERS,
    memory::{Memory, StateStep, Step, Words},
};

/// The memory of per-cpu accounting: the kernel's words, and the values of them that were last seen.
pub trait PerCpu: Memory {
    /// The slots of an mm's counters as last seen, of one CPU.
    fn seen(&self, cpu: u32, index: u32) -> Option<&[<Self::Words as Words>::I32; MEMBERS]> {
        self.seen_at(self.place(cpu, index))
    }
    /// Where those of this CPU for the state at this index stand.
    fn place(&self, cpu: u32, index: u32) -> u32;
    /// What stands there.
    fn seen_at(&self, place: u32) -> Option<&[<Self::Words as Words>::I32; MEMBERS]>;
    /// The per-CPU pointer to the slots of a member of an mm.
    fn slots<const MEMBER: usize>(&self, mm: Self::Mm) -> u64;
    /// The slot at a per-CPU pointer, of the CPU whose memory is at this offset; `None` if it cannot be read.
    fn slot(&self, slots: u64, offset: u64) -> Option<i32>;
    /// The slot at this address, of the mm that an event is about, on this CPU: the cheapest way there is.
    fn own_slot(&self, address: u64) -> Option<i32>;
    /// Four slots that lie side by side.
    fn four_slots(&self, slots: u64, offset: u64) -> Option<[i32; MEMBERS]>;
    /// The global count of a member.
    fn count<const MEMBER: usize>(&self, mm: Self::Mm) -> i64;
    /// The lock words of all counters of an mm, or-ed: 0 when none is being folded.
    fn locks(&self, mm: Self::Mm) -> u32;
    /// The address of the mm of the task that runs here; 0 is none.
    fn current_mm(&self) -> u64;
    /// The largest |drift| that the approximate reader can have, in pages.
    fn bound(&self) -> u64;
    /// The state that has waited longest ([`Memory::wait`]).
    fn oldest(&self) -> Option<Waiting>;
    /// Takes that state out.
    fn take_oldest(&self) -> Option<Waiting>;
    /// Calls `step` with the numbers below `times`.
    fn repeat<S: Step<Self>>(&self, times: u32, step: &mut S);
    /// Calls `step` for the state of each mm.
    fn for_each_state<S: StateStep<Self>>(&self, step: &mut S);
}
