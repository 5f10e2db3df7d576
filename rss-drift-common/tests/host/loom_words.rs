//! Words of loom: `x86_64`'s order of memory, as near as C11 comes to it.
//!
//! A load acquires, a store releases, and what reads and writes in one step has a full barrier before and after it. So of two accesses of
//! one thread only a store and a later load can change places, as on `x86_64`. It is weaker than `x86_64` in this: stores of two threads to
//! two words may be seen in different orders by two others (`x86_64` has one order of stores for all), unless full barriers are between.
//! What holds here holds there, as far as loom searches.
//!
//! A quiet word is an atomic that loom does not know: its value is that of the schedule, and nothing is tried for its sake.

use std::{collections::VecDeque, sync::atomic as quiet};

use crate::host::{Check, Fifo, Kind, List, Name, Table, narrow, number};
use loom::{
    sync::{
        Mutex,
        atomic::{self, Ordering, fence},
    },
    thread,
};
use rss_drift_common::memory::{Exchange, Word, Words};

/// Words of loom.
pub(crate) struct Loom;

/// A word that is searched, or one that is not.
pub(crate) enum LoomWord<S, Q> {
    Searched(S),
    Quiet(Q),
}

/// An operation that reads and writes in one step.
fn locked<R>(operation: impl FnOnce() -> R) -> R {
    fence(Ordering::SeqCst);
    let result = operation();
    fence(Ordering::SeqCst);
    result
}

macro_rules! words {
    ($($of:ident $atomic:ident $alias:ident),*) => {$(
        pub(crate) type $alias = LoomWord<atomic::$atomic, quiet::$atomic>;

        impl LoomWord<atomic::$atomic, quiet::$atomic> {
            fn new(value: $of, used: bool) -> Self {
                if used {
                    Self::Searched(atomic::$atomic::new(value))
                } else {
                    Self::Quiet(quiet::$atomic::new(value))
                }
            }
        }

        impl Word<$of> for $alias {
            fn get(&self) -> $of {
                match self {
                    Self::Searched(word) => word.load(Ordering::Acquire),
                    Self::Quiet(word) => word.load(Ordering::Acquire),
                }
            }
            fn set(&self, value: $of) {
                match self {
                    Self::Searched(word) => word.store(value, Ordering::Release),
                    Self::Quiet(word) => word.store(value, Ordering::Release),
                }
            }
            fn add(&self, value: $of) {
                self.fetch_add(value);
            }
        }

        impl Exchange<$of> for $alias {
            fn swap(&self, value: $of) -> $of {
                match self {
                    Self::Searched(word) => locked(|| word.swap(value, Ordering::AcqRel)),
                    Self::Quiet(word) => word.swap(value, Ordering::AcqRel),
                }
            }
            fn replace(&self, old: $of, new: $of) -> bool {
                let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
                match self {
                    Self::Searched(word) => {
                        locked(|| word.compare_exchange(old, new, success, failure)).is_ok()
                    }
                    Self::Quiet(word) => word.compare_exchange(old, new, success, failure).is_ok(),
                }
            }
            fn fetch_add(&self, value: $of) -> $of {
                match self {
                    Self::Searched(word) => locked(|| word.fetch_add(value, Ordering::AcqRel)),
                    Self::Quiet(word) => word.fetch_add(value, Ordering::AcqRel),
                }
            }
            fn set_bits(&self, bits: $of) {
                match self {
                    Self::Searched(word) => locked(|| word.fetch_or(bits, Ordering::AcqRel)),
                    Self::Quiet(word) => word.fetch_or(bits, Ordering::AcqRel),
                };
            }
        }

        impl Check<$of> for $alias {
            fn peek(&self) -> $of {
                self.get()
            }
            fn poke(&self, value: $of) {
                self.set(value);
            }
            fn add_quietly(&self, value: $of) {
                match self {
                    Self::Searched(word) => word.fetch_add(value, Ordering::AcqRel),
                    Self::Quiet(word) => word.fetch_add(value, Ordering::AcqRel),
                };
            }
            fn replace_here(&self, old: $of, new: $of) -> bool {
                let same = self.get() == old;
                if same {
                    self.set(new);
                }
                same
            }
        }
    )*};
}

words!(u64 AtomicU64 LoomU64, i64 AtomicI64 LoomI64, u32 AtomicU32 LoomU32, i32 AtomicI32 LoomI32);

impl Words for Loom {
    type U64 = LoomU64;
    type I64 = LoomI64;
    type U32 = LoomU32;
    type I32 = LoomI32;
    type Count = LoomU64;
}

impl Kind for Loom {
    type Table = Vec<LoomU64>;
    type List = Bounded<u32>;
    type Fifo = Bounded<u64>;

    fn u64(_: Name, value: u64, used: bool) -> LoomU64 {
        LoomU64::new(value, used)
    }
    fn i64(_: Name, value: i64, used: bool) -> LoomI64 {
        LoomI64::new(value, used)
    }
    fn u32(_: Name, value: u32, used: bool) -> LoomU32 {
        LoomU32::new(value, used)
    }
    fn i32(_: Name, value: i32, used: bool) -> LoomI32 {
        LoomI32::new(value, used)
    }
    fn count(_: Name) -> LoomU64 {
        LoomU64::new(0, false)
    }
    fn table(_: &'static str, mms: usize) -> Vec<LoomU64> {
        (0..mms).map(|_| LoomU64::new(0, true)).collect()
    }
    fn list(_: &'static str, capacity: usize) -> Bounded<u32> {
        Bounded { values: Mutex::new(VecDeque::new()), capacity }
    }
    fn fifo(_: &'static str, capacity: usize) -> Bounded<u64> {
        Bounded { values: Mutex::new(VecDeque::new()), capacity }
    }

    fn lock(word: &LoomU32) {
        while !word.replace(0, 1) {
            thread::yield_now();
        }
    }
}

/// A word per mm, 0 or index plus 1: a hash is searched without its lock, and changed under it.
impl Table for Vec<LoomU64> {
    fn find(&self, mm: u64) -> Option<u32> {
        narrow(self[number(mm)].get()).checked_sub(1)
    }
    fn insert(&self, mm: u64, index: u32) -> bool {
        self[number(mm)].replace(0, u64::from(index) + 1)
    }
    fn remove(&self, mm: u64) -> bool {
        self[number(mm)].swap(0) != 0
    }
}

/// At most so many values, under a lock as a stack or a queue of BPF has one.
pub(crate) struct Bounded<T> {
    values: Mutex<VecDeque<T>>,
    capacity: usize,
}

impl<T> Bounded<T> {
    fn with<R>(&self, work: impl FnOnce(&mut VecDeque<T>) -> R) -> R {
        work(&mut self.values.lock().expect("nobody panics while it is locked"))
    }

    fn add(&self, value: T) -> bool {
        self.with(|values| {
            let fits = values.len() < self.capacity;
            if fits {
                values.push_back(value);
            }
            fits
        })
    }
}

impl List for Bounded<u32> {
    fn push(&self, index: u32) -> bool {
        self.add(index)
    }
    fn pop(&self) -> Option<u32> {
        self.with(VecDeque::pop_back)
    }
}

impl Fifo for Bounded<u64> {
    fn push(&self, value: u64) -> bool {
        self.add(value)
    }
    fn peek(&self) -> Option<u64> {
        self.with(|values| values.front().copied())
    }
    fn pop(&self) -> Option<u64> {
        self.with(VecDeque::pop_front)
    }
}
