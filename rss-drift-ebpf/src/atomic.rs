//! Atomics on map values. `AtomicU64` and the like lack these methods on the BPF target, so this uses the intrinsics.
//!
//! 5.10's verifier refuses the instructions that return a
//! value: only the programs of per-cpu accounting use them.

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
pub unsafe fn add<T: Copy>(word: *mut T, value: T) {
    // SAFETY: the word lies in a map value, which stays as long as the program runs.
    unsafe { atomic_xadd::<T, T, { Relaxed }>(word, value) };
}

/// As [`add`], and returns the value before.
///
/// # Safety
/// `word` must lie in a map value.
#[inline(always)]
pub unsafe fn fetch_add<T: Copy>(word: *mut T, value: T) -> T {
    // SAFETY: the word lies in a map value, which stays as long as the program runs.
    unsafe { atomic_xadd::<T, T, { SeqCst }>(word, value) }
}

/// Sets bits.
///
/// # Safety
/// `word` must lie in a map value.
#[inline(always)]
pub unsafe fn set_bits<T: Copy>(word: *mut T, bits: T) {
    // SAFETY: the word lies in a map value, which stays as long as the program runs.
    unsafe { atomic_or::<T, T, { SeqCst }>(word, bits) };
}

/// Stores a value and returns the one before: i32 or i64.
///
/// # Safety
/// `word` must lie in a map value.
#[inline(always)]
pub unsafe fn swap<T: Copy>(word: *mut T, value: T) -> T {
    // SAFETY: the word lies in a map value, which stays as long as the program runs.
    unsafe { atomic_xchg::<T, { SeqCst }>(word, value) }
}

/// Stores `new` if the word is `old`. True if it was.
///
/// # Safety
/// `word` must lie in a map value.
#[inline(always)]
pub unsafe fn replace<T: Copy>(word: *mut T, old: T, new: T) -> bool {
    // SAFETY: the word lies in a map value, which stays as long as the program runs.
    unsafe { atomic_cxchg::<T, { SeqCst }, { SeqCst }>(word, old, new).1 }
}
