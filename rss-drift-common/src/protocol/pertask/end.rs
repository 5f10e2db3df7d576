//! The end of an mm's state, without an atomic that returns a value: what is left of the mm, and when the index is free.

use super::{PerTask, counts};
use crate::{
    MEMBERS,
    member::Pages,
    memory::{Live, Next, Step, Word},
    protocol::{handle::Handle, lifecycle, limbo},
    running::{Running, Seed},
    slot::busy_with,
};

/// Ends the state of an mm. This is the mm's last moment: all its counters are 0, and so must be the shadow.
#[inline(always)]
pub fn end<M: PerTask>(memory: &M, mm: u64) {
    let Some(handle) = lifecycle::take_away(memory, mm) else { return };
    let (Some(seed), Some(counted)) = (memory.seed(handle.index), super::life::counts_here(memory)) else {
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
    super::life::tell_end(memory, handle.index);
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
            let pages = slot.live.get() != 0 || (running.mm.get() == self.mm && holds_pages(running));
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
