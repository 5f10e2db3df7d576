//! The memory that the shadow's protocol works on.
//!
//! The protocol ([`crate::protocol`]) is written once and runs in three places: in the kernel, on BPF
//! maps; under loom; and in a model that tries every order of steps. Two traits hide how these differ.
//! [`Words`] says what a word is: a word of a BPF map, an atomic of loom, a step of the model, or a
//! plain integer where user space copies a map's value. [`Memory`] says where the words are.

use crate::{
    protocol::{
        flush,
        lifecycle::{self, Claimant},
        limbo::Waiting,
        observer::Observer,
    },
    shadow::{Cpu, Shared, State},
};

/// One word that several CPUs can use.
///
/// These operations happen in program order, except that other CPUs may see a store after a later
/// load of the same CPU (`x86_64`). Operations that read and write in one step are full barriers.
pub trait Word<T: Copy> {
    /// Reads the word.
    fn get(&self) -> T;
    /// Writes the word.
    fn set(&self, value: T);
    /// Adds to the word in one step, wrapping.
    fn add(&self, value: T);
}

/// A [`Word`] with operations that read and write in one step. Linux 5.10 refuses BPF programs that contain one, so
/// per-task accounting does without.
pub trait Exchange<T: Copy>: Word<T> {
    /// Writes the word and returns the value before.
    fn swap(&self, value: T) -> T;
    /// Writes `new` if the word is `old`. True if it was.
    fn replace(&self, old: T, new: T) -> bool;
    /// Adds to the word, wrapping, and returns the value before.
    fn fetch_add(&self, value: T) -> T;
    /// Sets bits.
    fn set_bits(&self, bits: T);
}

/// The kinds of words that a memory is made of.
pub trait Words {
    /// 64 bits.
    type U64;
    /// 64 bits, signed.
    type I64;
    /// 32 bits.
    type U32;
    /// 32 bits, signed.
    type I32;
    /// 64 bits. They are only added to, and only their sum over all CPUs is used.
    type Count;
}

/// Words that a BPF program can work on.
pub trait Live:
    Words<U64: Exchange<u64>, I64: Exchange<i64>, U32: Word<u32>, I32: Exchange<i32>, Count: Word<u64>>
{
}

impl<W> Live for W where
    W: Words<U64: Exchange<u64>, I64: Exchange<i64>, U32: Word<u32>, I32: Exchange<i32>, Count: Word<u64>>
{
}

/// Plain integers: the copy of a map's value that user space reads. No step of the protocol runs on these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plain;

impl Words for Plain {
    type U64 = u64;
    type I64 = i64;
    type U32 = u32;
    type I32 = i32;
    type Count = u64;
}

/// What a step of a walk returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Go on with the next one.
    GoOn,
    /// Leave the rest out.
    Stop,
}

/// One step of a walk over CPU numbers, tries or states. In the kernel this is the callback of a helper.
/// The verifier checks the callback once, not once per number, so all that the step needs is in `self`.
pub trait Step<M: ?Sized> {
    /// The step with this number.
    fn step(&mut self, memory: &M, number: u32) -> Next;
}

/// A step of a walk over the states of all mms.
pub trait StateStep<M: ?Sized> {
    /// The state of the mm at this address.
    fn step(&mut self, memory: &M, mm: u64, index: u32) -> Next;
}

/// Where the words are. A value of this lives as long as one run of a BPF program.
pub trait Memory: Observer {
    /// The kind of all words.
    type Words: Live;
    /// An mm as a BPF program gets it: in the kernel, a pointer whose type the verifier knows.
    type Mm: Copy;
    /// Whether the reader marks the state that it works on, so that an mm's end leaves that state to the reader.
    /// This needs operations that read and write in one step, and a reader that changes states: per-cpu accounting.
    const READER_MARKS: bool;

    /// The address of an mm, which names it as long as it lives.
    fn address(&self, mm: Self::Mm) -> u64;
    /// Number of the CPU that runs this.
    fn here(&self) -> u32;
    /// Nanoseconds since boot.
    fn now(&self) -> u64;
    /// What belongs to a CPU; `None` where there is no such number.
    fn cpu(&self, number: u32) -> Option<&Cpu<Self::Words>>;
    /// What all CPUs share.
    fn shared(&self) -> Option<&Shared<Self::Words>>;
    /// The state at an index.
    fn state(&self, index: u32) -> Option<&State<Self::Words>>;
    /// The index of the state of the mm at this address.
    fn find(&self, mm: u64) -> Option<u32>;
    /// Enters `index` as the state of the mm at this address. False if the mm has a state already, or if there is no room.
    fn insert(&self, mm: u64, index: u32) -> bool;
    /// Removes the entry of an mm. False if another CPU did that first.
    fn remove(&self, mm: u64) -> bool;
    /// Takes a free index, under one lock that all CPUs share.
    fn pop_free(&self) -> Option<u32>;
    /// Gives an index back.
    fn push_free(&self, index: u32);
    /// Not 0 while no index is free. A CPU that sees this does not ask for the lock of the free list.
    fn full(&self) -> Option<&<Self::Words as Words>::U64>;
    /// An id that no state has had.
    fn new_id(&self, by: Claimant) -> Option<u64>;
    /// Calls `step` for each CPU number.
    fn for_each_cpu<S: Step<Self>>(&self, step: &mut S);
    /// Makes a state wait until no BPF program can still use it.
    fn wait(&self, waiting: Waiting);
    /// Clears what the scheme keeps outside of the state, for the next mm at this index.
    fn wipe(&self, index: u32);
    /// Clears the scheme's word of a state that tells whether it is seeded: [`State::seeded`], or [`State::lost`].
    fn unseed(state: &State<Self::Words>);

    /// 0, but no constant to the verifier. If a sum over CPUs began with a constant and decided a branch later,
    /// each value of the sum would be a state of its own to the verifier, which would walk through all of them.
    fn zero(&self) -> i64 {
        0
    }
    /// Pending pages per member at which a slot publishes.
    fn threshold(&self) -> u32;
    /// Calls [`flush::make_up`]. With [`Memory::free`] it is one of the parts that many paths lead to: see
    /// [`PerCpu`](crate::protocol::percpu::PerCpu).
    #[inline(always)]
    fn make_up(&self, cpu: &Cpu<Self::Words>)
    where
        Self: Sized,
    {
        flush::make_up(self, cpu);
    }
    /// Calls [`flush::give_up`], which few switches lead to. In a function of its own it costs the others no registers to save.
    #[inline(always)]
    fn give_up(&self, cpu: &Cpu<Self::Words>, next: u64)
    where
        Self: Sized,
    {
        flush::give_up(self, cpu, next);
    }
    /// Calls [`lifecycle::free`].
    #[inline(always)]
    fn free(&self, index: u32)
    where
        Self: Sized,
    {
        lifecycle::free(self, index);
    }
    /// Whether `mm_users` of the mm is 0. Only called while an observer listens ([`Observer::listens`]).
    fn is_unused(&self, _mm: Self::Mm) -> bool {
        false
    }
}
