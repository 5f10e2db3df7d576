//! The parts of the protocol that many paths lead to, as global functions. The verifier walks a global function once for each BPF
//! program, and any other function once for each state of each caller: that would be three times as many instructions.
//!
//! A global function takes numbers, and memory of its caller (`kernel/bpf/btf.c:btf_prepare_func_args`, since 5.12). So it takes the
//! address of an mm, and [`rdonly_cast`] makes a pointer with a type of it. Where that is not used (a kernel refused a BPF program
//! with it, or a test hides it), a helper reads the mm's words.
//!
//! The verifier adds up the stacks of global functions too. The deepest chain has none of the 512 bytes left where stacks are
//! rounded up to 32 bytes (up to 6.8), which a test of the loader watches.

use rss_drift_common::{
    memory::Memory as _,
    protocol::{
        flush,
        handle::Handle,
        lifecycle::{self, Claimant},
        percpu::{
            events::{self, Attempt, Outcome},
            life, reader,
            words::{self, Refreshed, Walk},
        },
    },
    shadow::{Cpu, ShadowRecord},
};

use super::memory::ByCpu;
use crate::{
    kernel::{probe, rdonly_cast},
    shadow::{Bpf, Maps, config},
};

type Memory = Maps<ByCpu>;

/// What belongs to this CPU.
#[inline(always)]
fn own(memory: &Memory) -> Option<&Cpu<Bpf>> {
    memory.cpu(memory.here())
}

/// The address of an mm as a number. The verifier takes the difference of two pointers for a number: the second pointer is 0 here.
#[inline(always)]
pub fn number_of(mm: *const u8) -> u64 {
    let of = config!(mm_type);
    if of == 0 {
        // What a helper copies is a number.
        return probe((&raw const mm) as u64).unwrap_or(0);
    }
    // SAFETY: nothing is loaded through it.
    let zero = unsafe { rdonly_cast(0, of) };
    (mm as u64).wrapping_sub(zero as u64)
}

/// The mm at an address that came from [`number_of`].
#[inline(always)]
fn mm_at(address: u64) -> *const u8 {
    match config!(mm_type) {
        0 => address as *const u8,
        // SAFETY: it is the mm that the caller's BPF program was given.
        of => unsafe { rdonly_cast(address, of) },
    }
}

/// See [`events::any_update`].
#[inline(always)]
pub fn any_update(mm: *const u8, member: u32, attempt: Attempt) -> Outcome {
    let last = attempt == Attempt::Last;
    if percpu_any_update(number_of(mm), member, last.into()) == 0 {
        Outcome::Counted
    } else {
        Outcome::NoState
    }
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn percpu_any_update(mm: u64, member: u32, last: u32) -> u64 {
    let memory = Memory::new();
    let Some(cpu) = own(&memory) else { return 0 };
    let attempt = if last == 0 { Attempt::First } else { Attempt::Last };
    let outcome = events::any_update(&memory, cpu, mm_at(mm), member, attempt);
    (outcome == Outcome::NoState).into()
}

/// See [`life::create`], for an event.
#[inline(always)]
pub fn create(mm: *const u8) {
    percpu_create(number_of(mm));
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn percpu_create(mm: u64) -> u64 {
    let memory = Memory::new();
    life::create(&memory, mm_at(mm), Claimant::Event);
    0
}

/// See [`events::settle`].
#[inline(always)]
pub fn settle(member: u32, doubtful: bool) {
    percpu_settle(member, doubtful.into());
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn percpu_settle(member: u32, doubtful: u32) -> u64 {
    let memory = Memory::new();
    if let Some(cpu) = own(&memory) {
        events::settle(&memory, cpu, member, doubtful != 0);
    }
    0
}

/// See [`events::begin_to_change`].
#[inline(always)]
pub fn begin_to_change(mm: *const u8) -> bool {
    percpu_begin_to_change(number_of(mm)) != 0
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn percpu_begin_to_change(mm: u64) -> u64 {
    let memory = Memory::new();
    let Some(cpu) = own(&memory) else { return 0 };
    events::begin_to_change(&memory, cpu, mm_at(mm)).into()
}

/// See [`flush::make_up`].
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn percpu_make_up() -> u64 {
    let memory = Memory::new();
    if let Some(cpu) = own(&memory) {
        flush::make_up(&memory, cpu);
    }
    0
}

/// See [`life::let_go`].
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn percpu_let_go(mm: u64) -> u64 {
    life::let_go(&Memory::new(), mm);
    0
}

/// See [`lifecycle::free`].
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn percpu_free(index: u32) -> u64 {
    lifecycle::free(&Memory::new(), index);
    0
}

/// See [`words::refresh_words`].
#[inline(always)]
pub fn refresh_words(mm: *const u8, index: u32, refreshed: &mut Refreshed) {
    percpu_refresh_words(number_of(mm), index, refreshed);
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn percpu_refresh_words(mm: u64, index: u32, refreshed: *mut Refreshed) -> u64 {
    // SAFETY: the verifier lets in the caller's memory, or null.
    if let Some(refreshed) = unsafe { refreshed.as_mut() } {
        words::refresh_words(&Memory::new(), mm_at(mm), index, refreshed);
    }
    0
}

/// See [`Walk::refresh_cpu`].
#[inline(always)]
pub fn refresh_cpu(cpu: u32, walk: &mut Walk) {
    percpu_refresh_cpu(cpu, walk);
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn percpu_refresh_cpu(cpu: u32, walk: *mut Walk) -> u64 {
    // SAFETY: as in `percpu_refresh_words`.
    if let Some(walk) = unsafe { walk.as_mut() } {
        walk.refresh_cpu(&Memory::new(), cpu);
    }
    0
}

/// See [`words::refresh_count`].
#[inline(always)]
pub fn refresh_count(mm: *const u8, member: u32, index: u32) -> i32 {
    percpu_refresh_count(number_of(mm), member, index) as i32
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn percpu_refresh_count(mm: u64, member: u32, index: u32) -> i64 {
    let memory = Memory::new();
    match own(&memory) {
        Some(cpu) => words::refresh_count(&memory, cpu, mm_at(mm), member, index).into(),
        None => 0,
    }
}

/// See [`reader::add_up`].
#[inline(always)]
pub fn add_up(handle: Handle<'_, Bpf>, record: &mut ShadowRecord) -> bool {
    percpu_add_up(handle.index, handle.id, record) != 0
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn percpu_add_up(index: u32, id: u64, record: *mut ShadowRecord) -> u64 {
    let memory = Memory::new();
    // SAFETY: as in `percpu_refresh_words`.
    match (Handle::known(&memory, index, id), unsafe { record.as_mut() }) {
        (Some(handle), Some(record)) => reader::add_up(&memory, handle, record).into(),
        _ => 0,
    }
}
