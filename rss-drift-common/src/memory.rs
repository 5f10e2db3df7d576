//! The memory that the shadow's protocol works on.
//!
//! The protocol ([`crate::protocol`]) is written once and runs in three places: in the kernel, on BPF maps; under loom; and in a
//! model that tries every order of steps. What differs between these stands behind two traits. [`Words`] says what a word is: a
//! word of a BPF map, an atomic of loom, a step of the model, or a plain integer where user space copies a map's value.
//! [`Memory`] says where the words are.

use crate::{
    protocol::{lifecycle::Claimant, limbo::Waiting, observer::Observer},
    shadow::{Cpu, Shared, State},
};

/// One word that several CPUs can use.
///
/// The order of these operations is that of the program (`x86_64`: a store may be seen by other CPUs after a later load, and
/// nothing else is reordered). Operations that read and write in one step are full barriers.
pub trait Word<T: Copy> {
    /// Reads the word.
    fn get(&self) -> T;
    /// Writes the word.
    fn set(&self, value: T);
    /// Adds to the word in one step, wrapping.
    fn add(&self, value: T);
}

/// A [`Word`] with operations that read and write in one step. Linux 5.10 refuses programs that contain one, so per-task
/// accounting does without.
pub trait Exchange<T: Copy>: Word<T> {
    /// Writes the word and returns what stood there before.
    fn swap(&self, value: T) -> T;
    /// Writes `new` if `old` stands there; whether it did.
    fn replace(&self, old: T, new: T) -> bool;
    /// Adds to the word, wrapping, and returns what stood there before.
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
    /// 64 bits that are only added to, and that nothing but a sum of all CPUs is made of.
    type Count;
}

/// Words that a program can work on.
pub trait Live:
    Words<U64: Exchange<u64>, I64: Exchange<i64>, U32: Word<u32>, I32: Exchange<i32>, Count: Word<u64>>
{
}

impl<W> Live for W where
    W: Words<U64: Exchange<u64>, I64: Exchange<i64>, U32: Word<u32>, I32: Exchange<i32>, Count: Word<u64>>
{
}

/// Plain integers: the copy of a map's value that user space reads. Nobody works on these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plain;

impl Words for Plain {
    type U64 = u64;
    type I64 = i64;
    type U32 = u32;
    type I32 = i32;
    type Count = u64;
}

/// What a step over all CPUs answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Go on with the next one.
    GoOn,
    /// Leave the rest out.
    Stop,
}

/// One step of a walk, over CPU numbers, tries or states. In the kernel it is the callback of a helper, verified once and not once for
/// each number, so what it needs lies in `self`.
pub trait Step<M: ?Sized> {
    /// The step with this number.
    fn step(&mut self, memory: &M, number: u32) -> Next;
}

/// A step of a walk over the states of all mms.
pub trait StateStep<M: ?Sized> {
    /// The state of the mm at this address.
    fn step(&mut self, memory: &M, mm: u64, index: u32) -> Next;
}

/// Where the words are. A value of this lives as long as one run of a program.
pub trait Memory: Observer {
    /// The kind of all words.
    type Words: Live;
    /// An mm as a program is given it: in the kernel, a pointer that the verifier knows.
    type Mm: Copy;
    /// Whether the reader marks the state that it works on, and an mm's end leaves that state to it. That takes operations that read
    /// and write in one step, and a reader that changes states: per-cpu accounting.
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
    /// Makes the state at `index` that of the mm at this address; false where it has one, or where there is no room.
    fn insert(&self, mm: u64, index: u32) -> bool;
    /// Takes the entry of an mm away; false where somebody else did.
    fn remove(&self, mm: u64) -> bool;
    /// Takes a free index: under a lock of all CPUs.
    fn pop_free(&self) -> Option<u32>;
    /// Puts an index to the free ones.
    fn push_free(&self, index: u32);
    /// Not 0 while no index is free, as the list has one lock for all CPUs.
    fn full(&self) -> Option<&<Self::Words as Words>::U64>;
    /// An id that no state has had.
    fn new_id(&self, by: Claimant) -> Option<u64>;
    /// Calls `step` for each CPU number.
    fn for_each_cpu<S: Step<Self>>(&self, step: &mut S);
    /// A state waits until no program can be at it.
    fn wait(&self, waiting: Waiting);
    /// Clears what the scheme keeps of a state beside it, for the next mm at its index.
    fn wipe(&self, index: u32);

    /// 0, which the verifier does not know: a sum over CPUs that begins with a constant, and decides a branch later, is a state of
    /// its own at each of its values, and the verifier walks through all of them.
    fn zero(&self) -> i64 {
        0
    }
    /// Pending pages per member at which a slot publishes.
    fn threshold(&self) -> u32;
    /// Whether `mm_users` of the mm is 0; asked where somebody listens ([`Observer::listens`]).
    fn is_unused(&self, _mm: Self::Mm) -> bool {
        false
    }
}
