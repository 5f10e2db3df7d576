//! From an mm's first event or first visit to its end, per-task accounting: without an atomic that returns a value.

use aya_ebpf::{bindings::BPF_NOEXIST, helpers::generated::bpf_get_smp_processor_id};
use rss_drift_common::{
    Pages,
    running::Seed,
    shadow::{Counts, OWNED, State},
};

use super::{
    super::{lifecycle::find, limbo::now, maps as shared, wipe},
    counts, maps,
};
use crate::{atomic, kernel::layout, run};

/// Who makes a state: ids follow from a count of its own, which nobody else writes.
#[derive(Clone, Copy)]
pub enum Maker {
    /// A program of an event, on this CPU.
    Cpu(u32),
    /// The iterator, of which one runs at a time.
    Reader,
}

/// Bits of an id that say who made it: CPU numbers need 13.
const MAKER_BITS: u32 = 16;

/// An id that no state has had.
#[inline(always)]
fn new_id(maker: Maker) -> Option<u64> {
    // SAFETY: map values.
    unsafe {
        let (count, number) = match maker {
            Maker::Cpu(cpu) => {
                let running = maps::running(cpu)?;
                (*running).births += 1;
                ((*running).births, u64::from(cpu))
            }
            Maker::Reader => {
                let shared = shared::SHARED.get_ptr_mut(0)?;
                (*shared).last_id += 1;
                ((*shared).last_id.cast_unsigned(), (1 << MAKER_BITS) - 1)
            }
        };
        Some(count << MAKER_BITS | number)
    }
}

/// Our counts on this CPU. Added to by locked instructions: the iterator can be preempted.
#[inline(always)]
fn counts_here() -> Option<*mut Counts> {
    // SAFETY: no preconditions; a map value.
    unsafe { Some(&raw mut (*shared::cpu(bpf_get_smp_processor_id())?).counts) }
}

/// The index of an mm's state, which is made if there is none. What its tasks have cached by then is user space's to
/// count ([`rss_drift_common::running::Seed`]), unless [`born`] says that there is nothing.
#[inline(always)]
pub fn find_or_create(maker: Maker, mm: u64) -> Option<u32> {
    if let Some(index) = find(mm) {
        return Some(index);
    }
    let counted = counts_here()?;
    // SAFETY: map values.
    unsafe {
        let Ok(Some(index)) = shared::FREE.pop() else {
            atomic::add(&raw mut (*counted).refused, 1);
            return None;
        };
        let state = shared::state(index)?;
        let id = new_id(maker)?;
        (*state).mm = mm;
        (*state).seeded = 0;
        core::ptr::write_volatile(&raw mut (*state).id, id);
        run::count::born(index);
        if shared::INDEX.insert(mm, index, u64::from(BPF_NOEXIST)).is_err() {
            core::ptr::write_volatile(&raw mut (*state).id, 0);
            (*state).mm = 0;
            run::count::forget(index);
            wipe::give_back(index);
            // Another CPU was faster, or the hash refused.
            let found = find(mm);
            if found.is_none() {
                atomic::add(&raw mut (*counted).refused, 1);
            }
            return found;
        }
        atomic::add(&raw mut (*counted).births, 1);
        // From here on every event finds the state, and whoever stores last has seen the last.
        let count = counts::read(mm)?;
        if counts::follow(mm, 0, count[0], state).is_none()
            || counts::follow(mm, 1, count[1], state).is_none()
            || counts::follow(mm, 2, count[2], state).is_none()
            || counts::follow(mm, 3, count[3], state).is_none()
        {
            atomic::add(&raw mut (*counted).unsettled, 1);
        }
        run::count::pages(index, &count);
        Some(index)
    }
}

/// No task has used this mm before: nothing is cached of it but what we follow from here on. A state that it finds may be
/// that of an mm at the same address which ended unseen: that becomes a state of its own.
#[inline(always)]
pub fn born(cpu: u32, mm: u64) {
    let Some(index) = find_or_create(Maker::Cpu(cpu), mm) else { return };
    let (Some(state), Some(seed), Some(this)) = (shared::state(index), maps::seed(index), shared::cpu(cpu))
    else {
        return;
    };
    // SAFETY: map values.
    unsafe {
        let owned = core::ptr::read_volatile(&raw const (*state).owned);
        (*state).owned = OWNED;
        if State::was_owned(owned, now()) {
            renew(cpu, index, state);
        }
        if (*state).seeded != 0 {
            // A change was lost: it has to be counted.
            return;
        }
        core::ptr::write_volatile(&raw mut (*seed).id, (*state).id);
        counts::peaks(cpu, index, state, &raw const (*this).slot);
    }
}

/// The state at `index` becomes another's. Of the caches of the mm that had it nothing is left, and no task runs on the new
/// one yet.
#[inline(always)]
unsafe fn renew(cpu: u32, index: u32, state: *mut State) {
    let (Some(id), Some(counted), Some(seed)) = (new_id(Maker::Cpu(cpu)), counts_here(), maps::seed(index))
    else {
        return;
    };
    // SAFETY: by the caller; map values.
    unsafe {
        ended(index, seed);
        run::count::born(index);
        // From here on no slot that still names this state finds it.
        core::ptr::write_volatile(&raw mut (*state).id, 0);
        wipe_seed(index);
        wipe_peaks(index);
        (*state).seeded = 0;
        wipe::words(&raw mut (*state).totals);
        wipe::figures(state);
        core::ptr::write_volatile(&raw mut (*state).id, id);
        atomic::add(&raw mut (*counted).inherited, 1);
        atomic::add(&raw mut (*counted).deaths, 1);
        atomic::add(&raw mut (*counted).births, 1);
    }
}

/// Gives up the state of an mm that may live: nobody looks for a rest, and a program on another CPU can be in the middle of
/// an event of it. Its index plus 1, which user space frees after a while; 0 where somebody else took it away.
#[inline(always)]
pub fn let_go(mm: u64) -> u64 {
    let Some(index) = find(mm) else { return 0 };
    let (Some(state), Some(seed), Some(counted)) = (shared::state(index), maps::seed(index), counts_here())
    else {
        return 0;
    };
    if shared::INDEX.remove(mm).is_err() {
        return 0;
    }
    // SAFETY: map values.
    unsafe {
        ended(index, seed);
        core::ptr::write_volatile(&raw mut (*state).id, 0);
        atomic::add(&raw mut (*counted).deaths, 1);
    }
    u64::from(index) + 1
}

/// Ends the state of an mm: this is its last moment, all its counters are 0, and so must be the shadow.
#[inline(always)]
pub fn end(mm: u64) {
    let Some(index) = find(mm) else { return };
    let (Some(state), Some(seed), Some(counted)) = (shared::state(index), maps::seed(index), counts_here())
    else {
        return;
    };
    if shared::INDEX.remove(mm).is_err() {
        // The reader let go of it: who takes the entry away goes on with the state, and nobody else.
        return;
    }
    // SAFETY: map values.
    unsafe {
        let seeded = (*seed).id == (*state).id && (*seed).lost == (*state).seeded;
        let rest = if seeded { rest_of(state, &(*seed).pages) } else { 0 };
        atomic::add(&raw mut (*counted).deaths, 1);
        if rest != 0 {
            atomic::add(&raw mut (*counted).deaths_with_rest, 1);
            atomic::add(&raw mut (*counted).rest, rest);
        }
        ended(index, seed);
        // From here on no slot that still names this state finds it.
        core::ptr::write_volatile(&raw mut (*state).id, 0);
        wipe(state, index);
        wipe::give_back(index);
    }
}

/// What `run` keeps of a state that ends. Compared in memory: in registers each outcome is a state of its own to the verifier.
#[inline(always)]
unsafe fn ended(index: u32, seed: *const Seed) {
    let Some(kept) = run::count::measured(index) else { return };
    // SAFETY: by the caller; map values.
    unsafe {
        let of = &raw mut (*kept).of;
        (*of).peak = (*seed).peak_exact;
        (*of).drift = (*seed).peak_drift;
        let mut cpu = 0;
        while cpu < layout!(cpu_ids) {
            let Some(peak) = maps::peak(cpu, index) else { break };
            if (*peak).exact > (*of).peak {
                (*of).peak = (*peak).exact;
            }
            if i64::from((*peak).drift) > (*of).drift {
                (*of).drift = i64::from((*peak).drift);
            }
            if i64::from((*peak).active) > (*of).cpus {
                (*of).cpus = i64::from((*peak).active);
            }
            cpu += 1;
        }
    }
    run::count::ended(index);
}

/// Sum of what is left of each member, without signs, in pages.
///
/// A CPU whose record still names the mm has not looked since its task let go of it: the task's cache was emptied into the
/// mm's count before (`sync_mm_rss`).
#[inline(always)]
unsafe fn rest_of(state: *const State, seed: &Pages) -> u64 {
    // SAFETY: by the caller; map values.
    unsafe {
        let id = (*state).id;
        let mut rest = [
            (*state).global[0] + (*state).totals[0] + seed[0],
            (*state).global[1] + (*state).totals[1] + seed[1],
            (*state).global[2] + (*state).totals[2] + seed[2],
            (*state).global[3] + (*state).totals[3] + seed[3],
        ];
        let mut cpu = 0;
        while cpu < layout!(cpu_ids) {
            let (Some(owner), Some(running)) = (shared::cpu(cpu), maps::running(cpu)) else { break };
            let slot = &raw const (*owner).slot;
            if (*slot).id == id {
                rest[0] += i64::from((*slot).pending[0]);
                rest[1] += i64::from((*slot).pending[1]);
                rest[2] += i64::from((*slot).pending[2]);
                rest[3] += i64::from((*slot).pending[3]);
                if (*running).mm == (*state).mm {
                    rest[0] -= i64::from((*running).seen[0]);
                    rest[1] -= i64::from((*running).seen[1]);
                    rest[2] -= i64::from((*running).seen[2]);
                    rest[3] -= i64::from((*running).seen[3]);
                }
            }
            cpu += 1;
        }
        rest[0].unsigned_abs() + rest[1].unsigned_abs() + rest[2].unsigned_abs() + rest[3].unsigned_abs()
    }
}

/// Whoever gets this index next begins with nothing.
#[inline(always)]
unsafe fn wipe(state: *mut State, index: u32) {
    wipe_peaks(index);
    wipe_seed(index);
    // SAFETY: by the caller.
    unsafe { wipe::state(state) };
}

#[inline(always)]
fn wipe_peaks(index: u32) {
    let mut cpu = 0;
    while cpu < layout!(cpu_ids) {
        let Some(peak) = maps::peak(cpu, index) else { break };
        // SAFETY: a map value.
        unsafe {
            (*peak).exact = 0;
            (*peak).drift = 0;
            (*peak).active = 0;
        }
        cpu += 1;
    }
}

#[inline(always)]
fn wipe_seed(index: u32) {
    let Some(seed) = maps::seed(index) else { return };
    // SAFETY: a map value; field by field, as a whole struct becomes a call of memset, which this target has not.
    unsafe {
        (*seed).id = 0;
        wipe::words(&raw mut (*seed).pages);
        (*seed).peak_exact = 0;
        (*seed).peak_drift = 0;
        (*seed).repaired = 0;
        (*seed).lost = 0;
    }
}
