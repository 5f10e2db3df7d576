//! A state that is given up: whoever gets its index next begins with nothing.

use rss_drift_common::shadow::State;

use super::maps;

/// Clears all of a state but its id, which says that it is free, and `visited`, which its next owner sets.
///
/// # Safety
/// `state` must lie in a map value.
#[inline(always)]
pub unsafe fn state(state: *mut State) {
    // SAFETY: by the caller.
    unsafe {
        // Field by field: a whole struct at once becomes a call of memset, which this target has not.
        (*state).mm = 0;
        (*state).seeded = 0;
        (*state).owned = 0;
        words(&raw mut (*state).global);
        words(&raw mut (*state).totals);
        figures(state);
    }
}

/// Clears what was counted of an mm and its peaks; what its counters come to stays.
///
/// # Safety
/// `state` must lie in a map value.
#[inline(always)]
pub unsafe fn figures(state: *mut State) {
    // SAFETY: by the caller.
    unsafe {
        (*state).hits = 0;
        (*state).misses = 0;
        (*state).flushes = 0;
        (*state).publications = 0;
        (*state).faults = 0;
        (*state).churn = 0;
        (*state).repaired = 0;
        (*state).peak_exact = 0;
        (*state).peak_drift = 0;
        (*state).transients = 0;
        (*state).active = 0;
        (*state).active_max = 0;
        (*state).looked = 0;
        (*state).looked_at = 0;
        (*state).tgid = 0;
        words(&raw mut (*state).cpus);
    }
}

/// Zeroes four words, each by a store: an array at once becomes a call of memset too, which goes byte by byte.
///
/// # Safety
/// `words` must lie in a map value.
#[inline(always)]
pub unsafe fn words<T: Copy + Default>(words: *mut [T; 4]) {
    let words: *mut T = words.cast();
    // SAFETY: by the caller.
    unsafe {
        core::ptr::write_volatile(words, T::default());
        core::ptr::write_volatile(words.add(1), T::default());
        core::ptr::write_volatile(words.add(2), T::default());
        core::ptr::write_volatile(words.add(3), T::default());
    }
}

/// The index is free again.
#[inline(always)]
pub fn give_back(index: u32) {
    // The stack has room for every index, and an index is on it at most once.
    let _ = maps::FREE.push(index, 0);
}
