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

use self::events::{Attempt, Outcome};
use super::{handle::Handle, lifecycle::Claimant, limbo::Waiting};
use crate::{
    MEMBERS,
    memory::{Memory, StateStep, Step, Words},
    shadow::{Cpu, ShadowRecord},
};

/// The memory of per-cpu accounting: the kernel's words, and the values of them that were last seen.
///
/// Its provided methods call parts of the protocol that many paths lead to. A memory whose programs a verifier checks path by path
/// makes each of them a function that the verifier checks once.
pub trait PerCpu: Memory {
    /// The slots of an mm's counters as last seen, of one CPU.
    fn seen(&self, cpu: u32, index: u32) -> Option<&[<Self::Words as Words>::I32; MEMBERS]> {
        self.seen_at(self.place(cpu, index))
    }
    /// The address of an mm, for a function that takes numbers only: a verifier does not take a pointer for one.
    #[inline(always)]
    fn number(&self, mm: Self::Mm) -> u64 {
        self.address(mm)
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

    /// Calls [`events::any_update`].
    #[inline(always)]
    fn any_update(&self, cpu: &Cpu<Self::Words>, mm: Self::Mm, member: u32, attempt: Attempt) -> Outcome
    where
        Self: Sized,
    {
        events::any_update(self, cpu, mm, member, attempt)
    }
    /// Calls [`life::create`] for an event.
    #[inline(always)]
    fn create(&self, mm: Self::Mm)
    where
        Self: Sized,
    {
        life::create(self, mm, Claimant::Event);
    }
    /// Calls [`events::settle`].
    #[inline(always)]
    fn settle(&self, cpu: &Cpu<Self::Words>, member: u32, doubtful: bool)
    where
        Self: Sized,
    {
        events::settle(self, cpu, member, doubtful);
    }
    /// Calls [`events::begin_to_change`].
    #[inline(always)]
    fn begin_to_change(&self, cpu: &Cpu<Self::Words>, mm: Self::Mm) -> bool
    where
        Self: Sized,
    {
        events::begin_to_change(self, cpu, mm)
    }
    /// Calls [`life::let_go`].
    #[inline(always)]
    fn let_go(&self, mm: u64)
    where
        Self: Sized,
    {
        life::let_go(self, mm);
    }
    /// Calls [`words::refresh_words`].
    #[inline(always)]
    fn refresh_words(&self, mm: Self::Mm, index: u32, refreshed: &mut words::Refreshed)
    where
        Self: Sized,
    {
        words::refresh_words(self, mm, index, refreshed);
    }
    /// Calls [`words::Walk::refresh_cpu`].
    #[inline(always)]
    fn refresh_cpu(&self, cpu: u32, walk: &mut words::Walk)
    where
        Self: Sized,
    {
        walk.refresh_cpu(self, cpu);
    }
    /// Calls [`words::refresh_count`].
    #[inline(always)]
    fn refresh_count(&self, cpu: &Cpu<Self::Words>, mm: Self::Mm, member: u32, index: u32) -> i32
    where
        Self: Sized,
    {
        words::refresh_count(self, cpu, mm, member, index)
    }
    /// Calls [`reader::add_up`].
    #[inline(always)]
    fn add_up(&self, handle: Handle<'_, Self::Words>, record: &mut ShadowRecord) -> bool
    where
        Self: Sized,
    {
        reader::add_up(self, handle, record)
    }
}
