//! The mm's own counters (`mm_struct.rss_stat.count`), per-task accounting, and the figures that follow from them.

use rss_drift_common::{MEMBERS, Pages, member, shadow::State, slot::Slot};

use super::maps;
use crate::{
    atomic,
    kernel::{layout, probe},
};

/// How often the mirror of a count that moves on is stored again.
const TRIES: u32 = 4;

/// The four counters of an mm.
#[inline(always)]
pub fn read(mm: u64) -> Option<Pages> {
    // Not a typed load: 5.10's verifier refuses one from an array of `atomic_long_t`.
    probe(mm + u64::from(layout!(mm_rss_stat)))
}

/// Keeps the mirror of `member`'s count: by how much it moved. `None`: it did not settle.
///
/// Two CPUs may store in the other order than the kernel counted. So each reads the kernel's count again after its store,
/// with a locked instruction in between, and stores once more if that has moved on: who stores last has seen the last.
///
/// # Safety
/// `state` must lie in a map value and be that of `mm`.
#[inline(always)]
pub unsafe fn follow(mm: u64, member: u32, count: i64, state: *mut State) -> Option<i64> {
    let member = member & (MEMBERS as u32 - 1);
    let at = mm + u64::from(layout!(mm_rss_stat)) + 8 * u64::from(member);
    // SAFETY: by the caller; masked to the four members.
    unsafe {
        let word = &raw mut (*state).global[member as usize];
        let old = core::ptr::read_volatile(word);
        let mut value = count;
        let mut tries = 0;
        while tries < TRIES {
            core::ptr::write_volatile(word, value);
            atomic::add(&raw mut (*state).publications, 1);
            let now: i64 = probe(at)?;
            if now == value {
                return Some(value.wrapping_sub(old));
            }
            value = now;
            tries += 1;
        }
        None
    }
}

/// RSS of a state by what this CPU can tell: the mm's counts, the seed, the totals and its own slot; in pages.
///
/// # Safety
/// As [`peaks`].
#[inline(always)]
pub unsafe fn exact(index: u32, state: *const State, slot: *const Slot) -> i64 {
    let Some(seed) = maps::seed(index) else { return 0 };
    // SAFETY: by the caller; map values.
    unsafe {
        let mut cached = member::rss(&(*seed).pages) + member::rss(&(*state).totals);
        if (*slot).id == (*state).id {
            cached += (*slot).pending_rss();
        }
        member::rss(&(*state).global) + cached
    }
}

/// Raises this CPU's peaks of a state by what it can tell: the mm's counts, the totals and its own slot.
///
/// # Safety
/// `state` and `slot` must lie in map values, `state` at `index`.
#[inline(always)]
pub unsafe fn peaks(cpu: u32, index: u32, state: *const State, slot: *const Slot) {
    let (Some(seed), Some(peak)) = (maps::seed(index), maps::peak(cpu, index)) else { return };
    // SAFETY: by the caller; map values.
    unsafe {
        if (*seed).id != (*state).id || (*seed).lost != (*state).seeded {
            return;
        }
        let exact = exact(index, state, slot);
        if exact > (*peak).exact {
            (*peak).exact = exact;
        }
        let drift = exact - member::rss_clamped(&(*state).global);
        let drift = if drift < 0 { -drift } else { drift };
        if drift > i64::from((*peak).drift) {
            (*peak).drift = drift.cast_unsigned() as u32;
        }
    }
}
