//! Atomics on map values. `AtomicU64` and its kin lack these methods on the BPF target, so the intrinsics stand here.
//!
//! Those that return a value are instructions that 5.10's verifier refuses: only the programs of per-cpu accounting use
//! them.

use core::intrinsics::{
    AtomicOrdering::{Relaxed, SeqCst},
    atomic_cxchg, atomic_or, atomic_xadd, atomic_xchg,
};

/// Adds to a word that other CPUs add to as well.
///
/// Relaxed, because only that becomes an instruction without a result (`lock +=`); with any other order LLVM makes it
/// `atomic_fetch_add`, which 5.10 refuses. On `x86_64` the locked addition is a full barrier all the same.
///
/// # Safety
/// `word` must lie in a map value.
#[inline(always)]
pub unsafe fn add(word: *mut u64, value: u64) {
    // SAFETY: by the caller.
    unsafe { atomic_xadd::<u64, u64, { Relaxed }>(word, value) };
}

/// As [`add`], of a signed word.
///
/// # Safety
/// `word` must lie in a map value.
#[inline(always)]
pub unsafe fn add_signed(word: *mut i64, value: i64) {
    // SAFETY: by the caller.
    unsafe { atomic_xadd::<i64, i64, { Relaxed }>(word, value) };
}

/// As [`add_signed`], and returns what stood there before.
///
/// # Safety
/// `word` must lie in a map value.
#[inline(always)]
pub unsafe fn fetch_add(word: *mut i64, value: i64) -> i64 {
    // SAFETY: by the caller.
    unsafe { atomic_xadd::<i64, i64, { SeqCst }>(word, value) }
}

/// Sets bits.
///
/// # Safety
/// `word` must lie in a map value.
#[inline(always)]
pub unsafe fn set_bits(word: *mut u64, bits: u64) {
    // SAFETY: by the caller.
    unsafe { atomic_or::<u64, u64, { SeqCst }>(word, bits) };
}

/// Stores and returns what stood there before: i32 or i64.
///
/// # Safety
/// `word` must lie in a map value.
#[inline(always)]
pub unsafe fn swap<T: Copy>(word: *mut T, value: T) -> T {
    // SAFETY: by the caller.
    unsafe { atomic_xchg::<T, { SeqCst }>(word, value) }
}

/// Stores `new` if `old` stands there; whether it did.
///
/// # Safety
/// `word` must lie in a map value.
#[inline(always)]
pub unsafe fn replace<T: Copy + PartialEq>(word: *mut T, old: T, new: T) -> bool {
    // SAFETY: by the caller.
    unsafe { atomic_cxchg::<T, { SeqCst }, { SeqCst }>(word, old, new).1 }
}

/// Raises a word to `value` if it is lower, against other CPUs that do the same.
///
/// # Safety
/// `word` must lie in a map value.
#[inline(always)]
pub unsafe fn raise(word: *mut i64, value: i64) {
    /// Each failure means that another CPU raised it: a value that loses so often was not the largest for long.
    const TRIES: u32 = 4;
    let mut tries = 0;
    while tries < TRIES {
        // SAFETY: by the caller.
        unsafe {
            let old = core::ptr::read_volatile(word);
            if old >= value || replace(word, old, value) {
                return;
            }
        }
        tries += 1;
    }
}
