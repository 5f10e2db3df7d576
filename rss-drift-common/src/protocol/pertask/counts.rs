//! The mm's own counters (`mm_struct.rss_stat.count`), and the figures that follow from them.

use super::PerTask;
use crate::{
    MEMBERS, member,
    memory::{Live, Word},
    protocol::handle::Handle,
    running::Seed,
    slot::Slot,
};

/// How often the mirror of a count that moves on is stored again.
const TRIES: u32 = 4;

/// Keeps the mirror of `member`'s count: by how much it moved. `None`: it did not settle.
///
/// Two CPUs may store in the other order than the kernel counted. So each reads the kernel's count again after its store,
/// with a locked instruction in between, and stores once more if that has moved on: who stores last has seen the last.
#[inline(always)]
pub fn follow<M: PerTask>(
    memory: &M,
    mm: u64,
    member: u32,
    count: i64,
    handle: Handle<'_, M::Words>,
) -> Option<i64> {
    let word = &handle.state.global[member as usize & (MEMBERS - 1)];
    let old = word.get();
    let mut value = count;
    let mut tries = 0;
    while tries < TRIES {
        word.set(value);
        handle.state.publications.add(1);
        let now = memory.count(mm, member)?;
        if now == value {
            return Some(value.wrapping_sub(old));
        }
        value = now;
        tries += 1;
    }
    None
}

/// Whether what the state counts from still holds.
#[inline(always)]
pub(super) fn is_seeded<W: Live>(seed: &Seed<W>, handle: Handle<'_, W>) -> bool {
    seed.id.get() == handle.state.id.get() && seed.lost.get() == handle.state.seeded.get()
}

/// What a state counts from, in pages per member.
#[inline(always)]
pub(super) fn seed_pages<W: Live>(seed: &Seed<W>) -> member::Pages {
    let [file, anon, swap, shmem] = &seed.pages;
    [file.get(), anon.get(), swap.get(), shmem.get()]
}

/// RSS of a state by what this CPU can tell: the mm's counts, the seed, the totals and its own slot; in pages.
#[inline(always)]
pub fn exact<M: PerTask>(memory: &M, handle: Handle<'_, M::Words>, slot: &Slot<M::Words>) -> i64 {
    let Some(seed) = memory.seed(handle.index) else { return 0 };
    let mut cached = member::rss(&seed_pages(seed)) + handle.totals_rss();
    if slot.id.get() == handle.state.id.get() {
        cached += slot.pending_rss();
    }
    member::rss(&handle.global()) + cached
}

/// Raises this CPU's peaks of a state by what it can tell: the mm's counts, the totals and its own slot.
#[inline(always)]
pub fn raise_peaks<M: PerTask>(memory: &M, cpu: u32, handle: Handle<'_, M::Words>, slot: &Slot<M::Words>) {
    let (Some(seed), Some(peak)) = (memory.seed(handle.index), memory.peak(cpu, handle.index)) else {
        return;
    };
    if !is_seeded(seed, handle) {
        return;
    }
    let exact = exact(memory, handle, slot);
    if exact > peak.exact.get() {
        peak.exact.set(exact);
    }
    let drift = exact - handle.approximate();
    let drift = if drift < 0 { -drift } else { drift };
    if drift > i64::from(peak.drift.get()) {
        #[expect(clippy::cast_possible_truncation, reason = "a host has no 2^32 pages of drift")]
        peak.drift.set(drift.cast_unsigned() as u32);
    }
}
