//! The words of the model: each use is a step of the engine.

use crate::{
    engine::{self, member, wait_until},
    host::{Check, Fifo, Kind, List, Name, Table},
};
use rss_drift_common::memory::{Exchange, Word, Words};

/// Words of the engine.
pub(crate) struct Steps;

/// A word of the engine, which may be quiet for good.
pub(crate) struct StepWord<T> {
    word: engine::Word<T>,
    quiet: bool,
}

macro_rules! words {
    ($($of:ty),*) => {$(
        impl StepWord<$of> {
            fn new(name: Name, value: $of, used: bool) -> Self {
                let word = engine::Word::new(member(name.array, name.index, name.member), value);
                Self { word, quiet: !used }
            }
        }

        impl Word<$of> for StepWord<$of> {
            fn get(&self) -> $of {
                if self.quiet { self.word.quiet().load() } else { self.word.load() }
            }
            fn set(&self, value: $of) {
                if self.quiet { self.word.quiet().store(value) } else { self.word.store(value) }
            }
            fn add(&self, value: $of) {
                if self.quiet { self.word.quiet().add(value) } else { self.word.add(value) }
            }
        }

        impl Exchange<$of> for StepWord<$of> {
            fn swap(&self, value: $of) -> $of {
                if self.quiet { self.word.quiet().swap(value) } else { self.word.swap(value) }
            }
            fn replace(&self, old: $of, new: $of) -> bool {
                if !self.quiet {
                    return self.word.compare_exchange(old, new);
                }
                let same = self.word.quiet().load() == old;
                if same {
                    self.word.quiet().store(new);
                }
                same
            }
            fn fetch_add(&self, value: $of) -> $of {
                if !self.quiet {
                    return self.word.fetch_add(value);
                }
                let old = self.word.quiet().load();
                self.word.quiet().add(value);
                old
            }
            fn set_bits(&self, bits: $of) {
                if self.quiet {
                    self.word.quiet().store(self.word.quiet().load() | bits);
                } else {
                    self.word.fetch_or(bits);
                }
            }
        }

        impl Check<$of> for StepWord<$of> {
            fn peek(&self) -> $of {
                self.word.quiet().load()
            }
            fn poke(&self, value: $of) {
                self.word.quiet().store(value);
            }
            fn add_quietly(&self, value: $of) {
                self.word.quiet().add(value);
            }
            fn replace_here(&self, old: $of, new: $of) -> bool {
                self.replace(old, new)
            }
        }
    )*};
}

words!(u64, i64, u32, i32);

impl Words for Steps {
    type U64 = StepWord<u64>;
    type I64 = StepWord<i64>;
    type U32 = StepWord<u32>;
    type I32 = StepWord<i32>;
    type Count = StepWord<u64>;
}

impl Kind for Steps {
    type Table = engine::Table;
    type List = engine::List<u32>;
    type Fifo = engine::Fifo<u64>;

    fn u64(name: Name, value: u64, used: bool) -> StepWord<u64> {
        StepWord::<u64>::new(name, value, used)
    }
    fn i64(name: Name, value: i64, used: bool) -> StepWord<i64> {
        StepWord::<i64>::new(name, value, used)
    }
    fn u32(name: Name, value: u32, used: bool) -> StepWord<u32> {
        StepWord::<u32>::new(name, value, used)
    }
    fn i32(name: Name, value: i32, used: bool) -> StepWord<i32> {
        StepWord::<i32>::new(name, value, used)
    }
    fn count(name: Name) -> StepWord<u64> {
        StepWord::<u64>::new(name, 0, false)
    }
    fn table(name: &'static str, mms: usize) -> engine::Table {
        engine::Table::new(name, mms)
    }
    fn list(name: &'static str, capacity: usize) -> engine::List<u32> {
        engine::List::new(name, capacity)
    }
    fn fifo(name: &'static str, capacity: usize) -> engine::Fifo<u64> {
        engine::Fifo::new(name, capacity)
    }

    fn lock(word: &StepWord<u32>) {
        wait_until("the lock is free", || word.peek() == 0);
        word.poke(1);
    }
    fn preempt_disable() {
        engine::preempt_disable();
    }
    fn preempt_enable() {
        engine::preempt_enable();
    }
}

impl Table for engine::Table {
    fn find(&self, mm: u64) -> Option<u32> {
        Self::find(self, mm)
    }
    fn insert(&self, mm: u64, index: u32) -> bool {
        Self::insert(self, mm, index)
    }
    fn remove(&self, mm: u64) -> bool {
        Self::remove(self, mm)
    }
}

impl List for engine::List<u32> {
    fn push(&self, index: u32) -> bool {
        Self::push(self, index)
    }
    fn pop(&self) -> Option<u32> {
        Self::pop(self)
    }
}

impl Fifo for engine::Fifo<u64> {
    fn push(&self, value: u64) -> bool {
        Self::push(self, value)
    }
    fn peek(&self) -> Option<u64> {
        Self::peek(self)
    }
    fn pop(&self) -> Option<u64> {
        Self::pop(self)
    }
}
