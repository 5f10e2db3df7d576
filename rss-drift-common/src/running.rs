//! per-task accounting: what the shadow keeps of the task that a CPU runs, and its pure steps.
//!
//! A task's cached counts change only while it runs (`mm/memory.c:add_mm_counter_fast`, up to 6.1). So they are copied when
//! the CPU takes the task, and every later look at them gives the difference: at a page fault's entry, at an event of the
//! task's own mm, and when the CPU leaves the task. Whenever a task's mm changes (`exec_mmap`, `exit_mm`,
//! `kthread_use_mm`, `kthread_unuse_mm`) its cache is empty: `sync_mm_rss` comes first.

use crate::{
    member::{MEMBERS, Pages},
    memory::{Live, Plain, Word, Words},
    slot::{Deltas, Slot},
};

/// The task that a CPU runs: 64 bytes, one cache line, written by that CPU alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Running<W: Words = Plain> {
    /// Address of the task; 0 before the first switch that we saw.
    pub task: W::U64,
    /// Address of the mm that `seen` is of; 0: the task has none.
    pub mm: W::U64,
    /// The task's cached counts as last seen, in pages.
    pub seen: [W::I32; MEMBERS],
    /// 1 while a BPF program works on this CPU's record and slot: a reader on another CPU does not trust them.
    pub busy: W::U64,
    /// Number of states that were made on this CPU; their ids are made from it.
    pub births: W::U64,
    /// Member plus 1 of an event of the running task's mm which may have been a sync or a direct update; 0: there is none.
    pub doubtful: W::U32,
    /// What was cached of that member then, and taken to be gone.
    pub doubtful_cached: W::I32,
    /// By how much the count had moved.
    pub doubtful_delta: W::I64,
}

impl<W: Live> Running<W> {
    /// The task's cached counts as last seen.
    #[inline(always)]
    #[must_use]
    pub fn seen(&self) -> Deltas {
        let [file, anon, swap, shmem] = &self.seen;
        [file.get(), anon.get(), swap.get(), shmem.get()]
    }

    /// RSS of the task's cached counts as last seen.
    #[inline(always)]
    #[must_use]
    pub fn seen_rss(&self) -> i64 {
        let [file, anon, _, shmem] = self.seen();
        i64::from(file) + i64::from(anon) + i64::from(shmem)
    }

    #[inline(always)]
    fn set_seen(&self, counts: Deltas) {
        let [file, anon, swap, shmem] = &self.seen;
        file.set(counts[0]);
        anon.set(counts[1]);
        swap.set(counts[2]);
        shmem.set(counts[3]);
    }

    /// The CPU takes a task with these counts.
    #[inline(always)]
    pub fn enter(&self, task: u64, mm: u64, counts: Deltas) {
        self.task.set(task);
        self.mm.set(mm);
        self.set_seen(if mm == 0 { [0; MEMBERS] } else { counts });
        self.doubtful.set(0);
    }

    /// What the running task's cached counts changed by since the last look.
    #[inline(always)]
    pub fn look(&self, counts: Deltas) -> Deltas {
        let seen = self.seen();
        self.set_seen(counts);
        [
            counts[0].wrapping_sub(seen[0]),
            counts[1].wrapping_sub(seen[1]),
            counts[2].wrapping_sub(seen[2]),
            counts[3].wrapping_sub(seen[3]),
        ]
    }

    /// The task left its mm: what is left of `seen` is in the mm's
    /// counts. The task has `mm` now, and an empty cache of it.
    #[inline(always)]
    pub fn take(&self, mm: u64) -> Deltas {
        let left = self.seen();
        self.mm.set(mm);
        self.set_seen([0; MEMBERS]);
        self.doubtful.set(0);
        left
    }

    /// A sync: the kernel adds the cached count of `member` to the mm's and will clear it next. Returns how many pages.
    ///
    /// If the event was no sync after all, the next look finds the pages again ([`Self::resolve`]): nothing is lost.
    #[inline(always)]
    pub fn transfer(&self, member: usize) -> i32 {
        let word = &self.seen[member & (MEMBERS - 1)];
        let pages = word.get();
        word.set(0);
        pages
    }

    /// The count moved by something else than what was cached, so only the next look shows whether the event was a sync.
    #[inline(always)]
    pub fn doubt(&self, member: u32, cached: i32, delta: i64) {
        self.doubtful.set(member + 1);
        self.doubtful_cached.set(cached);
        self.doubtful_delta.set(delta);
    }

    /// The event in doubt, if there is one and it was no sync: then the cache still has all of the pages, and they are in `seen` again.
    #[inline(always)]
    pub fn resolve(&self, counts: &Deltas) -> Option<Direct> {
        let member = self.doubtful.get().checked_sub(1)?;
        self.doubtful.set(0);
        let (cached, now) = (self.doubtful_cached.get(), counts[member as usize & (MEMBERS - 1)]);
        if !is_cached_still(cached.into(), now.into()) {
            return None;
        }
        self.seen[member as usize & (MEMBERS - 1)].set(cached);
        Some(Direct { member, cached, delta: self.doubtful_delta.get() })
    }
}

/// Whether `now` holds all that was `cached`: it was not cleared, as a sync does.
#[inline(always)]
#[must_use]
pub const fn is_cached_still(cached: i64, now: i64) -> bool {
    if cached > 0 { now >= cached } else { now <= cached }
}

/// A direct update that was in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Direct {
    /// Its member.
    pub member: u32,
    /// What was cached of that member at the event.
    pub cached: i32,
    /// By how much the count had moved.
    pub delta: i64,
}

impl<W: Live> Slot<W> {
    /// An update by `delta` pages that is in the mm's count already: a hit.
    #[inline(always)]
    pub fn direct(&self, delta: i64) {
        self.count(delta.unsigned_abs());
    }
}

/// The largest figures of one mm that one CPU saw. Each CPU has words of its own, because 5.10 has no compare-and-exchange.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Peak<W: Words = Plain> {
    /// Largest RSS, in pages.
    pub exact: W::I64,
    /// Largest |exact - approximate|, in pages.
    pub drift: W::U32,
    /// The most CPUs that were active at once.
    pub active_max: W::U32,
    /// The most RSS that this CPU's slot had unpublished, in pages: another CPU may have missed so much.
    pub hidden: W::U32,
    /// The largest part of a direct update that may have been counted twice, as other tasks' syncs whose events had not come, in pages.
    pub twice: W::U32,
}

impl Peak {
    /// The error of the peaks, in pages: 0 as long as no two CPUs changed the mm at once.
    #[must_use]
    pub const fn error(&self) -> u64 {
        if self.active_max < 2 {
            0
        } else {
            (self.active_max as u64 - 1) * self.hidden as u64 + self.twice as u64
        }
    }

    /// The larger figures of both.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            exact: self.exact.max(other.exact),
            drift: self.drift.max(other.drift),
            active_max: self.active_max.max(other.active_max),
            hidden: self.hidden.max(other.hidden),
            twice: self.twice.max(other.twice),
        }
    }
}

/// The seed: what the shadow of a state counts from, which is what the caches of all tasks held and we had not followed.
///
/// It is valid for the state with this `id`, as long as that still has `lost` in
/// [`crate::shadow::State::lost`]. `id` is the last word: user space writes the struct from its first byte on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Seed<W: Words = Plain> {
    /// Pages per member.
    pub pages: [W::I64; MEMBERS],
    /// RSS when the state was seeded, in pages.
    pub peak_exact: W::I64,
    /// |exact - approximate| when the state was seeded, in pages.
    pub peak_drift: W::I64,
    /// Sum of |correction| of later readings, in pages.
    pub repaired: W::U64,
    /// How often the state had lost a change by then.
    pub lost: W::U64,
    /// Id of the state.
    pub id: W::U64,
}

/// What the iterator adds to the counters of a task's mm, in a [`crate::record::FullRecord`]: for the leader, once per process; else all 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[repr(C)]
pub struct TaskShadow {
    /// Id of the state; 0: none, or the task is not the leader.
    pub id: u64,
    /// The state's index.
    pub index: u64,
    /// The state's totals, in pages.
    pub totals: Pages,
    /// Hits, as far as flushed.
    pub hits: u64,
    /// Misses.
    pub misses: u64,
    /// Flushes.
    pub flushes: u64,
    /// Publications, and events of the mm's counts.
    pub publications: u64,
    /// Page faults, as far as flushed.
    pub faults: u64,
    /// Churn, as far as flushed.
    pub churn: u64,
    /// The largest figures of all CPUs.
    pub peak: Peak,
    /// How often a change was lost.
    pub lost: u64,
    /// The seed.
    pub seed: Seed,
    /// 1: the mm belongs to what `rss-drift run` measures.
    pub measured: u64,
}

impl TaskShadow {
    /// Whether the state is seeded.
    #[must_use]
    pub const fn is_seeded(&self) -> bool {
        self.id != 0 && self.seed.id == self.id && self.seed.lost == self.lost
    }
}

#[cfg(feature = "user")]
mod plain_old_data {
    //! bytemuck's derive knows no generic structs.
    use super::{Peak, Running, Seed};

    crate::shadow::plain_old_data!(Running of 64, Peak of 24, Seed of 72);
}
