//! One CPU's slot of the shadow per-CPU RSS cache, and its steps.
//!
//! The steps are those of Kairui Song's RFC (linux-mm, July 2022): a CPU caches the updates of the mm that it runs, gives
//! them to the mm's shared totals when it takes another mm, and a reader adds up the totals and the slots that hold the
//! mm. The steps here change only the slot and return what has to be done elsewhere; [`crate::protocol`] does that.
//!
//! One thing differs from the RFC: a CPU that goes idle, whose pending delta reaches a threshold, or whose update folded, *publishes*
//! pending deltas and keeps the mm. A publication is not a flush: later updates are still hits. It bounds what another CPU's slot
//! can hold, so that one CPU alone can compute the mm's RSS at each of its updates (see `peak` in [`crate::shadow`]).

use crate::{
    member::{MEMBERS, Member},
    memory::{Live, Plain, Word, Words},
};

/// A delta per member, in pages, that has not reached the mm's totals.
pub type Deltas = [i32; MEMBERS];

/// What one CPU caches. The fields that an update changes fill one cache line.
///
/// The busy mark is set while a BPF program changes the slot, or applies what the slot gave up. A reader on another CPU
/// then does not trust its sum for the state that the mark names. Up to 6.18 nothing on the same CPU can come in between.
/// On 7.2 a tracepoint's BPF program can be preempted: a context switch may find the slot half changed, and then defers itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Slot<W: Words = Plain> {
    /// Address of the mm that this CPU ran last; 0 before the first switch.
    pub mm: W::U64,
    /// Id of the mm's state, unique for ever; 0 until the state was looked up.
    pub id: W::U64,
    /// Deltas that are not in the totals yet.
    pub pending: [W::I32; MEMBERS],
    /// Hits since the last flush. (A CPU that switches between one
    /// process and idle never flushes, so 32 bits would overflow.)
    pub hits: W::U64,
    /// Pages by which the counters changed since the last flush, without signs, beyond one for each hit.
    pub excess: W::U64,
    /// Index of the mm's state; no meaning while `id` is 0.
    pub index: W::U32,
    /// While a BPF program changes the slot: index of the state concerned, plus 1 ([`BUSY_UNKNOWN`] before it is looked up,
    /// [`BUSY_OWN`] in an update that [`Slot::alone`] covers).
    pub busy: W::U32,
    /// 1 from the first update after a switch until the slot is flushed or published for idling: this CPU is active, and
    /// counts in [`crate::shadow::State::active_cpus`].
    pub active: W::U32,
    /// per-cpu: where the words last seen of `words` stand; no meaning while `active` is 0.
    pub place: W::U32,
    /// The mm of the last switch that came while the slot was busy; 0 is none.
    pub deferred: W::U64,
    /// Page faults since the last flush.
    pub faults: W::U64,
    /// per-cpu: the mm, as long as its updates need no look at the state where they leave the kernel's slot within `low` and `width`:
    /// this CPU alone changes the mm, whose state lives, and no sum within is beyond a peak. 0: none. Whoever ends that on another CPU
    /// clears this.
    pub alone: W::U64,
    /// What the kernel's slot of a member may come to meanwhile: the least value.
    pub low: [W::I32; MEMBERS],
    /// How many values from there on. None of them is 0, which is what a fold leaves.
    pub width: [W::U32; MEMBERS],
    /// per-cpu: where the kernel's slots of the mm lie on this CPU; no meaning while `active` is 0.
    pub words: [W::U64; MEMBERS],
    /// The member whose fold left `low` and `width` as they are, plus 1; 0: no fold did.
    pub folded: W::U64,
    /// By how many pages RSS of the totals was above what the approximate reader prints at that fold.
    pub ahead: W::I64,
}

/// The busy mark of a slot whose state is not known yet.
pub const BUSY_UNKNOWN: u32 = u32::MAX;
/// The busy mark of a slot that works on the state that it names itself.
pub const BUSY_OWN: u32 = u32::MAX - 1;

/// Pages by which the counters changed, without signs: what a slot counts as hits and `excess`.
#[inline(always)]
#[must_use]
pub const fn churn_of(hits: u64, excess: u64) -> u64 {
    hits.wrapping_add(excess)
}

/// The most RSS that a slot holds unpublished, in pages: of each member a page less than the threshold.
#[inline(always)]
#[must_use]
#[expect(clippy::cast_possible_wrap, reason = "an RSS has three members")]
pub const fn most_pending(threshold: u32) -> i64 {
    Member::RSS.len() as i64 * (threshold as i64 - 1)
}

/// The busy mark of a slot that works on the state at this index.
#[inline(always)]
#[must_use]
pub const fn busy_with(index: u32) -> u32 {
    index.wrapping_add(1)
}

/// What a slot gives up. It is added to the state at `index`, if that still has this `id`.
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
    pub hits: u64,
    /// Faults to be counted.
    pub faults: u64,
    /// Churn to be counted.
    pub churn: u64,
    /// 1 when the CPU was active, and no longer is.
    pub active: u32,
}

impl Batch {
    /// Whether there is nothing to give. (There is no delta without a hit.)
    #[inline(always)]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hits | self.faults | u64::from(self.active) == 0
    }
}

impl<W: Live> Slot<W> {
    /// Whether the slot is this mm's.
    #[inline(always)]
    #[must_use]
    pub fn holds(&self, mm: u64) -> bool {
        self.mm.get() == mm
    }

    /// An update of `member` by `delta` pages that is not in the totals: a hit.
    #[inline(always)]
    pub fn update(&self, member: usize, delta: i32) {
        self.add(member, delta);
        self.count(u64::from(delta.unsigned_abs()));
    }

    /// Adds to what is pending.
    #[inline(always)]
    pub fn add(&self, member: usize, delta: i32) {
        let pending = &self.pending[member & (MEMBERS - 1)];
        pending.set(pending.get().wrapping_add(delta));
    }

    /// A hit that changed a counter by so many pages: nearly always by one. (By none where a reading took them, which is one page too
    /// many: what a reading sees of churn must never fall.)
    #[inline(always)]
    pub fn count(&self, pages: u64) {
        self.hits.set(self.hits.get().wrapping_add(1));
        if pages > 1 {
            self.excess.set(self.excess.get().wrapping_add(pages - 1));
        }
    }

    /// Hits, and pages by which they changed the counters.
    #[inline(always)]
    #[must_use]
    pub fn counted(&self) -> (u64, u64) {
        let hits = self.hits.get();
        (hits, churn_of(hits, self.excess.get()))
    }

    /// A page fault of a task with `mm`; false if the slot holds another mm. No mark is set,
    /// so the count is added in one step: a switch that preempts us can flush the slot.
    #[inline(always)]
    pub fn fault(&self, mm: u64) -> bool {
        let ours = self.mm.get() == mm && self.busy.get() == 0;
        if ours {
            self.faults.add(1);
        }
        ours
    }

    /// A switch to a task with `next` as its mm; 0 is a task without one, which runs lazily on
    /// the mm before it. Nothing may preempt this: see [`crate::protocol::flush::catch_up`].
    ///
    /// True where the slot has something to give up for that: then nothing is done yet, and [`Slot::leave`] or [`Slot::take`] does it.
    #[inline(always)]
    #[must_use]
    pub fn switch(&self, next: u64) -> bool {
        if self.busy.get() != 0 {
            // An update is in progress, which does the switch at its end. A task without an mm changes nothing, so there is nothing
            // to defer.
            if next != 0 {
                self.deferred.set(next);
            }
            return false;
        }
        // A switch that was deferred before this one is out of date.
        self.deferred.set(0);
        if next == self.mm.get() {
            return false;
        }
        if next == 0 {
            return self.active.get() != 0;
        }
        // There is no delta without a hit.
        if self.hits.get() | self.faults.get() | u64::from(self.active.get()) != 0 {
            return true;
        }
        self.mm.set(next);
        self.id.set(0);
        false
    }

    /// Marks the slot busy before its state is known. The slot keeps its mm until the mark is cleared.
    #[inline(always)]
    pub fn mark(&self) {
        self.busy.set(BUSY_UNKNOWN);
    }

    /// Marks the slot busy with the state of its mm.
    #[inline(always)]
    pub fn begin(&self) {
        self.busy.set(if self.id.get() == 0 { BUSY_UNKNOWN } else { busy_with(self.index.get()) });
    }

    /// Marks the slot busy with the state that it names, whichever that is.
    #[inline(always)]
    pub fn begin_own(&self) {
        self.busy.set(BUSY_OWN);
    }

    /// Whether a mark says that the slot works on the state at this index, under this id.
    #[inline(always)]
    #[must_use]
    pub fn works_on(&self, busy: u32, index: u32, id: u64) -> bool {
        busy == busy_with(index) || (busy == BUSY_OWN && self.id.get() == id)
    }

    /// Takes the mark away; true when a switch was deferred meanwhile, which [`Slot::make_up`] is for.
    #[inline(always)]
    pub fn done(&self) -> bool {
        self.busy.set(0);
        // Read after the mark is cleared: a switch after this look does not defer itself.
        self.deferred.get() != 0
    }

    /// Does a switch that was deferred, and returns what has to be flushed. The slot is busy until [`Slot::done`].
    #[inline(always)]
    pub fn make_up(&self) -> Option<Batch> {
        self.begin();
        // Read behind the mark: a switch before the mark was done at once and left nothing deferred.
        let next = self.deferred.get();
        self.deferred.set(0);
        (next != 0 && next != self.mm.get()).then(|| self.take(next))
    }

    /// Gives everything up and holds `next` from now on.
    #[inline(always)]
    pub fn take(&self, next: u64) -> Batch {
        self.forbid();
        let (hits, churn) = self.counted();
        let batch = Batch {
            mm: self.mm.get(),
            id: self.id.get(),
            index: self.index.get(),
            pending: self.pending(),
            hits,
            faults: self.faults.get(),
            churn,
            active: self.active.get(),
        };
        self.mm.set(next);
        self.id.set(0);
        self.clear_pending();
        self.hits.set(0);
        self.faults.set(0);
        self.excess.set(0);
        self.active.set(0);
        batch
    }

    /// As [`Slot::publish`], and this CPU is no longer active: it idles or runs a kernel thread.
    #[inline(always)]
    pub fn leave(&self) -> Batch {
        let active = self.active.get();
        self.active.set(0);
        Batch { active, ..self.publish() }
    }

    /// Gives the pending deltas up and keeps the mm and its counts.
    #[inline(always)]
    pub fn publish(&self) -> Batch {
        // A pending delta may come to the threshold on the other side of 0.
        self.forbid();
        let pending = self.pending();
        self.clear_pending();
        Batch {
            mm: self.mm.get(),
            id: self.id.get(),
            index: self.index.get(),
            pending,
            hits: 0,
            faults: 0,
            churn: 0,
            active: 0,
        }
    }

    /// Gives the pending delta of one member up.
    #[inline(always)]
    #[must_use]
    pub fn take_pending(&self, member: usize) -> i32 {
        let pending = &self.pending[member & (MEMBERS - 1)];
        let pages = pending.get();
        pending.set(0);
        pages
    }

    /// The deltas that are pending, member by member.
    #[inline(always)]
    #[must_use]
    pub fn pending(&self) -> Deltas {
        let [file, anon, swap, shmem] = &self.pending;
        [file.get(), anon.get(), swap.get(), shmem.get()]
    }

    /// Four members, unrolled.
    #[inline(always)]
    fn clear_pending(&self) {
        let [file, anon, swap, shmem] = &self.pending;
        file.set(0);
        anon.set(0);
        swap.set(0);
        shmem.set(0);
    }

    /// Whether a pending delta is so large that it is to be published: `threshold` pages of either sign.
    #[inline(always)]
    #[must_use]
    pub fn is_full(&self, member: usize, threshold: u32) -> bool {
        self.pending[member & (MEMBERS - 1)].get().unsigned_abs() >= threshold
    }

    /// RSS of the pending deltas, in pages.
    #[inline(always)]
    #[must_use]
    pub fn pending_rss(&self) -> i64 {
        i64::from(self.pending[Member::File.index()].get())
            + i64::from(self.pending[Member::Anon.index()].get())
            + i64::from(self.pending[Member::Shmem.index()].get())
    }
}
