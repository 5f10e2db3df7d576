//! From an mm's first event or first visit to its end at `__mmdrop`.

use super::{PerCpu, alone, words};
use crate::{
    member::Pages,
    memory::{Exchange, Memory, Next, Step, Word},
    protocol::{
        flush,
        handle::Handle,
        lifecycle::{self, Claim, Claimant},
        limbo,
    },
    shadow::{ORPHANED, OWNED, State},
};

/// Makes a state for an mm that has none, and seeds it. If another CPU was faster, that CPU's state.
///
/// Seeding reads every word of the mm once. The state can be found before that. So an update that comes
/// too late for this reading has an event that finds the state: none is lost, and none counts twice.
#[inline(always)]
pub fn create<M: PerCpu>(memory: &M, mm: M::Mm, by: Claimant) -> Option<Handle<'_, M::Words>> {
    let handle = match lifecycle::claim(memory, memory.address(mm), by) {
        Claim::New(handle) => handle,
        Claim::Found(handle) => return Some(handle),
        Claim::Refused => return None,
    };
    seed(memory, mm, handle);
    handle.state.seeded.swap(1);
    first_peaks(memory, handle);
    Some(handle)
}

/// The peaks begin. A CPU that already changes the mm has raised none, and its slot may have pending deltas: then the
/// peaks get an error. (This is asked before the totals are read: a CPU that has stopped has given its deltas to them.)
#[inline(always)]
fn first_peaks<M: PerCpu>(memory: &M, handle: Handle<'_, M::Words>) {
    if handle.has_active_cpus() {
        handle.doubt_peaks();
    }
    handle.raise_peaks(handle.rss(), memory.bound());
}

/// Four counts mixed into one word, which changes when one of them does: the stack has no room for four.
#[inline(always)]
const fn in_one_word(counts: Pages) -> i64 {
    counts[0] ^ counts[1].rotate_left(16) ^ counts[2].rotate_left(32) ^ counts[3].rotate_left(48)
}

/// The counts of an mm in one word; another word while a fold is on its way. A function of its own, because its caller's stack is full.
#[inline(never)]
fn counts_in_one_word<M: PerCpu>(memory: &M, mm: M::Mm) -> i64 {
    let counts = in_one_word([
        memory.count::<0>(mm),
        memory.count::<1>(mm),
        memory.count::<2>(mm),
        memory.count::<3>(mm),
    ]);
    // The locks are read after the counts.
    if memory.locks(mm) == 0 { counts } else { !counts }
}

/// Reads every word of the mm once. The slots are read before the counts, so a fold in between is seen in both:
/// then the peaks get an error. (The rule is that of [`super::exact`]. The refresh keeps the counts that it saw.)
#[inline(always)]
fn seed<M: PerCpu>(memory: &M, mm: M::Mm, handle: Handle<'_, M::Words>) {
    let before = counts_in_one_word(memory, mm);
    let refreshed = words::refresh_all(memory, mm, handle);
    if before != in_one_word(handle.global()) {
        handle.doubt_peaks();
    }
    if let Some(cpu) = memory.cpu(memory.here()) {
        cpu.counts.unsettled.add(refreshed.unsettled);
    }
}

/// A task gets a new mm. If not all ends are seen, an mm that ended unseen may have had
/// the same address, and its state is found here. Then the new mm takes it over with a new
/// id. Its sums need only a refresh; the counts and peaks of the other mm are cleared.
#[inline(always)]
pub fn born<M: PerCpu>(memory: &M, mm: M::Mm) {
    let Some(handle) = lifecycle::find(memory, memory.address(mm)) else { return };
    let (Some(cpu), Some(shared)) = (memory.cpu(memory.here()), memory.shared()) else { return };
    let state = handle.state;
    if !State::was_owned(state.owned.swap(OWNED), memory.now()) {
        return;
    }
    cpu.counts.inherited.add(1);
    if !gather(memory, handle).all {
        // These totals are not complete: the next event makes a new state.
        memory.let_go(memory.number(mm));
        return;
    }
    let Some(id) = memory.new_id(Claimant::Event) else { return };
    cpu.counts.deaths.add(1);
    cpu.counts.births.add(1);
    tell_end(memory, handle);
    memory.born(handle.index);
    let own = cpu.slot.active.get() != 0 && cpu.slot.id.get() == handle.id;
    state.id.swap(id);
    alone::disturb(memory, handle);
    let handle = Handle { id, ..handle };
    lifecycle::wipe_figures(state);
    // A miss that came behind the look at its CPU goes on counting itself.
    if own {
        state.active_cpus.add(-1);
    }
    seed(memory, mm, handle);
    state.visited.set(shared.pass.get());
    first_peaks(memory, handle);
}

/// Ends the state of an mm. This is the mm's last moment: all its counters are 0, so the shadow
/// must be 0 too. Before that is checked, a refresh corrects what a missed event left behind.
#[inline(always)]
pub fn end<M: PerCpu>(memory: &M, mm: M::Mm) {
    let address = memory.address(mm);
    let Some(cpu) = memory.cpu(memory.here()) else { return };
    let Some(handle) = lifecycle::take_away(memory, address) else {
        // Where the state lost its entry before ([`limbo::LOST`]), this slot may still be alone with the mm, and nothing else would
        // end that. (Another CPU's slot is not: a switch has ended it.)
        if cpu.slot.alone.get() == address {
            cpu.slot.forbid();
        }
        return;
    };
    let counts = &cpu.counts;
    let Gathered { all, held } = gather(memory, handle);
    // No later event corrects what was missed. (If the reader still has deltas to add, the refresh finds nothing.)
    let late =
        if !all || handle.residue() == 0 { 0 } else { words::refresh_all(memory, mm, handle).corrected };
    tell_end(memory, handle);
    finish(memory, handle);
    if !all {
        // A flush that found the state before may still add something.
        counts.unjudged.add(1);
        limbo::enter(memory, handle.index);
        return;
    }
    if lifecycle::leave_to_reader(handle) {
        return;
    }
    counts.late.add(late);
    let residue = handle.residue();
    if residue != 0 {
        counts.deaths_with_residue.add(1);
        counts.residue.add(residue);
        memory.residue(handle.state.tgid.get(), residue);
    }
    if held {
        // All pages are in the totals, but a flush that found the state before its end may still add hits.
        limbo::enter(memory, handle.index);
        return;
    }
    memory.free(handle.index);
}

/// Gives up the state of an mm that may live: it is not checked for a residue, and its index is free only after a while.
#[inline(always)]
pub fn let_go<M: PerCpu>(memory: &M, mm: u64) {
    // If the mm's end came first, that CPU goes on with the state.
    let Some(handle) = lifecycle::take_away(memory, mm) else { return };
    tell_end(memory, handle);
    finish(memory, handle);
    limbo::enter(memory, handle.index);
}

/// The state is no mm's any more: from here on no slot that still names it finds it, and none updates it without a look.
#[inline(always)]
fn finish<M: PerCpu>(memory: &M, handle: Handle<'_, M::Words>) {
    handle.state.id.swap(0);
    alone::disturb(memory, handle);
}

/// The reader is done with what it worked on: it goes on with the state's end if the mm ended meanwhile. Nobody looks for a residue then:
/// the words that the reader came to last may have been memory of another mm by then, which has the address. And another CPU may have
/// yet to flush, so the index waits.
#[inline(always)]
pub fn done_reading<M: PerCpu>(memory: &M, handle: Handle<'_, M::Words>) {
    if handle.state.reader.swap(0) == ORPHANED {
        if let Some(cpu) = memory.cpu(memory.here()) {
            cpu.counts.unjudged.add(1);
        }
        limbo::enter(memory, handle.index);
    }
}

/// What `run` keeps of a state that ends.
#[inline(always)]
fn tell_end<M: PerCpu>(memory: &M, handle: Handle<'_, M::Words>) {
    if memory.is_measured(handle.index) {
        let state = handle.state;
        let (exact, drift) = (state.peak_exact.get(), state.peak_drift.get());
        memory.raise_peaks(handle.index, exact, drift, state.active_max.get());
        memory.ended(handle.index);
    }
}

/// A walk over all CPUs: what other CPUs' slots still have to give of an mm.
struct Pending {
    id: u64,
    index: u64,
    /// The CPU that adds up.
    own: u64,
    /// Slots of other CPUs that still have to flush pages, or are flushing them.
    unflushed: u64,
    /// Address of the mm.
    mm: u64,
    /// Slots of other CPUs that still have to flush counts.
    held: u64,
}

/// The result of [`gather`].
struct Gathered {
    /// No other CPU still has to flush pages.
    all: bool,
    /// Another CPU still has to flush counts.
    held: bool,
}

/// Gives what this CPU's slot holds of an mm to its totals, because the slot is not read any more after the
/// end. If another CPU still has to flush pages, the totals are not complete, and may still change. (Pages in
/// other slots are not added here: between two looks a slot can take another mm, or give its pages itself.)
///
/// This CPU's own slot publishes first. Otherwise a switch that preempts us (on a kernel that preempts itself: in `__mmdrop`, and
/// from 7.x on in a tracepoint) would flush what we have counted already, or what we have yet to count when the state has ended.
///
/// Another CPU's slot published or flushed when its task left the mm, as a rule before the last reference
/// was dropped. But from `fs/exec.c:exec_mmap` to `sched_process_exec` a slot names the old mm, which its
/// task does not hold any more: if a reader of its /proc files does, the mm ends with that reader. And where
/// `exit_mmap` is the end, a thread between `kernel/exit.c:exit_mm` and its last switch does not delay it.
#[inline(always)]
fn gather<M: PerCpu>(memory: &M, handle: Handle<'_, M::Words>) -> Gathered {
    let Some(cpu) = memory.cpu(memory.here()) else { return Gathered { all: false, held: true } };
    flush::publish(memory, cpu);
    let zero = memory.zero();
    let mut pending = Pending {
        id: handle.id,
        index: u64::from(handle.index),
        own: u64::from(memory.here()),
        unflushed: zero.cast_unsigned(),
        mm: handle.state.mm.get(),
        held: zero.cast_unsigned(),
    };
    memory.for_each_cpu(&mut pending);
    Gathered { all: pending.unflushed == 0, held: pending.held != 0 }
}

impl<M: Memory> Step<M> for Pending {
    #[inline(always)]
    fn step(&mut self, memory: &M, cpu: u32) -> Next {
        let Some(owner) = memory.cpu(cpu) else { return Next::Stop };
        let slot = &owner.slot;
        let unflushed = slot.id.get() == self.id && slot.active.get() != 0;
        // Read last: a flush that took what we looked for has set its mark by then, or is done.
        #[expect(clippy::cast_possible_truncation, reason = "it was made from an index of 32 bits")]
        let busy = slot.works_on(slot.busy.get(), self.index as u32, self.id);
        // A slot without a state yet has counted faults alone.
        let held = (slot.id.get() == self.id || slot.mm.get() == self.mm)
            && slot.hits.get() | slot.faults.get() != 0;
        if u64::from(cpu) == self.own {
            // The BPF program that we preempted may be about to add a batch.
            self.unflushed += u64::from(busy);
        } else {
            self.unflushed += u64::from(unflushed || busy);
            self.held += u64::from(held);
        }
        Next::GoOn
    }
}

/// A walk over all CPUs that clears the words, as last seen, of a state that is given up.
pub struct WipeSeen {
    /// Index of the state.
    pub index: u64,
}

impl<M: PerCpu> Step<M> for WipeSeen {
    #[inline(always)]
    fn step(&mut self, memory: &M, cpu: u32) -> Next {
        #[expect(clippy::cast_possible_truncation, reason = "it was made from an index of 32 bits")]
        let Some(seen) = memory.seen(cpu, self.index as u32) else { return Next::Stop };
        lifecycle::clear(seen);
        Next::GoOn
    }
}
