//! The iterator of full mode: for each mm the exact counters, and the shadow after every word was refreshed.

use aya_ebpf::helpers::generated::bpf_get_smp_processor_id;
use rss_drift_common::{
    Pages,
    shadow::{SHADOW_MEASURED, SHADOW_REFUSED, SHADOW_UNSETTLED, SHADOW_VALID, ShadowRecord, State},
};

use super::{lifecycle, limbo, maps, report, words};
use crate::{
    atomic,
    iterator::Visit,
    kernel::{layout, load, probe},
    repeat::{GO_ON, STOP, repeat},
    run,
};

/// How often a reading that a flush disturbed is repeated.
const TRIES: u32 = 4;

/// Writes what the shadow knows of `mm`, behind the record of its counters.
///
/// # Safety
/// `mm` must be known to the verifier.
#[inline(never)]
pub unsafe fn write_shadow(visit: &Visit, mm: *const u8) {
    let mut record = EMPTY;
    // SAFETY: by the caller.
    unsafe { read_shadow(visit.task, mm, &mut record) };
    visit.write(&record);
}

const EMPTY: ShadowRecord = ShadowRecord {
    id: 0,
    shadow: [0; 4],
    hits: 0,
    misses: 0,
    flushes: 0,
    faults: 0,
    churn: 0,
    repaired: 0,
    peak_exact: 0,
    peak_drift: 0,
    active_max: 0,
    holders: 0,
    flags: 0,
};

#[inline(always)]
unsafe fn read_shadow(task: *const u8, mm: *const u8, record: &mut ShadowRecord) {
    // SAFETY: by write_shadow's caller; the rest lies in map values.
    unsafe {
        let number = bpf_get_smp_processor_id();
        let (Some(this), Some(shared)) = (maps::cpu(number), maps::SHARED.get_ptr_mut(0)) else { return };
        let known = lifecycle::find(mm as u64);
        let index = match known {
            Some(index) => Some(index),
            None => lifecycle::create(this, mm, true),
        };
        let Some(index) = index else {
            record.flags |= SHADOW_REFUSED;
            return;
        };
        let Some(state) = maps::state(index) else { return };
        lifecycle::begin_reading(shared, index);
        // As a number, as in percpu.rs: many paths lead here.
        let now = probe::<u64>(task as u64 + u64::from(layout!(task_mm)));
        if now != Some(mm as u64) {
            lifecycle::done_reading(this, shared);
            if known.is_none() {
                // The task let go of the mm, which may have ended before its state was made: nobody would take that away.
                lifecycle::let_go(this, mm as u64);
            }
            return;
        }
        let id = core::ptr::read_volatile(&raw const (*state).id);
        if id != 0 && (*state).mm == mm as u64 && (*state).seeded != 0 {
            let tgid: u32 = load(task, layout!(task_tgid));
            let refreshed = words::refresh_all(mm, index, state);
            if refreshed.corrected != 0 {
                atomic::add(&raw mut (*state).repaired, refreshed.corrected);
            }
            if refreshed.unsettled != 0 {
                atomic::add(&raw mut (*this).counts.unsettled, refreshed.unsettled);
                report::report_unsettled(tgid, refreshed.unsettled);
                record.flags |= SHADOW_UNSETTLED;
            }
            let mut tries = 0;
            while tries < TRIES {
                // A state can become that of another mm at its address meanwhile.
                if add_up(state, index, id, record) && volatile(&raw const (*state).id) == id {
                    record.flags |= SHADOW_VALID;
                    break;
                }
                tries += 1;
            }
            record.id = id;
            if (*state).owned == 0 {
                (*state).owned = limbo::now();
            }
            if run::count::measured(index).is_some() {
                record.flags |= SHADOW_MEASURED;
            }
            run::visits::count(index, mm as u64, run::visits::ran(state));
            run::tasks::seen(task, index);
            (*state).tgid = u64::from(tgid);
            // Once per reading, though several processes have the mm, or the kernel visits a task again for want of room. (A
            // state that is made in this reading does not count: the sweep looks in vain.)
            if (*state).visited != (*shared).pass {
                (*state).visited = (*shared).pass;
                (*shared).visited += 1;
            }
        }
        lifecycle::done_reading(this, shared);
    }
}

/// An adding up on its way from CPU to CPU.
struct Walk<'a> {
    record: &'a mut ShadowRecord,
    id: u64,
    index: u64,
    /// Slots that were in the middle of a change of this state.
    busy: u64,
}

/// Totals plus the slots that hold the mm; true when no flush came between.
///
/// A flush marks its slot busy with this state's index, and raises one of two counts as its last step.
#[inline(always)]
unsafe fn add_up(state: *const State, index: u32, id: u64, record: &mut ShadowRecord) -> bool {
    // SAFETY: by read_shadow.
    unsafe {
        let before = moves(state);
        let totals: Pages = [
            volatile(&raw const (*state).totals[0]),
            volatile(&raw const (*state).totals[1]),
            volatile(&raw const (*state).totals[2]),
            volatile(&raw const (*state).totals[3]),
        ];
        record.shadow = totals;
        record.hits = (*state).hits;
        record.faults = (*state).faults;
        record.churn = (*state).churn;
        record.holders = 0;
        let mut walk = Walk { record, id, index: u64::from(index), busy: maps::zero().cast_unsigned() };
        repeat(layout!(cpu_ids), &mut walk, add_slot);
        let Walk { record, busy, .. } = walk;
        record.misses = (*state).misses;
        record.flushes = (*state).flushes;
        record.repaired = (*state).repaired;
        record.peak_exact = (*state).peak_exact;
        record.peak_drift = (*state).peak_drift;
        record.active_max = (*state).active_max;
        let unchanged = (volatile(&raw const (*state).totals[0]) ^ totals[0])
            | (volatile(&raw const (*state).totals[1]) ^ totals[1])
            | (volatile(&raw const (*state).totals[2]) ^ totals[2])
            | (volatile(&raw const (*state).totals[3]) ^ totals[3]);
        busy == 0 && unchanged == 0 && moves(state) == before
    }
}

/// One CPU of [`add_up`].
#[inline(never)]
extern "C" fn add_slot(cpu: u32, walk: &mut Walk<'_>) -> i64 {
    let Some(owner) = maps::cpu(cpu) else { return STOP };
    // SAFETY: a map value.
    unsafe {
        let slot = &raw const (*owner).slot;
        if volatile(&raw const (*slot).id) == walk.id {
            let record = &mut *walk.record;
            record.shadow[0] += i64::from((*slot).pending[0]);
            record.shadow[1] += i64::from((*slot).pending[1]);
            record.shadow[2] += i64::from((*slot).pending[2]);
            record.shadow[3] += i64::from((*slot).pending[3]);
            record.hits += u64::from((*slot).hits);
            record.faults += u64::from((*slot).faults);
            record.churn += u64::from((*slot).churn);
            record.holders += 1;
        }
        if volatile(&raw const (*slot).busy) == walk.index as u32 + 1 {
            walk.busy += 1;
        }
    }
    GO_ON
}

/// Flushes and publications so far.
#[inline(always)]
unsafe fn moves(state: *const State) -> u64 {
    // SAFETY: by add_up.
    unsafe { volatile(&raw const (*state).flushes).wrapping_add(volatile(&raw const (*state).publications)) }
}

#[inline(always)]
unsafe fn volatile<T: Copy>(word: *const T) -> T {
    // SAFETY: by add_up.
    unsafe { core::ptr::read_volatile(word) }
}
