//! The memory of the protocol: the mm's counts, and our maps.

use rss_drift_common::{
    Pages,
    memory::{Memory as _, Next, Step, Word as _},
    protocol::{
        lifecycle::Claimant,
        pertask::{PerTask, life},
    },
    running::{Peak, Running, Seed},
    shadow::State,
};

use crate::{
    kernel::{layout, probe},
    run,
    shadow::{Bpf, Kind, Maps, maps, place, value},
};

/// per-task accounting.
#[derive(Clone, Copy)]
pub struct ByTask;

/// Bits of an id that say who made it: CPU numbers need 13.
const MAKER_BITS: u32 = 16;

impl Kind for ByTask {
    type Mm = u64;
    const READER_MARKS: bool = false;
    const REPORTS: bool = false;

    #[inline(always)]
    fn address(mm: u64) -> u64 {
        mm
    }
    /// Ids are made from a count with one writer: that of this CPU's events, or that of the reader, of which one runs at a time.
    #[inline(always)]
    fn new_id(by: Claimant) -> Option<u64> {
        let (count, maker) = match by {
            Claimant::Event => {
                let cpu = Maps::<Self>::new().here();
                (&value(&maps::RUNNING, cpu)?.births, u64::from(cpu))
            }
            Claimant::Reader => (&value(&maps::SHARED, 0)?.last_id, (1 << MAKER_BITS) - 1),
        };
        let made = count.get() + 1;
        count.set(made);
        Some(made << MAKER_BITS | maker)
    }
    /// A plain loop: 5.10 has no other.
    #[inline(always)]
    fn for_each_cpu<S: Step<Maps<Self>>>(step: &mut S) {
        let mut cpu = 0;
        while cpu < layout!(cpu_ids) {
            if step.step(&Maps::new(), cpu) == Next::Stop {
                break;
            }
            cpu += 1;
        }
    }
    #[inline(always)]
    fn wipe(index: u32) {
        Self::for_each_cpu(&mut life::WipePeaks { index });
        life::wipe_seed(&Maps::<Self>::new(), index);
    }
    #[inline(always)]
    fn unseed(state: &State<Bpf>) {
        state.lost.set(0);
    }
    #[inline(always)]
    fn is_unused(mm: u64) -> bool {
        probe::<i32>(mm + u64::from(run::count::mm_users())) == Some(0)
    }
}

impl PerTask for Maps<ByTask> {
    #[inline(always)]
    fn running(&self, cpu: u32) -> Option<&Running<Bpf>> {
        value(&maps::RUNNING, cpu)
    }
    #[inline(always)]
    fn peak(&self, cpu: u32, index: u32) -> Option<&Peak<Bpf>> {
        value(&maps::PEAKS, place(cpu, index))
    }
    #[inline(always)]
    fn seed(&self, index: u32) -> Option<&Seed<Bpf>> {
        value(&maps::SEEDS, index)
    }
    #[inline(always)]
    fn count(&self, mm: u64, member: u32) -> Option<i64> {
        probe(mm + u64::from(layout!(mm_rss_stat)) + 8 * u64::from(member & 3))
    }
    #[inline(always)]
    fn counts(&self, mm: u64) -> Option<Pages> {
        // Not a typed load: 5.10's verifier refuses one from an array of `atomic_long_t`.
        probe(mm + u64::from(layout!(mm_rss_stat)))
    }
}
