//! Words of memory.

use std::{cell::Cell, fmt::Display};

use super::{
    hash::Hash,
    name::Name,
    runtime::{self, WORD, observe, operation, runtime, trace},
};

/// A type that fits in a word.
pub(crate) trait Integer: Copy + Eq + Display + 'static {
    /// As 64 bits.
    fn bits(self) -> u64;
    /// The sum, wrapping.
    fn plus(self, other: Self) -> Self;
    /// The bits of both.
    fn or(self, other: Self) -> Self;
}

macro_rules! integer {
    ($($of:ty),*) => {$(
        impl Integer for $of {
            #[inline]
            #[allow(clippy::cast_sign_loss, clippy::cast_lossless, reason = "for any integer type")]
            fn bits(self) -> u64 {
                self as u64
            }

            #[inline]
            fn plus(self, other: Self) -> Self {
                self.wrapping_add(other)
            }

            #[inline]
            fn or(self, other: Self) -> Self {
                self | other
            }
        }
    )*};
}

integer!(u64, i64, u32, i32);

/// A word that threads share. Each operation on it is one step, and atomic.
pub(crate) struct Word<T> {
    value: Cell<T>,
    id: u32,
    name: Name,
}

/// A word whose operations are no steps of their own: they belong to the step before them.
#[derive(Clone, Copy)]
pub(crate) struct Quiet<'a, T>(&'a Word<T>);

#[derive(Clone, Copy)]
enum Kind {
    Load = WORD as isize,
    Store,
    Swap,
    CompareExchange,
    Add,
    FetchAdd,
    FetchOr,
}

impl<T: Integer> Word<T> {
    /// A word of the world that is being made.
    pub(crate) fn new(name: impl Into<Name>, value: T) -> Self {
        let id = runtime::new_id();
        runtime(|state| state.memory.set(state.memory.get().with(element(id, value))));
        Self { value: Cell::new(value), id, name: name.into() }
    }

    /// Operations that are no steps: for words that only one CPU uses, for the checks' own, and for what is atomic with
    /// the step before.
    pub(crate) fn quiet(&self) -> Quiet<'_, T> {
        Quiet(self)
    }

    /// The value.
    #[inline]
    pub(crate) fn load(&self) -> T {
        runtime::pause();
        self.quiet().load()
    }

    /// Sets the value.
    #[inline]
    pub(crate) fn store(&self, value: T) {
        runtime::pause();
        self.quiet().store(value);
    }

    /// Sets the value and returns the old one.
    #[inline]
    pub(crate) fn swap(&self, value: T) -> T {
        runtime::pause();
        self.quiet().swap(value)
    }

    /// Sets the value if it is `old`; whether it was.
    #[inline]
    pub(crate) fn compare_exchange(&self, old: T, new: T) -> bool {
        runtime::pause();
        let seen = self.value.get();
        self.change(if seen == old { new } else { seen });
        self.done(Kind::CompareExchange, u64::from(seen == old));
        trace(|| {
            let failed = if seen == old { String::new() } else { format!(" fails: is {seen}") };
            format!("compare_exchange {}: {old} -> {new}{failed}", self.name)
        });
        seen == old
    }

    /// Adds, without looking.
    #[inline]
    pub(crate) fn add(&self, value: T) {
        runtime::pause();
        self.quiet().add(value);
    }

    /// Adds, and returns the old value.
    #[inline]
    pub(crate) fn fetch_add(&self, value: T) -> T {
        runtime::pause();
        self.fetch(Kind::FetchAdd, "fetch_add", value, T::plus)
    }

    /// Sets bits, and returns the old value.
    #[inline]
    pub(crate) fn fetch_or(&self, value: T) -> T {
        runtime::pause();
        self.fetch(Kind::FetchOr, "fetch_or", value, T::or)
    }

    #[inline]
    fn fetch(&self, kind: Kind, name: &str, value: T, with: fn(T, T) -> T) -> T {
        let old = self.value.get();
        self.change(with(old, value));
        self.done(kind, old.bits());
        trace(|| format!("{name} {} by {value}: {old} -> {}", self.name, self.value.get()));
        old
    }

    #[inline]
    fn change(&self, new: T) {
        let old = self.value.replace(new);
        if old != new {
            runtime(|state| {
                let rest = state.memory.get().without(element(self.id, old));
                state.memory.set(rest.with(element(self.id, new)));
            });
        }
    }

    #[inline]
    fn done(&self, kind: Kind, read: u64) {
        observe(operation(kind as u8, self.id), read);
    }
}

impl<T: Integer> Quiet<'_, T> {
    /// The value.
    #[inline]
    pub(crate) fn load(self) -> T {
        let value = self.0.value.get();
        self.0.done(Kind::Load, value.bits());
        trace(|| format!("load {} = {value}", self.0.name));
        value
    }

    /// Sets the value.
    #[inline]
    pub(crate) fn store(self, value: T) {
        trace(|| format!("store {}: {} -> {value}", self.0.name, self.0.value.get()));
        self.0.change(value);
        self.0.done(Kind::Store, 0);
    }

    /// Sets the value and returns the old one.
    #[inline]
    pub(crate) fn swap(self, value: T) -> T {
        let old = self.0.value.get();
        self.0.change(value);
        self.0.done(Kind::Swap, old.bits());
        trace(|| format!("swap {}: {old} -> {value}", self.0.name));
        old
    }

    /// Adds, without looking.
    #[inline]
    pub(crate) fn add(self, value: T) {
        let old = self.0.value.get();
        self.0.change(old.plus(value));
        self.0.done(Kind::Add, 0);
        trace(|| format!("add {} by {value}: {old} -> {}", self.0.name, self.0.value.get()));
    }
}

#[inline]
fn element<T: Integer>(id: u32, value: T) -> Hash {
    Hash::EMPTY.mix(u64::from(id)).mix(value.bits())
}
