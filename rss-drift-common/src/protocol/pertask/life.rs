//! From an mm's first event or first visit until its state is given up, without an atomic that returns a value.

use super::{
    PerTask,
    counts::{self, Way},
};
use crate::{
    memory::{Next, Step, Word},
    protocol::{
        handle::Handle,
        lifecycle::{self, Claim, Claimant},
        limbo,
    },
    shadow::{Counts, OWNED, State},
};

/// Our counts on this CPU. They are added to by locked instructions, because the iterator can be preempted.
#[inline(always)]
pub(super) fn counts_here<M: PerTask>(memory: &M) -> Option<&Counts<M::Words>> {
    Some(&memory.cpu(memory.here())?.counts)
}

/// The state of an mm that lives, which is made if there is none. User space counts what its tasks
/// have cached by then ([`crate::running::Seed`]), unless [`born`] knows that there is nothing.
#[inline(always)]
pub fn find_or_create<M: PerTask>(memory: &M, mm: u64) -> Option<Handle<'_, M::Words>> {
    match lifecycle::find(memory, mm) {
        Some(found) => Some(found),
        None => create(memory, mm, Claimant::Event),
    }
}

/// Makes a state for an mm that has none. If another CPU was faster, that CPU's state.
#[inline(always)]
pub(super) fn create<M: PerTask>(memory: &M, mm: u64, by: Claimant) -> Option<Handle<'_, M::Words>> {
    let handle = match lifecycle::claim(memory, mm, by) {
        Claim::New(handle) => handle,
        Claim::Found(handle) => return Some(handle),
        Claim::Refused => return None,
    };
    // From here on every event finds the state, and the CPU that stores a count last has seen the last one.
    let count = memory.counts(mm)?;
    let settled = counts::follow(memory, mm, 0, count[0], handle).settled
        & counts::follow(memory, mm, 1, count[1], handle).settled
        & counts::follow(memory, mm, 2, count[2], handle).settled
        & counts::follow(memory, mm, 3, count[3], handle).settled;
    if !settled {
        counts_here(memory)?.unsettled.add(1);
    }
    if counts::settle(memory, mm, handle, Way::Both).is_none() {
        counts_here(memory)?.unsettled.add(1);
    }
    memory.found(handle.index, &count);
    Some(handle)
}

/// No task has used this mm before, so nothing of it is cached but what we follow from here on. If it has a state already,
/// that may be the state of an mm at the same address which ended unseen: then the new mm takes it over with a new id.
#[inline(always)]
pub fn born<M: PerTask>(memory: &M, cpu: u32, mm: u64) {
    let Some(handle) = find_or_create(memory, mm) else { return };
    let (Some(seed), Some(this)) = (memory.seed(handle.index), memory.cpu(cpu)) else { return };
    let state = handle.state;
    let owned = state.owned.get();
    state.owned.set(OWNED);
    if State::was_owned(owned, memory.now()) {
        renew(memory, handle);
    }
    if state.lost.get() != 0 {
        // A change was lost: user space has to count what is cached.
        return;
    }
    seed.id.set(state.id.get());
    counts::raise_peaks(memory, cpu, handle, &this.slot);
}

/// The state becomes another mm's. Nothing is left in the caches of the mm that had it, and no task runs on the new one yet.
#[inline(always)]
fn renew<M: PerTask>(memory: &M, handle: Handle<'_, M::Words>) {
    let (Some(id), Some(counted)) = (memory.new_id(Claimant::Event), counts_here(memory)) else { return };
    let state = handle.state;
    tell_end(memory, handle.index);
    memory.born(handle.index);
    // From here on a slot that still names this state does not find it.
    state.id.set(0);
    memory.wipe(handle.index);
    state.lost.set(0);
    lifecycle::clear(&state.totals);
    state.rss.set(0);
    state.synced.set(0);
    lifecycle::wipe_figures(state);
    state.active.set(0);
    state.id.set(id);
    if counts::settle(memory, state.mm.get(), handle, Way::Both).is_none() {
        counted.unsettled.add(1);
    }
    counted.inherited.add(1);
    counted.deaths.add(1);
    counted.births.add(1);
}

/// Gives up the state of an mm that may live: it is not checked for a residue. A BPF program on another CPU can be in the
/// middle of an event of the mm, so the index is free only after a while. (It waits in a queue, not in the reader's record:
/// when its buffer is full the kernel throws the record away and visits the task again, `kernel/bpf/bpf_iter.c:bpf_seq_read`.)
#[inline(always)]
pub fn let_go<M: PerTask>(memory: &M, mm: u64) {
    // If the mm's end came first, that CPU goes on with the state.
    let Some(handle) = lifecycle::take_away(memory, mm) else { return };
    tell_end(memory, handle.index);
    lifecycle::finish(handle);
    limbo::enter(memory, handle.index);
}

/// What `run` keeps of a state that ends.
#[inline(always)]
pub(super) fn tell_end<M: PerTask>(memory: &M, index: u32) {
    if !memory.is_measured(index) {
        return;
    }
    if let Some(seed) = memory.seed(index) {
        memory.raise_peaks(index, seed.peak_exact.get(), seed.peak_drift.get(), 0);
    }
    memory.for_each_cpu(&mut TellPeaks { index });
    memory.ended(index);
}

/// A walk over all CPUs that reports the peaks that each saw of a state. The peaks are
/// compared in memory: in registers each outcome would be a state of its own to the verifier.
struct TellPeaks {
    index: u32,
}

impl<M: PerTask> Step<M> for TellPeaks {
    #[inline(always)]
    fn step(&mut self, memory: &M, cpu: u32) -> Next {
        let Some(peak) = memory.peak(cpu, self.index) else { return Next::Stop };
        let (drift, active) = (i64::from(peak.drift.get()), i64::from(peak.active.get()));
        memory.raise_peaks(self.index, peak.exact.get(), drift, active);
        memory.raise_unsure(self.index, i64::from(peak.hidden.get()), i64::from(peak.twice.get()));
        Next::GoOn
    }
}

/// A walk over all CPUs that clears their peaks of a state, for the next mm.
pub struct WipePeaks {
    /// Index of the state.
    pub index: u32,
}

impl<M: PerTask> Step<M> for WipePeaks {
    #[inline(always)]
    fn step(&mut self, memory: &M, cpu: u32) -> Next {
        let Some(peak) = memory.peak(cpu, self.index) else { return Next::Stop };
        peak.exact.set(0);
        peak.drift.set(0);
        peak.active.set(0);
        peak.hidden.set(0);
        peak.twice.set(0);
        Next::GoOn
    }
}

/// As [`WipePeaks`], for the seed.
#[inline(always)]
pub fn wipe_seed<M: PerTask>(memory: &M, index: u32) {
    let Some(seed) = memory.seed(index) else { return };
    seed.id.set(0);
    lifecycle::clear(&seed.pages);
    seed.peak_exact.set(0);
    seed.peak_drift.set(0);
    seed.repaired.set(0);
    seed.lost.set(0);
}
