//! Plain words for tests on one thread.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, VecDeque},
};

use crate::host::{Check, Fifo, Kind, List, Name, Table};
use rss_drift_common::memory::{Exchange, Word, Words};

/// Cells.
pub(crate) struct Cells;

/// A cell. (The trait's methods have the names of a cell's own.)
pub(crate) struct CellWord<T>(Cell<T>);

macro_rules! words {
    ($($of:ty),*) => {$(
        impl Word<$of> for CellWord<$of> {
            fn get(&self) -> $of {
                self.0.get()
            }
            fn set(&self, value: $of) {
                self.0.set(value);
            }
            fn add(&self, value: $of) {
                self.0.set(self.0.get().wrapping_add(value));
            }
        }

        impl Exchange<$of> for CellWord<$of> {
            fn swap(&self, value: $of) -> $of {
                self.0.replace(value)
            }
            fn replace(&self, old: $of, new: $of) -> bool {
                let same = self.0.get() == old;
                if same {
                    self.0.set(new);
                }
                same
            }
            fn fetch_add(&self, value: $of) -> $of {
                self.0.replace(self.0.get().wrapping_add(value))
            }
            fn set_bits(&self, bits: $of) {
                self.0.set(self.0.get() | bits);
            }
        }

        impl Check<$of> for CellWord<$of> {
            fn peek(&self) -> $of {
                self.0.get()
            }
            fn poke(&self, value: $of) {
                self.0.set(value);
            }
            fn add_quietly(&self, value: $of) {
                self.add(value);
            }
            fn replace_here(&self, old: $of, new: $of) -> bool {
                self.replace(old, new)
            }
        }
    )*};
}

words!(u64, i64, u32, i32);

impl Words for Cells {
    type U64 = CellWord<u64>;
    type I64 = CellWord<i64>;
    type U32 = CellWord<u32>;
    type I32 = CellWord<i32>;
    type Count = CellWord<u64>;
}

impl Kind for Cells {
    type Table = RefCell<BTreeMap<u64, u32>>;
    type List = Bounded<u32>;
    type Fifo = Bounded<u64>;

    fn u64(_: Name, value: u64, _: bool) -> CellWord<u64> {
        CellWord(Cell::new(value))
    }
    fn i64(_: Name, value: i64, _: bool) -> CellWord<i64> {
        CellWord(Cell::new(value))
    }
    fn u32(_: Name, value: u32, _: bool) -> CellWord<u32> {
        CellWord(Cell::new(value))
    }
    fn i32(_: Name, value: i32, _: bool) -> CellWord<i32> {
        CellWord(Cell::new(value))
    }
    fn count(_: Name) -> CellWord<u64> {
        CellWord(Cell::new(0))
    }
    fn table(_: &'static str, _: usize) -> Self::Table {
        RefCell::default()
    }
    fn list(_: &'static str, capacity: usize) -> Bounded<u32> {
        Bounded { values: RefCell::default(), capacity }
    }
    fn fifo(_: &'static str, capacity: usize) -> Bounded<u64> {
        Bounded { values: RefCell::default(), capacity }
    }

    fn lock(word: &CellWord<u32>) {
        assert!(word.replace(0, 1), "one thread cannot wait for itself");
    }
}

impl Table for RefCell<BTreeMap<u64, u32>> {
    fn find(&self, mm: u64) -> Option<u32> {
        self.borrow().get(&mm).copied()
    }
    fn insert(&self, mm: u64, index: u32) -> bool {
        let mut entries = self.borrow_mut();
        let absent = !entries.contains_key(&mm);
        if absent {
            entries.insert(mm, index);
        }
        absent
    }
    fn remove(&self, mm: u64) -> bool {
        self.borrow_mut().remove(&mm).is_some()
    }
}

/// At most so many values.
pub(crate) struct Bounded<T> {
    values: RefCell<VecDeque<T>>,
    capacity: usize,
}

impl<T> Bounded<T> {
    fn add(&self, value: T) -> bool {
        let mut values = self.values.borrow_mut();
        let fits = values.len() < self.capacity;
        if fits {
            values.push_back(value);
        }
        fits
    }
}

impl List for Bounded<u32> {
    fn push(&self, index: u32) -> bool {
        self.add(index)
    }
    fn pop(&self) -> Option<u32> {
        self.values.borrow_mut().pop_back()
    }
}

impl Fifo for Bounded<u64> {
    fn push(&self, value: u64) -> bool {
        self.add(value)
    }
    fn peek(&self) -> Option<u64> {
        self.values.borrow().front().copied()
    }
    fn pop(&self) -> Option<u64> {
        self.values.borrow_mut().pop_front()
    }
}
