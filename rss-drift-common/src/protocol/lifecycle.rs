//! A state from its claim to its end: the same under both accounting schemes.
//!
//! Only the CPU that removes the entry of an mm goes on with the end of its state. An id
//! is never used twice, so a slot that still names a state which has ended notices that.

use super::{handle::Handle, limbo};
use crate::{
    memory::{Exchange, Live, Memory, Word},
    shadow::{ORPHANED, READING, State},
};

/// Who asks for a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimant {
    /// The BPF program of an event: the mm lives at least as long as that runs.
    Event,
    /// The iterator, which holds no reference to the mm. It marks the state before anybody
    /// can find it, so that an end in the meantime leaves the state to the reader.
    Reader,
}

/// The result of a claim.
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

/// Takes a free index. The list of them has one lock for all CPUs, so a flag says when none is free.
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
    // An index that was given back before the flag was set did not clear it.
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
    M::unseed(state);
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
        // Nobody could find the state, so no end left it to the reader.
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

/// From here on the reader works on this state, and it is not given to another mm. If the reader made the
/// state, the mark was set before, and the mm may have ended since: then the mark stays [`ORPHANED`].
#[inline(always)]
pub fn begin_reading<M: Memory>(handle: Handle<'_, M::Words>) {
    if M::READER_MARKS {
        handle.state.reader.replace(0, READING);
    }
}

/// The mm of this state has ended, and the id is 0. True if the reader works on the state and may have deltas to add: then the reader goes
/// on. (Each side writes its word, mark or id, in one step with a full barrier, and then reads the other's: the second one sees the first.)
#[inline(always)]
pub(super) fn leave_to_reader<W: Live>(handle: Handle<'_, W>) -> bool {
    handle.state.reader.replace(READING, ORPHANED)
}

/// Removes the entry of an mm, so that nobody can look up its state any more;
/// `None` if another CPU did that first. Who gets the state goes on with its end.
///
/// A caller that gives up an mm which may end meanwhile can be late. Then the address is another mm's, and the caller removes that one's
/// entry. (An end frees the state before the address is free.) The other mm's state is [`limbo::LOST`] then, unless it is the same state.
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

/// The state is no mm's any more: from here on a slot that still names it does not find it.
#[inline(always)]
pub(super) fn finish<W: Live>(handle: Handle<'_, W>) {
    handle.state.id.set(0);
}

/// Clears a state and gives its index back, so that its next mm begins with nothing. Nobody may find it or work on it any more.
#[inline(always)]
pub fn free<M: Memory>(memory: &M, index: u32) {
    memory.wipe(index);
    if let Some(state) = memory.state(index) {
        wipe::<M>(state);
    }
    give_back(memory, index);
}

/// Clears a state except its id, which says that it is free, `visited`, which its next owner sets, and the reader's mark.
#[inline(always)]
fn wipe<M: Memory>(state: &State<M::Words>) {
    state.mm.set(0);
    M::unseed(state);
    state.owned.set(0);
    clear(&state.global);
    clear(&state.totals);
    state.rss.set(0);
    state.approximate.set(0);
    state.settling.set(0);
    state.synced.set(0);
    state.direct.set(0);
    state.alone.set(0);
    state.active_cpus.set(0);
    wipe_figures(state);
}

/// Clears what was counted of an mm and its peaks. The sums of its counters stay.
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
    state.active_max.set(0);
    state.entered.set(0);
    state.events_seen.set(0);
    state.events_seen_at.set(0);
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
