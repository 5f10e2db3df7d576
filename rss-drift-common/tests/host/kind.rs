//! What words and containers a host is made of.

use rss_drift_common::memory::{Exchange, Live, Words};

/// What a word is called in a trace: `array[index].member`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Name {
    pub(crate) array: &'static str,
    pub(crate) index: usize,
    pub(crate) member: &'static str,
}

impl Name {
    pub(crate) const fn new(array: &'static str, index: usize, member: &'static str) -> Self {
        Self { array, index, member }
    }
}

/// A word that checks and the kernel's side of a test can use in ways that BPF programs cannot.
pub(crate) trait Check<T: Copy>: Exchange<T> {
    /// The value, without a step of its own.
    fn peek(&self) -> T;
    /// Sets the value, without a step of its own.
    fn poke(&self, value: T);
    /// Adds, without a step of its own. Nobody's further steps depend on the sum, unlike with [`Check::peek`] and [`Check::poke`].
    fn add_quietly(&self, value: T);
    /// `this_cpu_try_cmpxchg`: as [`Exchange::replace`], of a word that only this CPU writes. It is no barrier.
    fn replace_here(&self, old: T, new: T) -> bool;
}

/// Makes words.
///
/// `used` is false for a word that the scenario never varies, or whose order among the steps is of no interest. Such a word is
/// *quiet*: what is done with it belongs to the step before it, so that there are fewer schedules to search. Every [`Words::Count`] is
/// quiet.
pub(crate) trait Kind:
    Live + Words<U64: Check<u64>, I64: Check<i64>, U32: Check<u32>, I32: Check<i32>, Count: Check<u64>> + 'static
{
    type Table: Table;
    type List: List;
    type Fifo: Fifo;

    fn u64(name: Name, value: u64, used: bool) -> Self::U64;
    fn i64(name: Name, value: i64, used: bool) -> Self::I64;
    fn u32(name: Name, value: u32, used: bool) -> Self::U32;
    fn i32(name: Name, value: i32, used: bool) -> Self::I32;
    fn count(name: Name) -> Self::Count;
    /// From the addresses of so many mms to the indexes of their states.
    fn table(name: &'static str, mms: usize) -> Self::Table;
    fn list(name: &'static str, capacity: usize) -> Self::List;
    fn fifo(name: &'static str, capacity: usize) -> Self::Fifo;

    /// Takes a spin lock: waits until its word is 0, and sets it to 1. It is let go by writing 0.
    fn lock(word: &Self::U32);
    /// Nothing else runs on this CPU from now on.
    fn preempt_disable() {}
    /// Takes one [`Kind::preempt_disable`] back.
    fn preempt_enable() {}
}

/// `BPF_MAP_TYPE_HASH`
pub(crate) trait Table {
    fn find(&self, mm: u64) -> Option<u32>;
    /// False where the key is there.
    fn insert(&self, mm: u64, index: u32) -> bool;
    /// False where it is not.
    fn remove(&self, mm: u64) -> bool;
}

/// `BPF_MAP_TYPE_STACK`
pub(crate) trait List {
    /// False where it is full.
    fn push(&self, index: u32) -> bool;
    fn pop(&self) -> Option<u32>;
}

/// `BPF_MAP_TYPE_QUEUE`
pub(crate) trait Fifo {
    /// False where it is full.
    fn push(&self, value: u64) -> bool;
    fn peek(&self) -> Option<u64>;
    fn pop(&self) -> Option<u64>;
}
