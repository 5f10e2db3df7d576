//! One CPU's slot of the shadow per-CPU RSS cache, and its steps.
//!
//! The steps are those of Kairui Song's RFC (linux-mm, July 2022): a CPU caches the updates of the mm that it runs, gives
//! them to the mm's shared totals when it takes another one, and a reader adds up the totals and the slots that hold the
//! mm. They are pure: they change the slot and return what is to be done elsewhere. The eBPF programs do that with atomics
//! on maps, the tests on a `Vec`.
//!
//! Where this differs from the RFC: a CPU that goes idle, or whose pending delta reaches a threshold, *publishes* its
//! pending deltas, and keeps the mm. A publication is no flush: the slot goes on to hit. It bounds what another CPU's
//! slot can hold, so that a single CPU can tell the mm's RSS at any of its updates (see `peak` in [`crate::shadow`]).

use crate::member::{MEMBERS, Member};

/// A delta per member, in pages, that has not reached the mm's totals.
pub type Deltas = [i32; MEMBERS];

/// What one CPU caches: 64 bytes, one cache line.
///
/// The busy mark stands while a program changes the slot or applies what the slot gave up: a reader on another CPU does
/// not believe the state that the mark names. Up to 6.18 nothing on the same CPU can come between; on 7.2 a tracepoint's
/// program can be preempted, so that a context switch finds the slot half changed and defers itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[repr(C)]
pub struct Slot {
    /// Address of the mm that this CPU ran last; 0 before the first switch.
    pub mm: u64,
    /// Id of that mm's state, unique for ever; 0 as long as nothing had to be looked up.
    pub id: u64,
    /// The mm of the last switch that came while the slot was busy; 0 is none.
    pub deferred: u64,
    /// Index of the mm's state; of no meaning while `id` is 0.
    pub index: u32,
    /// While a program changes the slot: index of the state concerned, plus 1 ([`BUSY_UNKNOWN`] before it is looked up).
    pub busy: u32,
    /// Deltas that are not in the totals yet.
    pub pending: Deltas,
    /// Updates since the last flush that found the slot holding their mm.
    pub hits: u32,
    /// Page faults since the last flush.
    pub faults: u32,
    /// Pages by which the counters changed since the last flush, without signs.
    pub churn: u32,
    /// 1 from the first update after a switch until the slot is flushed or published for idling: this CPU counts among
    /// those that change the mm.
    pub live: u32,
}

/// The busy mark of a slot whose state is not known yet.
pub const BUSY_UNKNOWN: u32 = u32::MAX;

/// What came of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// The slot holds the mm: the delta is pending.
    Hit,
    /// The slot holds another mm: the caller adds the delta to the totals.
    Miss,
}

/// What a slot gives up: to be added to the state `index`, if that still has this `id`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The mm.
    pub mm: u64,
    /// Id of its state; 0: to be looked up by `mm`.
    pub id: u64,
    /// Index of its state.
    pub index: u32,
    /// Deltas for its totals.
    pub pending: Deltas,
    /// Hits to be counted.
    pub hits: u32,
    /// Faults to be counted.
    pub faults: u32,
    /// Churn to be counted.
    pub churn: u32,
    /// 1 when the CPU counted among those that change the mm, and no longer does.
    pub live: u32,
}

/// What a context switch asks for. After `Flush` and `Publish` the slot is busy until the caller says [`Slot::done`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// Nothing: the slot holds this mm already, or has nothing to publish.
    Nothing,
    /// An update is in progress: it takes care of the switch at its end.
    Deferred,
    /// The slot took another mm; the old one had nothing to flush.
    Took,
    /// The slot took another mm; what the old one had is to be flushed.
    Flush(Batch),
    /// The CPU idles or runs a kernel thread: pending deltas are to be published, the slot keeps its mm.
    Publish(Batch),
}

impl Slot {
    /// An update of `mm`'s `member` by `delta` pages that was seen on this CPU.
    #[inline(always)]
    pub fn update(&mut self, mm: u64, member: usize, delta: i32) -> Update {
        if self.mm != mm {
            return Update::Miss;
        }
        let member = member & (MEMBERS - 1);
        self.pending[member] = self.pending[member].wrapping_add(delta);
        self.hits = self.hits.wrapping_add(1);
        self.churn = self.churn.wrapping_add(delta.unsigned_abs());
        Update::Hit
    }

    /// A page fault of a task with `mm`; false when the slot holds another mm.
    #[inline(always)]
    pub fn fault(&mut self, mm: u64) -> bool {
        let ours = self.mm == mm && self.busy == 0;
        if ours {
            self.faults = self.faults.wrapping_add(1);
        }
        ours
    }

    /// A switch to a task with `next` as its mm; 0 is a task without one, which runs lazily on the mm before it.
    #[inline(always)]
    pub fn switch(&mut self, next: u64) -> Switch {
        if self.busy != 0 {
            // Lazily running on is what happens anyway.
            if next != 0 {
                self.deferred = next;
            }
            return Switch::Deferred;
        }
        if next == self.mm {
            return Switch::Nothing;
        }
        if next == 0 {
            if self.live == 0 {
                return Switch::Nothing;
            }
            self.begin();
            return Switch::Publish(self.publish(true));
        }
        // A delta without a hit cannot be.
        if self.hits | self.faults | self.live == 0 {
            self.mm = next;
            self.id = 0;
            return Switch::Took;
        }
        self.begin();
        Switch::Flush(self.take(next))
    }

    /// Whether the slot is this mm's.
    #[inline(always)]
    #[must_use]
    pub fn holds(&self, mm: u64) -> bool {
        // Volatile, as in `mark`: asked once more behind the mark, as a switch may have come before that.
        // SAFETY: a field of ours.
        unsafe { core::ptr::read_volatile(&raw const self.mm) == mm }
    }

    /// Marks the slot busy before it is known with which state: the mm stays until [`Self::done`].
    #[inline(always)]
    pub fn mark(&mut self) {
        self.write_mark(BUSY_UNKNOWN);
    }

    /// Marks the slot busy with the state of its mm.
    #[inline(always)]
    pub fn begin(&mut self) {
        self.write_mark(if self.id == 0 { BUSY_UNKNOWN } else { self.index.wrapping_add(1) });
    }

    #[inline(always)]
    fn write_mark(&mut self, mark: u32) {
        // Volatile keeps it in its place, before what changes next: it is for programs that interrupt this one and for
        // readers on other CPUs. (A compiler fence would say it better, but LLVM 21 has no code for one on BPF.)
        // SAFETY: a field of ours.
        unsafe { core::ptr::write_volatile(&raw mut self.busy, mark) };
    }

    /// Takes the mark away, after a switch that was deferred meanwhile: what that asks to be flushed is returned, and
    /// the slot stays busy for it.
    #[inline(always)]
    pub fn done(&mut self) -> Option<Batch> {
        // Volatile, as in `begin`: a switch that interrupted the caller wrote it behind the compiler's back.
        // SAFETY: a field of ours.
        let next = unsafe { core::ptr::read_volatile(&raw const self.deferred) };
        self.deferred = 0;
        if next != 0 && next != self.mm {
            return Some(self.take(next));
        }
        // SAFETY: a field of ours.
        unsafe { core::ptr::write_volatile(&raw mut self.busy, 0) };
        None
    }

    /// Gives everything up and holds `next` from now on.
    #[inline(always)]
    pub fn take(&mut self, next: u64) -> Batch {
        let batch = Batch {
            mm: self.mm,
            id: self.id,
            index: self.index,
            pending: self.pending,
            hits: self.hits,
            faults: self.faults,
            churn: self.churn,
            live: self.live,
        };
        self.mm = next;
        clear(&mut self.id);
        clear(&mut self.deferred);
        self.clear_pending();
        clear(&mut self.hits);
        clear(&mut self.faults);
        clear(&mut self.churn);
        clear(&mut self.live);
        batch
    }

    /// Gives the pending deltas up and keeps the mm and its counts. `leaving`: this CPU stops changing the mm.
    #[inline(always)]
    pub fn publish(&mut self, leaving: bool) -> Batch {
        let live = if leaving { core::mem::take(&mut self.live) } else { 0 };
        let pending = self.pending;
        self.clear_pending();
        Batch { mm: self.mm, id: self.id, index: self.index, pending, hits: 0, faults: 0, churn: 0, live }
    }

    /// Four members, unrolled.
    #[inline(always)]
    fn clear_pending(&mut self) {
        let [file, anon, swap, shmem] = &mut self.pending;
        clear(file);
        clear(anon);
        clear(swap);
        clear(shmem);
    }

    /// Whether a pending delta is so large that it is to be published: `threshold` pages of either sign.
    #[inline(always)]
    #[must_use]
    pub fn is_full(&self, member: usize, threshold: u32) -> bool {
        self.pending[member & (MEMBERS - 1)].unsigned_abs() >= threshold
    }

    /// RSS of the pending deltas, in pages.
    #[inline(always)]
    #[must_use]
    pub const fn pending_rss(&self) -> i64 {
        self.pending[Member::File.index()] as i64
            + self.pending[Member::Anon.index()] as i64
            + self.pending[Member::Shmem.index()] as i64
    }
}

/// Zeroes a word. Volatile, or stores side by side become a call of memset, which on BPF goes byte by byte.
#[inline(always)]
fn clear<T: Default>(word: &mut T) {
    // SAFETY: a word of ours.
    unsafe { core::ptr::write_volatile(word, T::default()) };
}

#[cfg(test)]
#[path = "slot_tests.rs"]
mod tests;
