//! The memory of the protocol: the kernel's counters, and our maps.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{bpf_for_each_map_elem, bpf_get_current_task_btf};
use rss_drift_common::{
    MEMBERS,
    memory::{Exchange, StateStep, Step, Word as WordOf},
    protocol::{
        flush,
        handle::Handle,
        lifecycle::Claimant,
        limbo::Waiting,
        percpu::{
            PerCpu,
            events::{Attempt, Outcome},
            life,
            words::{Refreshed, Walk},
        },
    },
    shadow::{Cpu, ShadowRecord, State},
};

use super::{apart, counters::locks};
use crate::{
    kernel::{layout, load, load_at, load_counter, probe, rdonly_cast},
    repeat::repeat,
    run,
    shadow::{Bpf, Kind, Maps, Word, answer, config, maps, place, state_step, value},
};

/// per-cpu accounting.
#[derive(Clone, Copy)]
pub struct ByCpu;

impl Kind for ByCpu {
    type Mm = *const u8;
    const READER_MARKS: bool = true;
    const REPORTS: bool = true;

    #[inline(always)]
    fn address(mm: *const u8) -> u64 {
        mm as u64
    }
    #[inline(always)]
    fn new_id(_: Claimant) -> Option<u64> {
        Some(value(&maps::SHARED, 0)?.last_id.fetch_add(1).wrapping_add(1))
    }
    #[inline(always)]
    fn for_each_cpu<S: Step<Maps<Self>>>(step: &mut S) {
        repeat(layout!(cpu_ids), step, cpu_step::<S>);
    }
    #[inline(always)]
    fn wipe(index: u32) {
        Self::for_each_cpu(&mut life::WipeSeen { index: u64::from(index) });
    }
    #[inline(always)]
    fn unseed(state: &State<Bpf>) {
        state.seeded.set(0);
    }
    #[inline(always)]
    fn make_up(_: &Cpu<Bpf>) {
        apart::percpu_make_up();
    }
    #[inline(never)]
    fn give_up(cpu: &Cpu<Bpf>, next: u64) {
        flush::give_up(&Maps::<Self>::new(), cpu, next);
    }
    #[inline(always)]
    fn free(index: u32) {
        apart::percpu_free(index);
    }
    #[inline(always)]
    fn is_unused(mm: *const u8) -> bool {
        if config!(mm_type) == 0 {
            return probe::<i32>(mm as u64 + u64::from(run::count::mm_users())) == Some(0);
        }
        // SAFETY: an mm that the verifier knows.
        unsafe { load::<i32>(mm, run::count::mm_users()) == 0 }
    }
}

/// A step as the callback of `bpf_loop`.
#[inline(never)]
extern "C" fn cpu_step<S: Step<Maps<ByCpu>>>(number: u32, step: &mut S) -> i64 {
    answer(step.step(&Maps::new(), number))
}

impl PerCpu for Maps<ByCpu> {
    #[inline(always)]
    fn number(&self, mm: *const u8) -> u64 {
        apart::number_of(mm)
    }
    #[inline(always)]
    fn place(&self, cpu: u32, index: u32) -> u32 {
        place(cpu, index)
    }
    #[inline(always)]
    fn seen_at(&self, place: u32) -> Option<&[Word<i32>; MEMBERS]> {
        maps::SEEN.get(place, config!(seen))
    }
    #[inline(always)]
    fn slots<const MEMBER: usize>(&self, mm: *const u8) -> u64 {
        if config!(mm_type) == 0 {
            let at =
                layout!(mm_rss_stat) + layout!(counter_counters) + MEMBER as u32 * layout!(mm_rss_stride);
            return probe(mm as u64 + u64::from(at)).unwrap_or(0);
        }
        // SAFETY: an mm that the verifier knows; the offset is that of percpu_counter.counters of this member.
        unsafe { load_counter!(mm, slots, MEMBER) }
    }
    #[inline(always)]
    fn slot(&self, slots: u64, offset: u64) -> Option<i32> {
        probe(slots + offset)
    }
    #[inline(always)]
    fn own_slot(&self, address: u64) -> Option<i32> {
        let of = config!(word_type);
        if of == 0 {
            return probe(address);
        }
        // SAFETY: the slot of a living mm; the type is a word of 32 bits. A failed read would not show, but this one cannot fail.
        Some(unsafe { load(rdonly_cast(address, of), 0) })
    }
    #[inline(always)]
    fn four_slots(&self, slots: u64, offset: u64) -> Option<[i32; MEMBERS]> {
        probe(slots + offset)
    }
    #[inline(always)]
    fn count<const MEMBER: usize>(&self, mm: *const u8) -> i64 {
        if config!(mm_type) == 0 {
            let at = layout!(mm_rss_stat) + layout!(counter_count) + MEMBER as u32 * layout!(mm_rss_stride);
            return probe(mm as u64 + u64::from(at)).unwrap_or(0);
        }
        // SAFETY: as in `slots`.
        unsafe { load_counter!(mm, count, MEMBER) }
    }
    #[inline(always)]
    fn locks(&self, mm: *const u8) -> u32 {
        if config!(mm_type) == 0 {
            return locks_by_helper(mm as u64);
        }
        locks(mm)
    }
    #[inline(always)]
    fn current_mm(&self) -> u64 {
        current_mm()
    }
    #[inline(always)]
    fn bound(&self) -> u64 {
        value(&maps::BOUND, 0).map_or(0, WordOf::get)
    }
    #[inline(always)]
    fn oldest(&self) -> Option<Waiting> {
        maps::LIMBO.peek().ok().flatten()
    }
    #[inline(always)]
    fn take_oldest(&self) -> Option<Waiting> {
        maps::LIMBO.pop().ok().flatten()
    }
    #[inline(always)]
    fn repeat<S: Step<Self>>(&self, times: u32, step: &mut S) {
        repeat(times, step, cpu_step::<S>);
    }
    #[inline(always)]
    fn for_each_state<S: StateStep<Self>>(&self, step: &mut S) {
        // SAFETY: the helper calls the step with what it got, which outlives the call.
        unsafe {
            bpf_for_each_map_elem(
                (&raw const maps::INDEX).cast_mut().cast(),
                state_step::<ByCpu, S> as *mut c_void,
                core::ptr::from_mut(step).cast(),
                0,
            );
        }
    }
    #[inline(always)]
    fn any_update(&self, _: &Cpu<Bpf>, mm: *const u8, member: u32, attempt: Attempt) -> Outcome {
        apart::any_update(mm, member, attempt)
    }
    #[inline(always)]
    fn create(&self, mm: *const u8) {
        apart::create(mm);
    }
    #[inline(always)]
    fn settle(&self, _: &Cpu<Bpf>, member: u32, doubtful: bool) {
        apart::settle(member, doubtful);
    }
    #[inline(always)]
    fn begin_to_change(&self, _: &Cpu<Bpf>, mm: *const u8) -> bool {
        apart::begin_to_change(mm)
    }
    #[inline(always)]
    fn let_go(&self, mm: u64) {
        apart::percpu_let_go(mm);
    }
    #[inline(always)]
    fn refresh_words(&self, mm: *const u8, index: u32, refreshed: &mut Refreshed) {
        apart::refresh_words(mm, index, refreshed);
    }
    #[inline(always)]
    fn refresh_cpu(&self, cpu: u32, walk: &mut Walk) {
        apart::refresh_cpu(cpu, walk);
    }
    #[inline(always)]
    fn refresh_count(&self, _: &Cpu<Bpf>, mm: *const u8, member: u32, index: u32) -> i32 {
        apart::refresh_count(mm, member, index)
    }
    #[inline(always)]
    fn add_up(&self, handle: Handle<'_, Bpf>, record: &mut ShadowRecord) -> bool {
        apart::add_up(handle, record)
    }
}

/// As [`locks`], for an mm at an address without a type. What cannot be read counts as locked.
#[inline(always)]
fn locks_by_helper(mm: u64) -> u32 {
    let at = mm + u64::from(layout!(mm_rss_stat) + layout!(counter_lock));
    let stride = u64::from(layout!(mm_rss_stride));
    let lock = |address| probe::<u32>(address).unwrap_or(u32::MAX);
    lock(at) | lock(at + stride) | lock(at + 2 * stride) | lock(at + 3 * stride)
}

/// The address of the current task's mm.
#[inline(always)]
pub fn current_mm() -> u64 {
    // SAFETY: the helper returns the current task, which the verifier knows.
    unsafe { load_at!(bpf_get_current_task_btf().cast(), task_mm) }
}
