//! The mm's own counters (`mm_struct.rss_stat.count`), and the figures that follow from them.

use super::PerTask;
use crate::{
    MEMBERS, member,
    memory::{Live, Word},
    protocol::handle::Handle,
    running::Seed,
    slot::Slot,
};

/// How often the mirror of a count is stored again while the count moves on.
const TRIES: u32 = 4;
/// The same for [`settle`]: another CPU's sync moves two of the words that it reads.
const SETTLE_TRIES: u32 = 2 * TRIES;

/// What [`follow`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Followed {
    /// By how much the mirror moved.
    pub pages: i64,
    /// Whether the mirror equals the kernel's count. If not, the count moved on while we looked.
    pub settled: bool,
}

/// Keeps the mirror of `member`'s count.
///
/// Two CPUs may store in another order than the kernel counted. So each CPU reads the kernel's count again after its store, with a
/// locked instruction in between, and stores once more if the count has moved on: the CPU that stores last has seen the last count.
#[inline(always)]
pub fn follow<M: PerTask>(
    memory: &M,
    mm: u64,
    member: u32,
    count: i64,
    handle: Handle<'_, M::Words>,
) -> Followed {
    let word = &handle.state.global[member as usize & (MEMBERS - 1)];
    let old = word.get();
    let mut value = count;
    let mut stored = old;
    let mut tries = 0;
    while tries < TRIES {
        word.set(value);
        stored = value;
        handle.state.publications.add(1);
        let Some(now) = memory.count(mm, member) else { break };
        if now == value {
            return Followed { pages: value.wrapping_sub(old), settled: true };
        }
        value = now;
        tries += 1;
    }
    Followed { pages: stored.wrapping_sub(old), settled: false }
}

/// In which direction an event may move the sum of the direct updates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It was a sync, which is no direct update. If the counts come to more, that is another task's sync, whose event has not come yet.
    Down,
    /// It was a direct update.
    Both,
}

/// Keeps [`crate::shadow::State::direct`], and returns by how many pages it went up. `None`: the words kept moving.
///
/// The kernel adds a task's cache to the count before it fires the event. Who reads the counts in between
/// finds pages in them that are still in the cache. So syncs, which are most of the events, may only lower
/// the word: the event of each sync takes back what a direct update on another CPU has counted by mistake.
///
/// `synced` is read before the counts, so they contain all of it, and the difference is never too low.
#[inline(always)]
pub fn settle<M: PerTask>(memory: &M, mm: u64, handle: Handle<'_, M::Words>, way: Way) -> Option<i64> {
    let state = handle.state;
    let old = state.direct.get();
    let mut stands = old;
    let mut stored = false;
    let mut tries = 0;
    while tries < SETTLE_TRIES {
        let synced = state.synced.get();
        let direct = member::rss(&memory.counts(mm)?) - synced;
        if direct == stands || (direct > stands && way == Way::Down && !stored) {
            return Some(direct - old);
        }
        state.direct.set(direct);
        state.publications.add(1);
        stands = direct;
        stored = true;
        tries += 1;
    }
    None
}

/// Whether the seed of the state is still valid.
#[inline(always)]
pub(super) fn is_seeded<W: Live>(seed: &Seed<W>, handle: Handle<'_, W>) -> bool {
    seed.id.get() == handle.state.id.get() && seed.lost.get() == handle.state.lost.get()
}

/// The seed of a state, in pages per member.
#[inline(always)]
pub(super) fn seed_pages<W: Live>(seed: &Seed<W>) -> member::Pages {
    let [file, anon, swap, shmem] = &seed.pages;
    [file.get(), anon.get(), swap.get(), shmem.get()]
}

/// What this CPU's slot holds of a state unpublished, in pages of RSS.
#[inline(always)]
fn pending<W: Live>(handle: Handle<'_, W>, slot: &Slot<W>) -> i64 {
    if slot.id.get() == handle.state.id.get() { slot.pending_rss() } else { 0 }
}

/// RSS of a state as far as this CPU can see, in pages: what the looks found, direct updates, the seed, and its own slot.
///
/// They are read in this order because the first mostly grows and the second mostly shrinks:
/// pages that come and go in between make the sum too low, and never higher than RSS ever was.
#[inline(always)]
pub fn exact<M: PerTask>(memory: &M, handle: Handle<'_, M::Words>, slot: &Slot<M::Words>) -> i64 {
    let Some(seed) = memory.seed(handle.index) else { return 0 };
    let looked = pending(handle, slot) + handle.rss();
    looked + handle.state.direct.get() + member::rss(&seed_pages(seed))
}

/// RSS of the caches of all tasks as far as this CPU can see, in pages.
#[inline(always)]
pub(super) fn cached<M: PerTask>(memory: &M, handle: Handle<'_, M::Words>, slot: &Slot<M::Words>) -> i64 {
    let Some(seed) = memory.seed(handle.index) else { return 0 };
    handle.totals_rss() + pending(handle, slot) + member::rss(&seed_pages(seed))
}

/// Raises this CPU's peaks of a state as far as this CPU can see.
#[inline(always)]
pub fn raise_peaks<M: PerTask>(memory: &M, cpu: u32, handle: Handle<'_, M::Words>, slot: &Slot<M::Words>) {
    raise_peaks_by(memory, cpu, handle, slot, 0);
}

/// As [`raise_peaks`], when RSS was `more` pages higher just now.
#[inline(always)]
pub(super) fn raise_peaks_by<M: PerTask>(
    memory: &M,
    cpu: u32,
    handle: Handle<'_, M::Words>,
    slot: &Slot<M::Words>,
    more: i64,
) {
    let (Some(seed), Some(peak)) = (memory.seed(handle.index), memory.peak(cpu, handle.index)) else {
        return;
    };
    if !is_seeded(seed, handle) {
        return;
    }
    let exact = exact(memory, handle, slot) + more;
    if exact > peak.exact.get() {
        peak.exact.set(exact);
    }
    // Not exact less approximate: those two move one after the other.
    let [file, anon, _, shmem] = handle.global();
    let drift = cached(memory, handle, slot) + below_zero(file) + below_zero(anon) + below_zero(shmem);
    raise(&peak.drift, drift);
}

/// What the approximate reader leaves out of a count: the part below 0.
#[inline(always)]
const fn below_zero(count: i64) -> i64 {
    if count < 0 { count } else { 0 }
}

/// Raises a word of this CPU to so many pages, without the sign.
#[inline(always)]
pub(super) fn raise<T: Word<u32>>(word: &T, pages: i64) {
    let pages = if pages < 0 { -pages } else { pages };
    if pages > i64::from(word.get()) {
        #[expect(clippy::cast_possible_truncation, reason = "a host has no 2^32 pages")]
        word.set(pages.cast_unsigned() as u32);
    }
}
