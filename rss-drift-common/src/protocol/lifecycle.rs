//! A state from its claim to its end: the same under both accounting schemes.
//!
//! Whoever takes the entry of an mm away goes on with its state, and nobody else. An id is never used twice, so a slot that still
//! names a state which ended finds that out.

use super::{handle::Handle, limbo};
use crate::{
    memory::{Exchange, Live, Memory, Word},
    shadow::{ORPHANED, READING, State},
};

/// Who asks for a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimant {
    /// A program of an event: the mm lives as long as that runs.
    Event,
    /// The iterator, which holds no reference to the mm. What it works on is marked before the state can be found, so that an end in
    /// the meantime leaves the state to the reader.
    Reader,
}

/// What came of a claim.
pub enum Claim<'m, W: Live> {
    /// The mm has a state: another CPU was faster.
    Found(Handle<'m, W>),
    /// The state is new, and not seeded yet.
    New(Handle<'m, W>),
    /// There is no room.
    Refused,
}

/// The state of the mm at this address, which lives.
#[inline(always)]
pub fn find<M: Memory>(memory: &M, mm: u64) -> Option<Handle<'_, M::Words>> {
    Handle::at(memory, memory.find(mm)?)
}

/// Takes a free index. The list of them has one lock for all CPUs, so where none is free a flag says that.
#[inline(always)]
fn take_free<M: Memory>(memory: &M) -> Option<u32> {
    let full = memory.full()?;
    if full.get() != 0 {
        return None;
    }
    if let Some(index) = memory.pop_free() {
        return Some(index);
    }
    full.set(1);
    // Whoever gave one back before the flag stood did not take it away.
    let late = memory.pop_free();
    if late.is_some() {
        full.set(0);
    }
    late
}

/// Gives an index back.
#[inline(always)]
fn give_back<M: Memory>(memory: &M, index: u32) {
    memory.push_free(index);
    if let Some(full) = memory.full()
        && full.get() != 0
    {
        full.set(0);
    }
}

/// Claims a state for the mm at this address, which had none just now.
#[inline(always)]
pub fn claim<M: Memory>(memory: &M, mm: u64, by: Claimant) -> Claim<'_, M::Words> {
    let Some(counts) = memory.cpu(memory.here()).map(|cpu| &cpu.counts) else { return Claim::Refused };
    let Some(shared) = memory.shared() else { return Claim::Refused };
    let Some(index) = take_free(memory) else {
        counts.refused.add(1);
        memory.refused(counts.refused.get());
        return Claim::Refused;
    };
    let (Some(state), Some(id)) = (memory.state(index), memory.new_id(by)) else { return Claim::Refused };
    state.mm.set(mm);
    state.seeded.set(0);
    state.visited.set(shared.pass.get());
    state.id.set(id);
    memory.born(index);
    if by == Claimant::Reader {
        begin_reading::<M>(Handle { index, id, state });
    }
    if memory.insert(mm, index) {
        counts.births.add(1);
        return Claim::New(Handle { index, id, state });
    }
    state.id.set(0);
    if by == Claimant::Reader {
        // Nobody found it: nobody left it to us.
        state.reader.set(0);
    }
    memory.forgotten(index);
    give_back(memory, index);
    // Another CPU was faster, or the hash refused.
    if let Some(found) = find(memory, mm) {
        return Claim::Found(found);
    }
    counts.refused.add(1);
    Claim::Refused
}

/// The reader works on this state from here on: it is not given to another mm. Where the reader made it, that was said before, and the mm
/// may have ended since: that stays.
#[inline(always)]
pub fn begin_reading<M: Memory>(handle: Handle<'_, M::Words>) {
    if M::READER_MARKS {
        handle.state.reader.replace(0, READING);
    }
}

/// The mm of this state ended, and its id is 0: whether the reader is at it, with deltas that it has yet to add. Then it is the reader that
/// goes on. (Mark and id are each written in one step with a full barrier, and then the other one is read: who comes second sees the first.)
#[inline(always)]
pub(super) fn leave_to_reader<W: Live>(handle: Handle<'_, W>) -> bool {
    handle.state.reader.replace(READING, ORPHANED)
}

/// Takes the state of an mm away from everybody who has yet to look it up; `None` where somebody else did. Whoever took it away
/// goes on with its end.
///
/// Who gives up an mm that may end meanwhile can come so late that its address is another mm's, and takes away the entry of that: an
/// end has freed the state before the address is free. The other one's state is [`limbo::LOST`], unless it is the same one.
#[inline(always)]
pub fn take_away<M: Memory>(memory: &M, mm: u64) -> Option<Handle<'_, M::Words>> {
    let handle = find(memory, mm)?;
    if !memory.remove(mm) {
        return None;
    }
    let handle = handle.again();
    if !handle.lives_at(mm) {
        limbo::lose(memory);
        return None;
    }
    memory.cpu(memory.here())?.counts.deaths.add(1);
    Some(handle)
}

/// The state is no mm's any more: from here on no slot that still names it finds it.
#[inline(always)]
pub(super) fn finish<W: Live>(handle: Handle<'_, W>) {
    handle.state.id.set(0);
}

/// Clears a state and gives its index back: whoever gets it next begins with nothing. Nobody may find it or work on it any more.
#[inline(always)]
pub fn free<M: Memory>(memory: &M, index: u32) {
    memory.wipe(index);
    if let Some(state) = memory.state(index) {
        wipe(state);
    }
    give_back(memory, index);
}

/// Clears all of a state but its id, which says that it is free, `visited`, which its next owner sets, and the reader's mark.
#[inline(always)]
fn wipe<W: Live>(state: &State<W>) {
    state.mm.set(0);
    state.seeded.set(0);
    state.owned.set(0);
    clear(&state.global);
    clear(&state.totals);
    state.rss.set(0);
    state.approximate.set(0);
    state.settling.set(0);
    state.synced.set(0);
    state.direct.set(0);
    wipe_figures(state);
}

/// Clears what was counted of an mm and its peaks; what its counters come to stays.
#[inline(always)]
pub(super) fn wipe_figures<W: Live>(state: &State<W>) {
    state.hits.set(0);
    state.misses.set(0);
    state.flushes.set(0);
    state.publications.set(0);
    state.faults.set(0);
    state.churn.set(0);
    state.repaired.set(0);
    state.peak_exact.set(0);
    state.peak_drift.set(0);
    state.active.set(0);
    state.active_max.set(0);
    state.entered.set(0);
    state.alone.set(0);
    state.looked.set(0);
    state.looked_at.set(0);
    state.tgid.set(0);
    clear(&state.cpus);
}

/// Zeroes four words.
#[inline(always)]
pub(super) fn clear<T: Default + Copy, W: Word<T>>(words: &[W; 4]) {
    words[0].set(T::default());
    words[1].set(T::default());
    words[2].set(T::default());
    words[3].set(T::default());
}
