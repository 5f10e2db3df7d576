//! The memory of the protocol: our maps.

use core::{ffi::c_void, marker::PhantomData};

use aya_ebpf::{
    bindings::BPF_NOEXIST,
    helpers::generated::{bpf_get_smp_processor_id, bpf_ktime_get_ns},
};
use rss_drift_common::{
    memory::{Memory, Next, StateStep, Step, Word as _},
    protocol::{
        flush,
        lifecycle::{self, Claimant},
        limbo::Waiting,
        observer::{Observer, Sought, Update},
    },
    shadow::{Cpu, Shared, State},
};

use super::{
    maps::{self, config, value},
    report,
    word::{Bpf, Word},
};
use crate::run::{self, count};

/// What the two accounting schemes do in their own way.
pub trait Kind: Copy {
    /// See [`Memory::Mm`].
    type Mm: Copy;
    /// See [`Memory::READER_MARKS`].
    const READER_MARKS: bool;
    /// Whether rare events are written to the daemon's log. BPF programs that have no room for that only count them.
    const REPORTS: bool;
    /// See [`Memory::address`].
    fn address(mm: Self::Mm) -> u64;
    /// See [`Memory::new_id`].
    fn new_id(by: Claimant) -> Option<u64>;
    /// See [`Memory::for_each_cpu`].
    fn for_each_cpu<S: Step<Maps<Self>>>(step: &mut S);
    /// See [`Memory::wipe`].
    fn wipe(index: u32);
    /// See [`Memory::unseed`].
    fn unseed(state: &State<Bpf>);
    /// See [`Memory::make_up`].
    #[inline(never)]
    fn make_up(cpu: &Cpu<Bpf>) {
        flush::make_up(&Maps::<Self>::new(), cpu);
    }
    /// See [`Memory::give_up`].
    #[inline(always)]
    fn give_up(cpu: &Cpu<Bpf>, next: u64) {
        flush::give_up(&Maps::<Self>::new(), cpu, next);
    }
    /// See [`Memory::free`].
    #[inline(always)]
    fn free(index: u32) {
        lifecycle::free(&Maps::<Self>::new(), index);
    }
    /// See [`Memory::is_unused`].
    fn is_unused(mm: Self::Mm) -> bool;
}

/// Our maps under one accounting scheme, for one run of a BPF program.
#[derive(Clone, Copy)]
pub struct Maps<K> {
    /// The context of the event's BPF program; null outside of one.
    context: *const u64,
    kind: PhantomData<K>,
}

impl<K> Maps<K> {
    /// For code that takes no stack.
    #[inline(always)]
    pub const fn new() -> Self {
        Self::of_event(core::ptr::null())
    }

    /// In the BPF program of an event.
    #[inline(always)]
    pub const fn of_event(context: *const u64) -> Self {
        Self { context, kind: PhantomData }
    }
}

impl<K: Kind> Memory for Maps<K> {
    type Words = Bpf;
    type Mm = K::Mm;
    const READER_MARKS: bool = K::READER_MARKS;

    #[inline(always)]
    fn address(&self, mm: K::Mm) -> u64 {
        K::address(mm)
    }
    #[inline(always)]
    fn here(&self) -> u32 {
        // SAFETY: no preconditions.
        unsafe { bpf_get_smp_processor_id() }
    }
    #[inline(always)]
    fn now(&self) -> u64 {
        // SAFETY: no preconditions.
        unsafe { bpf_ktime_get_ns() }
    }
    #[inline(always)]
    fn cpu(&self, number: u32) -> Option<&Cpu<Bpf>> {
        maps::CPUS.get(number, config!(cpus))
    }
    #[inline(always)]
    fn shared(&self) -> Option<&Shared<Bpf>> {
        value(&maps::SHARED, 0)
    }
    #[inline(always)]
    fn state(&self, index: u32) -> Option<&State<Bpf>> {
        value(&maps::STATES, index)
    }
    #[inline(always)]
    fn find(&self, mm: u64) -> Option<u32> {
        find(mm)
    }
    #[inline(always)]
    fn insert(&self, mm: u64, index: u32) -> bool {
        maps::INDEX.insert(mm, index, u64::from(BPF_NOEXIST)).is_ok()
    }
    #[inline(always)]
    fn remove(&self, mm: u64) -> bool {
        maps::INDEX.remove(mm).is_ok()
    }
    #[inline(always)]
    fn pop_free(&self) -> Option<u32> {
        maps::FREE.pop().ok().flatten()
    }
    #[inline(always)]
    fn push_free(&self, index: u32) {
        // The stack has room for every index, and an index is on it at most once.
        let _ = maps::FREE.push(index, 0);
    }
    #[inline(always)]
    fn full(&self) -> Option<&Word<u64>> {
        value(&maps::FULL, 0)
    }
    #[inline(always)]
    fn new_id(&self, by: Claimant) -> Option<u64> {
        K::new_id(by)
    }
    #[inline(always)]
    fn for_each_cpu<S: Step<Self>>(&self, step: &mut S) {
        K::for_each_cpu(step);
    }
    #[inline(always)]
    fn wait(&self, waiting: Waiting) {
        // It has room for every index, and an index is in it at most once.
        let _ = maps::LIMBO.push(waiting, 0);
    }
    #[inline(always)]
    fn wipe(&self, index: u32) {
        K::wipe(index);
    }
    #[inline(always)]
    fn unseed(state: &State<Bpf>) {
        K::unseed(state);
    }
    #[inline(always)]
    fn zero(&self) -> i64 {
        self.shared().map_or(0, |shared| shared.zero.get())
    }
    #[inline(always)]
    fn threshold(&self) -> u32 {
        config!(threshold)
    }
    #[inline(always)]
    fn make_up(&self, cpu: &Cpu<Bpf>) {
        K::make_up(cpu);
    }
    #[inline(always)]
    fn give_up(&self, cpu: &Cpu<Bpf>, next: u64) {
        K::give_up(cpu, next);
    }
    #[inline(always)]
    fn free(&self, index: u32) {
        K::free(index);
    }
    #[inline(always)]
    fn is_unused(&self, mm: K::Mm) -> bool {
        K::is_unused(mm)
    }
}

/// `rss-drift run` listens; elsewhere all of this is dead code to the verifier.
impl<K: Kind> Observer for Maps<K> {
    #[inline(always)]
    fn listens(&self) -> bool {
        run::on()
    }
    #[inline(always)]
    fn born(&self, index: u32) {
        count::born(index);
    }
    #[inline(always)]
    fn updated(&self, index: u32, member: u32, pages: i64, update: Update) {
        count::update(self.context, index, member, pages, update);
    }
    #[inline(always)]
    fn looked(&self, index: u32, member: u32, pages: i64) {
        count::update(core::ptr::null(), index, member, pages, Update::Hit);
    }
    #[inline(always)]
    fn found(&self, index: u32, pages: &[i64; 4]) {
        count::pages(index, pages);
    }
    #[inline(always)]
    fn gives_up(&self) -> Sought {
        count::gives_up()
    }
    #[inline(always)]
    fn flushed(&self, index: u32, sought: Sought) {
        count::flushed(index, sought);
    }
    #[inline(always)]
    fn last_user_gone(&self, index: u32, mm: u64, approximate: i64, exact: i64) {
        count::last_user_gone(index, mm, approximate, exact);
    }
    #[inline(always)]
    fn is_measured(&self, index: u32) -> bool {
        count::measured(index).is_some()
    }
    #[inline(always)]
    fn raise_peaks(&self, index: u32, exact: i64, drift: i64, cpus: i64) {
        count::raise_peaks(index, exact, drift, cpus);
    }
    #[inline(always)]
    fn raise_unsure(&self, index: u32, hidden: i64, twice: i64) {
        count::raise_unsure(index, hidden, twice);
    }
    #[inline(always)]
    fn ended(&self, index: u32) {
        count::ended(index);
    }
    #[inline(always)]
    fn forgotten(&self, index: u32) {
        count::forget(index);
    }
    #[inline(always)]
    fn refused(&self, number: u64) {
        if K::REPORTS {
            report::report_refused(number);
        }
    }
    #[inline(always)]
    fn residue(&self, tgid: u64, pages: u64) {
        report::report_residue(tgid, pages);
    }
    #[inline(always)]
    fn unsettled(&self, tgid: u64, words: u64) {
        report::report_unsettled(tgid, words);
    }
}

/// The index of the state of the mm at this address.
#[inline(always)]
pub fn find(mm: u64) -> Option<u32> {
    // SAFETY: the value is copied at once; a value of this preallocated map that is replaced meanwhile is that of a dead
    // mm, which nobody asks for.
    unsafe { maps::INDEX.get(mm) }.copied()
}

/// The id of the state at an index; 0 is none.
#[inline(always)]
pub fn id_of(index: u32) -> u64 {
    value(&maps::STATES, index).map_or(0, |state| state.id.get())
}

/// A helper's answer: go on.
pub const GO_ON: i64 = 0;
/// A helper's answer: leave the rest out.
pub const STOP: i64 = 1;

/// A step's answer, as the helpers want it.
#[inline(always)]
pub const fn answer(next: Next) -> i64 {
    match next {
        Next::GoOn => GO_ON,
        Next::Stop => STOP,
    }
}

/// A step over the states of all mms as the callback of `bpf_for_each_map_elem`.
#[inline(never)]
pub extern "C" fn state_step<K: Kind, S: StateStep<Maps<K>>>(
    _map: *mut c_void,
    mm: &u64,
    index: &u32,
    step: &mut S,
) -> i64 {
    answer(step.step(&Maps::new(), *mm, *index))
}
