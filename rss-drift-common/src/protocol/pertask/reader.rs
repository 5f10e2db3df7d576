//! The iterator of full mode: what is kept of a task's mm, once per process.
//!
//! User space adds the slots of the CPUs, and what running tasks changed since the last look:
//! it has the counts of all tasks, and 5.10 has no loop that is verified once for all CPUs.

use super::{PerTask, life};
use crate::{
    memory::{Next, Step, Word},
    protocol::{
        handle::Handle,
        lifecycle::{self, Claimant},
    },
    running::{Peak, TaskShadow},
};

/// What the reader knows of the task that it visits.
pub trait Visit<M: PerTask> {
    /// The address of the mm that the task has now.
    fn mm_now(&self, memory: &M) -> u64;
    /// The reader has the state of the task's mm, which ran on `ran` CPUs: `run` takes its own figures.
    fn visited(&self, memory: &M, handle: Handle<'_, M::Words>, mm: u64, ran: u64);
}

/// Reads what is kept of the mm at this address, which the visited task had just now.
#[inline(always)]
pub fn read<M: PerTask>(memory: &M, visit: &impl Visit<M>, mm: u64, record: &mut TaskShadow) {
    let known = lifecycle::find(memory, mm);
    let found = match known {
        Some(handle) => Some(handle),
        None => life::create(memory, mm, Claimant::Reader),
    };
    let Some(handle) = found else { return };
    if visit.mm_now(memory) != mm {
        if known.is_none() {
            // The task has left the mm, which may have ended before its state was made: then no end would remove the state.
            life::let_go(memory, mm);
        }
        return;
    }
    let Some(seed) = memory.seed(handle.index) else { return };
    let state = handle.state;
    if state.owned.get() == 0 {
        state.owned.set(memory.now());
    }
    record.index = u64::from(handle.index);
    record.lost = state.lost.get();
    record.seed.pages = super::counts::seed_pages(seed);
    record.seed.peak_exact = seed.peak_exact.get();
    record.seed.peak_drift = seed.peak_drift.get();
    record.seed.repaired = seed.repaired.get();
    record.seed.lost = seed.lost.get();
    record.seed.id = seed.id.get();
    record.totals = handle.totals();
    record.hits = state.hits.get();
    record.misses = state.misses.get();
    record.flushes = state.flushes.get();
    record.publications = state.publications.get();
    record.faults = state.faults.get();
    record.churn = state.churn.get();
    if memory.is_measured(handle.index) {
        record.measured = 1;
    }
    let mut largest = LargestPeak { index: handle.index, peak: &mut record.peak, ran: 0 };
    memory.for_each_cpu(&mut largest);
    let ran = largest.ran;
    visit.visited(memory, handle, mm, ran);
    record.id = state.id.get();
}

/// The largest figures of all CPUs.
struct LargestPeak<'a> {
    index: u32,
    peak: &'a mut Peak,
    /// CPUs that changed the mm at some time.
    ran: u64,
}

impl<M: PerTask> Step<M> for LargestPeak<'_> {
    #[inline(always)]
    fn step(&mut self, memory: &M, cpu: u32) -> Next {
        let Some(seen) = memory.peak(cpu, self.index) else { return Next::Stop };
        if seen.exact.get() > self.peak.exact {
            self.peak.exact = seen.exact.get();
        }
        if seen.drift.get() > self.peak.drift {
            self.peak.drift = seen.drift.get();
        }
        if seen.hidden.get() > self.peak.hidden {
            self.peak.hidden = seen.hidden.get();
        }
        if seen.twice.get() > self.peak.twice {
            self.peak.twice = seen.twice.get();
        }
        let cpus = seen.active_max.get();
        if cpus > self.peak.active_max {
            self.peak.active_max = cpus;
        }
        if cpus != 0 {
            self.ran += 1;
        }
        Next::GoOn
    }
}
