//! Containers whose operations are single steps, as those of BPF maps are to the programs.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
};

use super::{
    hash::Hash,
    name::Name,
    runtime::{self, CONTAINER, note, observe, operation, pause, runtime, trace},
    word::Integer,
};

/// What all containers have: contents that are part of the memory's hash.
struct Container<C> {
    contents: RefCell<C>,
    hash: Cell<Hash>,
    id: u32,
    capacity: usize,
    name: Name,
}

impl<C: Default> Container<C> {
    fn new(name: Name, capacity: usize) -> Self {
        let id = runtime::new_id();
        let hash = Hash::EMPTY.mix(u64::from(id));
        runtime(|state| state.memory.set(state.memory.get().with(hash)));
        Self { contents: RefCell::default(), hash: Cell::new(hash), id, capacity, name }
    }

    /// One step; `change` returns the result and how the result enters the thread's history.
    fn step<R>(&self, kind: u8, change: impl FnOnce(&mut C) -> (R, u64), hash: impl FnOnce(&C) -> Hash) -> R {
        pause();
        let contents = &mut *self.contents.borrow_mut();
        let (result, read) = change(contents);
        let new = hash(contents).mix(u64::from(self.id));
        let old = self.hash.replace(new);
        runtime(|state| state.memory.set(state.memory.get().without(old).with(new)));
        observe(operation(CONTAINER + kind, self.id), read);
        result
    }
}

/// A hash map from u64 to u32.
pub(crate) struct Table(Container<Vec<(u64, u32)>>);

impl Table {
    /// An empty map for at most `capacity` keys.
    pub(crate) fn new(name: impl Into<Name>, capacity: usize) -> Self {
        Self(Container::new(name.into(), capacity))
    }

    fn step<R>(&self, kind: u8, change: impl FnOnce(&mut Vec<(u64, u32)>) -> (R, u64)) -> R {
        // Entries have no order: their hashes are added up.
        self.0.step(kind, change, |entries| {
            let each = entries.iter().map(|&(key, value)| Hash::EMPTY.mix(key).mix(u64::from(value)));
            each.fold(Hash::EMPTY, Hash::with)
        })
    }

    /// The key's value.
    pub(crate) fn find(&self, key: u64) -> Option<u32> {
        let found = self.step(0, |entries| {
            let found = entries.iter().find(|entry| entry.0 == key).map(|entry| entry.1);
            (found, found.map_or(0, |value| u64::from(value) + 1))
        });
        trace(|| format!("find {key:#x} in {}: {found:?}", self.0.name));
        found
    }

    /// Gives an absent key a value; false when the key is there, or the map full.
    pub(crate) fn insert(&self, key: u64, value: u32) -> bool {
        let done = self.step(1, |entries| {
            let fits = entries.len() < self.0.capacity && entries.iter().all(|entry| entry.0 != key);
            if fits {
                entries.push((key, value));
            }
            (fits, u64::from(fits))
        });
        trace(|| format!("insert {key:#x} -> {value} into {}: {done}", self.0.name));
        done
    }

    /// Takes a key out; false when it is not there.
    pub(crate) fn remove(&self, key: u64) -> bool {
        let done = self.step(2, |entries| {
            let before = entries.len();
            entries.retain(|entry| entry.0 != key);
            (entries.len() < before, u64::from(entries.len() < before))
        });
        trace(|| format!("remove {key:#x} from {}: {done}", self.0.name));
        done
    }
}

/// The step of a container whose entries have an order.
fn ordered<T: Integer, R>(
    container: &Container<VecDeque<T>>,
    kind: u8,
    change: impl FnOnce(&mut VecDeque<T>) -> (R, u64),
) -> R {
    container
        .step(kind, change, |entries| entries.iter().fold(Hash::EMPTY, |hash, entry| hash.mix(entry.bits())))
}

fn push<T: Integer>(container: &Container<VecDeque<T>>, value: T) -> bool {
    let done = ordered(container, 3, |entries| {
        let fits = entries.len() < container.capacity;
        if fits {
            entries.push_back(value);
        }
        (fits, u64::from(fits))
    });
    trace(|| format!("push {value} to {}: {done}", container.name));
    done
}

fn take<T: Integer>(
    container: &Container<VecDeque<T>>,
    (kind, name): (u8, &str),
    take: impl FnOnce(&mut VecDeque<T>) -> Option<T>,
) -> Option<T> {
    let taken = ordered(container, kind, |entries| {
        let taken = take(entries);
        (taken, taken.map_or(0, T::bits))
    });
    note(u64::from(taken.is_some()));
    trace(|| match taken {
        Some(value) => format!("{name} {}: {value}", container.name),
        None => format!("{name} {}: empty", container.name),
    });
    taken
}

/// A stack: the value pushed last comes first.
pub(crate) struct List<T>(Container<VecDeque<T>>);

impl<T: Integer> List<T> {
    /// An empty stack for at most `capacity` values.
    pub(crate) fn new(name: impl Into<Name>, capacity: usize) -> Self {
        Self(Container::new(name.into(), capacity))
    }

    /// Puts a value on top; false when the stack is full.
    pub(crate) fn push(&self, value: T) -> bool {
        push(&self.0, value)
    }

    /// Takes the top value.
    pub(crate) fn pop(&self) -> Option<T> {
        take(&self.0, (4, "pop"), VecDeque::pop_back)
    }
}

/// A queue: the value pushed first comes first.
pub(crate) struct Fifo<T>(Container<VecDeque<T>>);

impl<T: Integer> Fifo<T> {
    /// An empty queue for at most `capacity` values.
    pub(crate) fn new(name: impl Into<Name>, capacity: usize) -> Self {
        Self(Container::new(name.into(), capacity))
    }

    /// Puts a value at the end; false when the queue is full.
    pub(crate) fn push(&self, value: T) -> bool {
        push(&self.0, value)
    }

    /// The first value, which stays.
    pub(crate) fn peek(&self) -> Option<T> {
        take(&self.0, (5, "peek"), |entries| entries.front().copied())
    }

    /// Takes the first value.
    pub(crate) fn pop(&self) -> Option<T> {
        take(&self.0, (6, "pop"), VecDeque::pop_front)
    }
}
