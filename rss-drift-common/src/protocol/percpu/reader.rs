//! The iterator of full mode: the shadow of an mm after every word was refreshed.

use super::{PerCpu, life, words};
use crate::{
    member,
    memory::{Live, Memory, Next, Step, Word},
    protocol::{
        handle::Handle,
        lifecycle::{self, Claimant},
    },
    shadow::{SHADOW_MEASURED, SHADOW_UNSETTLED, SHADOW_VALID, ShadowRecord},
};

/// How often a reading that an event disturbed is repeated.
const TRIES: u32 = 4;
/// How often the words are refreshed until nothing more is found.
const ROUNDS: u32 = 3;

/// What the reader knows of the task that it visits.
pub trait Visit<M: Memory> {
    /// The address of the mm that the task has now.
    fn mm_now(&self, memory: &M) -> Option<u64>;
    /// Thread group of the task.
    fn tgid(&self, memory: &M) -> u32;
    /// The reading of this state is valid so far: `run` takes its own figures.
    fn visited(&self, memory: &M, handle: Handle<'_, M::Words>, mm: u64);
}

/// A reading that has reading.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading {
    /// Id of the state when the reading began; 0: there is nothing to read.
    id: u64,
    /// Index of the state.
    index: u32,
    /// What the refresh found: [`MOVED`], [`WHOLE`], [`UNSETTLED`].
    found: u32,
}

impl Reading {
    /// None yet.
    pub const NONE: Self = Self { id: 0, index: 0, found: 0 };

    #[inline(always)]
    const fn is(self, found: u32) -> bool {
        self.found & found != 0
    }
}

/// The refresh took something.
const MOVED: u32 = 1;
/// The totals are whole.
const WHOLE: u32 = 1 << 1;
/// A word kept changing.
const UNSETTLED: u32 = 1 << 2;

/// Begins to read what the shadow knows of `mm`, which the visited task had just now: its state is marked, and all words are refreshed.
/// [`read`] ends that. (They are two functions because one stack has no room for the walks of both.)
#[inline(always)]
pub fn begin<M: PerCpu>(memory: &M, visit: &impl Visit<M>, mm: M::Mm, reading: &mut Reading) {
    let address = memory.address(mm);
    let known = lifecycle::find(memory, address);
    let handle = match known {
        Some(handle) => Some(handle),
        None => life::create(memory, mm, Claimant::Reader),
    };
    let Some(handle) = handle else { return };
    lifecycle::begin_reading::<M>(handle);
    if visit.mm_now(memory) != Some(address) {
        life::done_reading(memory, handle);
        if known.is_none() {
            // The task has left the mm, which may have ended before its state was made: then no end would remove the state.
            memory.let_go(memory.number(mm));
        }
        return;
    }
    // Behind the mark: who has the state now keeps it.
    let handle = handle.again();
    if !handle.is_of(address) {
        life::done_reading(memory, handle);
        return;
    }
    let found = refresh(memory, mm, handle, visit.tgid(memory));
    *reading = Reading { id: handle.id, index: handle.index, found };
}

/// Refreshes all words until nothing more is found, and says what it found.
#[inline(always)]
fn refresh<M: PerCpu>(memory: &M, mm: M::Mm, handle: Handle<'_, M::Words>, tgid: u32) -> u32 {
    let mut found = 0;
    let mut rounds = 0;
    while rounds < ROUNDS {
        rounds += 1;
        // A fold that has changed the count, and not the slot yet, holds the lock.
        let locked = memory.locks(mm);
        let refreshed = words::refresh_all(memory, mm, handle);
        if refreshed.corrected != 0 {
            handle.add_repaired(refreshed.corrected);
        }
        if refreshed.unsettled != 0 {
            if let Some(cpu) = memory.cpu(memory.here()) {
                cpu.counts.unsettled.add(refreshed.unsettled);
            }
            memory.unsettled(u64::from(tgid), refreshed.unsettled);
            found |= UNSETTLED;
        }
        if refreshed.moved == 0 {
            // A refresh that took something may have taken the count of a fold and not its slot, or the other
            // way round. Only a refresh that finds nothing more, with no lock held, shows that all is there.
            if locked == 0 {
                found |= WHOLE;
            }
            break;
        }
        found |= MOVED;
        // No event will count what the refresh took.
        handle.add_churn(refreshed.moved);
    }
    found
}

/// Reads what the shadow knows of the mm at this address, and ends the reading.
#[inline(always)]
pub fn read<M: PerCpu>(
    memory: &M,
    visit: &impl Visit<M>,
    address: u64,
    reading: Reading,
    record: &mut ShadowRecord,
) {
    if reading.id == 0 {
        return;
    }
    let handle = Handle::known(memory, reading.index, reading.id);
    let (Some(handle), Some(shared)) = (handle, memory.shared()) else { return };
    if reading.is(UNSETTLED) {
        record.flags |= SHADOW_UNSETTLED;
    }
    // No reading yet. Nothing is left undefined, because the verifier does not allow undefined values to be copied.
    let mut before = (i64::MIN, 0);
    let mut approximate = before.0;
    let mut tries = 0;
    while tries < TRIES {
        tries += 1;
        record.flags &= !SHADOW_VALID;
        // Meanwhile a state can become that of another mm at its address.
        if !memory.add_up(handle, record) || !reading.is(WHOLE) || !handle.lives() {
            continue;
        }
        record.flags |= SHADOW_VALID;
        if !reading.is(MOVED) && handle.state.tgid.get() != 0 {
            break;
        }
        // No event will raise the peaks for what the refresh took, and perhaps none has for a state that no reading
        // has visited yet. Two readings that agree are of one instant, and so is what was read between them.
        let now = (member::rss(&record.shadow), record.churn);
        if before == now {
            handle.raise_exact(now.0);
            handle.raise_drift(now.0, approximate, memory.bound());
            record.peak_exact = handle.state.peak_exact.get();
            record.peak_drift = handle.state.peak_drift.get();
            break;
        }
        before = now;
        approximate = handle.seen_approximate();
    }
    record.id = handle.id;
    let state = handle.state;
    if state.owned.get() == 0 {
        state.owned.set(memory.now());
    }
    if memory.is_measured(handle.index) {
        record.flags |= SHADOW_MEASURED;
    }
    visit.visited(memory, handle, address);
    state.tgid.set(u64::from(visit.tgid(memory)));
    // Once per reading, even if several processes have the mm, or the kernel visits a task again because its
    // buffer was full. (A state that is made in this reading does not count: then the sweep looks in vain.)
    if state.visited.get() != shared.pass.get() {
        state.visited.set(shared.pass.get());
        shared.visited.set(shared.visited.get() + 1);
    }
    life::done_reading(memory, handle);
}

/// A walk over all CPUs that adds up the slots.
struct Walk<'a> {
    record: &'a mut ShadowRecord,
    id: u64,
    index: u64,
    /// Slots that a BPF program was changing on behalf of this state.
    busy: u64,
}

/// Totals plus the slots that hold the mm; true when no flush came between.
///
/// A flush marks its slot busy with this state's index, and raises one of two counts as its last step.
#[inline(always)]
pub fn add_up<M: PerCpu>(memory: &M, handle: Handle<'_, M::Words>, record: &mut ShadowRecord) -> bool {
    let state = handle.state;
    let before = handle.given_up();
    // Churn is read before pages, here and in each slot: what the pages lack is in the churn of a later reading, not of this one.
    record.churn = state.churn.get();
    let totals = handle.totals();
    record.shadow = totals;
    record.hits = state.hits.get();
    record.faults = state.faults.get();
    record.slots = 0;
    let mut walk =
        Walk { record, id: handle.id, index: u64::from(handle.index), busy: memory.zero().cast_unsigned() };
    memory.for_each_cpu(&mut walk);
    let Walk { record, busy, .. } = walk;
    record.misses = state.misses.get();
    record.flushes = state.flushes.get();
    record.repaired = state.repaired.get();
    record.peak_exact = state.peak_exact.get();
    record.peak_drift = state.peak_drift.get();
    record.active_max = state.active_max.get();
    let again = handle.totals();
    let unchanged =
        (again[0] ^ totals[0]) | (again[1] ^ totals[1]) | (again[2] ^ totals[2]) | (again[3] ^ totals[3]);
    busy == 0 && unchanged == 0 && handle.given_up() == before
}

impl<M: PerCpu> Step<M> for Walk<'_> {
    #[inline(always)]
    fn step(&mut self, memory: &M, cpu: u32) -> Next {
        let Some(owner) = memory.cpu(cpu) else { return Next::Stop };
        let slot = &owner.slot;
        #[expect(clippy::cast_possible_truncation, reason = "it was made from an index of 32 bits")]
        let index = self.index as u32;
        // Looked at before the deltas and behind them: an event may begin, or end, in between.
        let busy = slot.busy.get();
        if slot.id.get() == self.id {
            let record = &mut *self.record;
            let (hits, churn) = slot.counted();
            record.hits += hits;
            record.churn = record.churn.wrapping_add(churn);
            let pending = slot.pending();
            record.shadow[0] += i64::from(pending[0]);
            record.shadow[1] += i64::from(pending[1]);
            record.shadow[2] += i64::from(pending[2]);
            record.shadow[3] += i64::from(pending[3]);
            record.faults += slot.faults.get();
            record.slots += 1;
        }
        if slot.works_on(busy, index, self.id) || slot.works_on(slot.busy.get(), index, self.id) {
            self.busy += 1;
        }
        Next::GoOn
    }
}

/// CPUs whose slot held the mm at an update, by bit.
#[inline(always)]
#[must_use]
pub fn cpus_of<W: Live>(handle: Handle<'_, W>) -> [u64; 4] {
    let [a, b, c, d] = &handle.state.cpus;
    [a.get(), b.get(), c.get(), d.get()]
}
