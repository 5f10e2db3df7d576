//! The words of our maps.

use core::cell::UnsafeCell;

use rss_drift_common::memory::{self, Exchange, Words};

use crate::atomic;

/// The kind of all words in maps.
#[derive(Clone, Copy)]
pub struct Bpf;

impl Words for Bpf {
    type U64 = Word<u64>;
    type I64 = Word<i64>;
    type U32 = Word<u32>;
    type I32 = Word<i32>;
    type Count = Word<u64>;
}

/// A word in a map's value: other CPUs, and BPF programs that interrupt this one, use it at the same time.
#[repr(transparent)]
pub struct Word<T>(UnsafeCell<T>);

// SAFETY: each access is one volatile load or store of the word's width, or one atomic instruction.
unsafe impl<T: Send> Sync for Word<T> {}

impl<T: Copy> Word<T> {
    /// Volatile keeps each access one instruction, and all of them in program order: a program that interrupts this one, and a reader
    /// on another CPU, see them in that order. (A compiler fence would say it better, but LLVM 21 cannot compile one for BPF.)
    #[inline(always)]
    fn load(&self) -> T {
        // SAFETY: a word of a map's value, see `maps::value`.
        unsafe { core::ptr::read_volatile(self.0.get()) }
    }

    #[inline(always)]
    fn store(&self, value: T) {
        // SAFETY: as above.
        unsafe { core::ptr::write_volatile(self.0.get(), value) }
    }
}

macro_rules! word {
    ($($kind:ty),*) => {$(
        impl memory::Word<$kind> for Word<$kind> {
            #[inline(always)]
            fn get(&self) -> $kind {
                self.load()
            }
            #[inline(always)]
            fn set(&self, value: $kind) {
                self.store(value);
            }
            #[inline(always)]
            fn add(&self, value: $kind) {
                // SAFETY: as in `load`.
                unsafe { atomic::add(self.0.get(), value) }
            }
        }
    )*};
}
word!(u64, i64, u32, i32);

macro_rules! exchange {
    ($($kind:ty),*) => {$(
        impl Exchange<$kind> for Word<$kind> {
            #[inline(always)]
            fn swap(&self, value: $kind) -> $kind {
                // SAFETY: as in `load`.
                unsafe { atomic::swap(self.0.get(), value) }
            }
            #[inline(always)]
            fn replace(&self, old: $kind, new: $kind) -> bool {
                // SAFETY: as in `load`.
                unsafe { atomic::replace(self.0.get(), old, new) }
            }
            #[inline(always)]
            fn fetch_add(&self, value: $kind) -> $kind {
                // SAFETY: as in `load`.
                unsafe { atomic::fetch_add(self.0.get(), value) }
            }
            #[inline(always)]
            fn set_bits(&self, bits: $kind) {
                // SAFETY: as in `load`.
                unsafe { atomic::set_bits(self.0.get(), bits) }
            }
        }
    )*};
}
exchange!(u64, i64, i32);
