//! From an mm's first event or first visit to its end, without an atomic that returns a value.

use super::{
    PerTask,
    counts::{self, Way},
};
use crate::{
    MEMBERS,
    member::Pages,
    memory::{Live, Next, Step, Word},
    protocol::{
        handle::Handle,
        lifecycle::{self, Claim, Claimant},
        limbo,
    },
    running::{Running, Seed},
    shadow::{Counts, OWNED, State},
    slot::busy_with,
};

/// Our counts on this CPU. They are added to by locked instructions, because the iterator can be preempted.
#[inline(always)]
fn counts_here<M: PerTask>(memory: &M) -> Option<&Counts<M::Words>> {
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
    state.active_cpus.set(0);
    state.id.set(id);
    if counts::settle(memory, state.mm.get(), handle, Way::Both).is_none() {
        counted.unsettled.add(1);
    }
    counted.inherited.add(1);
    counted.deaths.add(1);
    counted.births.add(1);
}

/// Ends the state of an mm. This is the mm's last moment: all its counters are 0, and so must be the shadow.
#[inline(always)]
pub fn end<M: PerTask>(memory: &M, mm: u64) {
    let Some(handle) = lifecycle::take_away(memory, mm) else { return };
    let (Some(seed), Some(counted)) = (memory.seed(handle.index), counts_here(memory)) else {
        return;
    };
    let mut others = Others::new(memory, handle);
    memory.for_each_cpu(&mut others);
    let residue = if others.unflushed == 0 { residue_of(memory, handle, seed) } else { None };
    match residue {
        Some(0) => {}
        Some(pages) => {
            counted.deaths_with_residue.add(1);
            counted.residue.add(pages);
        }
        None => counted.unjudged.add(1),
    }
    tell_end(memory, handle.index);
    lifecycle::finish(handle);
    if others.unflushed | others.held == 0 {
        lifecycle::free(memory, handle.index);
    } else {
        // A flush that found the state before its end may still add something.
        limbo::enter(memory, handle.index);
    }
}

/// A walk over all CPUs: what other CPUs still have to give of an mm.
///
/// As a rule there is nothing: a CPU holds the mm (`active_mm`) until it has left the mm's task, and its slot
/// published then. But from `fs/exec.c:exec_mmap` to `sched_process_exec` a slot names the old mm, which its
/// task does not hold any more: if a reader of its /proc files does, the mm ends with that reader. And where
/// `exit_mmap` is the end, a thread between `kernel/exit.c:exit_mm` and its last switch does not delay it.
struct Others {
    id: u64,
    index: u32,
    mm: u64,
    /// The CPU that walks.
    own: u32,
    /// CPUs that still have to give pages, or are giving them: then the totals are not complete, and may still change.
    unflushed: u64,
    /// Slots of other CPUs that still have to give counts.
    held: u64,
}

impl Others {
    #[inline(always)]
    fn new<M: PerTask>(memory: &M, handle: Handle<'_, M::Words>) -> Self {
        let zero = memory.zero().cast_unsigned();
        Self {
            id: handle.id,
            index: handle.index,
            mm: handle.state.mm.get(),
            own: memory.here(),
            unflushed: zero,
            held: zero,
        }
    }
}

impl<M: PerTask> Step<M> for Others {
    #[inline(always)]
    fn step(&mut self, memory: &M, cpu: u32) -> Next {
        let (Some(owner), Some(running)) = (memory.cpu(cpu), memory.running(cpu)) else { return Next::Stop };
        let slot = &owner.slot;
        let named = slot.id.get() == self.id;
        if cpu != self.own {
            // What the running task had cached is in the mm's count, though no event showed that: its CPU still has to take it out.
            let pages = slot.active.get() != 0 || (running.mm.get() == self.mm && holds_pages(running));
            self.unflushed += u64::from(named && pages);
            // A slot without a state yet has counted page faults only.
            let counted = slot.hits.get() | slot.faults.get() != 0;
            self.held += u64::from((named || slot.mm.get() == self.mm) && counted);
        }
        // Read last: a flush that took what we looked for has set its mark by then, or is done. (On this CPU: what we interrupted.)
        let at_work = (named && running.busy.get() != 0) || slot.busy.get() == busy_with(self.index);
        self.unflushed += u64::from(at_work);
        Next::GoOn
    }
}

/// Whether anything is left that the running task had cached.
#[inline(always)]
fn holds_pages<W: Live>(running: &Running<W>) -> bool {
    let [file, anon, swap, shmem] = running.seen();
    file | anon | swap | shmem != 0
}

/// The residue: the sum of what is left of each member, without signs, in pages, when no other CPU has
/// anything to give. `None`: a switch preempted us (6.1 in fentry) and flushed this CPU's slot
/// meanwhile, so that its pages are in both sums or in none. A state that is not seeded has no residue.
///
/// A CPU whose record still names the mm has not looked since its task left the
/// mm. The task's cache was added to the mm's count before (`sync_mm_rss`).
#[inline(always)]
fn residue_of<M: PerTask>(memory: &M, handle: Handle<'_, M::Words>, seed: &Seed<M::Words>) -> Option<u64> {
    if !counts::is_seeded(seed, handle) {
        return Some(0);
    }
    let (owner, running) = (memory.cpu(memory.here())?, memory.running(memory.here())?);
    let given_up = handle.given_up();
    let (global, totals, seed) = (handle.global(), handle.totals(), counts::seed_pages(seed));
    let mut pages = [
        global[0] + totals[0] + seed[0],
        global[1] + totals[1] + seed[1],
        global[2] + totals[2] + seed[2],
        global[3] + totals[3] + seed[3],
    ];
    if owner.slot.id.get() == handle.id {
        add::<1>(&mut pages, owner.slot.pending());
        if running.mm.get() == handle.state.mm.get() {
            add::<-1>(&mut pages, running.seen());
        }
    }
    let residue =
        pages[0].unsigned_abs() + pages[1].unsigned_abs() + pages[2].unsigned_abs() + pages[3].unsigned_abs();
    (handle.given_up() == given_up).then_some(residue)
}

/// Adds deltas, or subtracts them.
#[inline(always)]
fn add<const SIGN: i64>(pages: &mut Pages, deltas: [i32; MEMBERS]) {
    pages[0] += SIGN * i64::from(deltas[0]);
    pages[1] += SIGN * i64::from(deltas[1]);
    pages[2] += SIGN * i64::from(deltas[2]);
    pages[3] += SIGN * i64::from(deltas[3]);
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
fn tell_end<M: PerTask>(memory: &M, index: u32) {
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
        let (drift, cpus) = (i64::from(peak.drift.get()), i64::from(peak.active_max.get()));
        memory.raise_peaks(self.index, peak.exact.get(), drift, cpus);
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
        peak.active_max.set(0);
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
