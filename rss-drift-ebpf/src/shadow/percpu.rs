//! per-cpu accounting: the kernel's counters, and what its programs' entry points call.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{bpf_for_each_map_elem, bpf_get_current_task_btf};
use rss_drift_common::{
    MEMBERS,
    memory::{Exchange, StateStep, Step, Word as WordOf},
    protocol::{
        handle::Handle,
        lifecycle::Claimant,
        limbo::Waiting,
        percpu::{PerCpu, events, life, reader},
        sweep,
    },
    shadow::{ShadowRecord, State},
};

use super::{
    maps::{self, config, place, value},
    memory::{Kind, Maps, answer, state_step},
    word::{Bpf, Word},
};
use crate::{
    iterator::Visit,
    kernel::{layout, load, load_at, load_counter, probe, rdonly_cast},
    percpu::locks,
    repeat::repeat,
    run,
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
    fn is_unused(mm: *const u8) -> bool {
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
    fn seen(&self, cpu: u32, index: u32) -> Option<&[Word<i32>; MEMBERS]> {
        value(&maps::SEEN, place(cpu, index))
    }
    #[inline(always)]
    fn slots<const MEMBER: usize>(&self, mm: *const u8) -> u64 {
        // SAFETY: an mm that the verifier knows; the offset is that of percpu_counter.counters of this member.
        unsafe { load_counter!(mm, slots, MEMBER) }
    }
    #[inline(always)]
    fn slot(&self, slots: u64, offset: u64) -> Option<i32> {
        probe(slots + offset)
    }
    #[inline(always)]
    fn own_slot(&self, slots: u64, offset: u64) -> Option<i32> {
        let of = config!(word_type);
        if of == 0 {
            return probe(slots + offset);
        }
        // SAFETY: the slot of a living mm; the type is a word of 32 bits. A failed read would not show, but this one cannot fail.
        Some(unsafe { load(rdonly_cast(slots + offset, of), 0) })
    }
    #[inline(always)]
    fn four_slots(&self, slots: u64, offset: u64) -> Option<[i32; MEMBERS]> {
        probe(slots + offset)
    }
    #[inline(always)]
    fn count<const MEMBER: usize>(&self, mm: *const u8) -> i64 {
        // SAFETY: as in `slots`.
        unsafe { load_counter!(mm, count, MEMBER) }
    }
    #[inline(always)]
    fn locks(&self, mm: *const u8) -> u32 {
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
}

/// `kmem:rss_stat`: `mm`'s `member` was changed.
///
/// # Safety
/// `mm` must be known to the verifier.
#[inline(always)]
pub unsafe fn updated(context: *const u64, mm: *const u8, member: u32) {
    run::sites::calibrate(context);
    events::updated(&Maps::<ByCpu>::of_event(context), mm, member);
}

/// This CPU switches to a task with the mm at `next`; 0 is none.
#[inline(always)]
pub fn switched(next: u64) {
    events::switched(&Maps::<ByCpu>::new(), next);
}

/// The running task has a new mm (`exec_mmap`).
///
/// # Safety
/// `mm` must be known to the verifier.
#[inline(always)]
pub unsafe fn executed(mm: *const u8) {
    events::executed(&Maps::<ByCpu>::new(), mm);
}

/// A new task has an mm of its own.
///
/// # Safety
/// `mm` must be known to the verifier.
#[inline(always)]
pub unsafe fn forked(mm: *const u8) {
    life::born(&Maps::<ByCpu>::new(), mm);
}

/// The address of the current task's mm.
#[inline(always)]
fn current_mm() -> u64 {
    // SAFETY: the helper returns the current task, which the verifier knows.
    unsafe { load_at!(bpf_get_current_task_btf().cast(), task_mm) }
}

/// A page fault of the current task.
#[inline(always)]
pub fn page_fault() {
    let mm = current_mm();
    if mm != 0 {
        events::page_fault(&Maps::<ByCpu>::new(), mm);
    }
}

/// An mm ends.
///
/// # Safety
/// `mm` must be known to the verifier.
#[inline(always)]
pub unsafe fn ended(mm: *const u8) {
    life::end(&Maps::<ByCpu>::new(), mm);
}

/// The first task of a reading.
#[inline(always)]
pub fn begin_of_reading() {
    sweep::begin_of_reading(&Maps::<ByCpu>::new());
}

/// After the last task of a reading.
#[inline(always)]
pub fn end_of_reading() {
    sweep::end_of_reading(&Maps::<ByCpu>::new());
}

/// Writes what the shadow knows of `mm`: the second half of the record.
///
/// # Safety
/// `mm` must be known to the verifier.
#[inline(never)]
pub unsafe fn write_shadow(visit: &Visit, mm: *const u8) {
    let mut record = EMPTY;
    reader::read(&Maps::<ByCpu>::new(), visit, mm, &mut record);
    visit.write_shadow(&record);
}

const EMPTY: ShadowRecord = ShadowRecord {
    id: 0,
    shadow: [0; MEMBERS],
    hits: 0,
    misses: 0,
    flushes: 0,
    faults: 0,
    churn: 0,
    repaired: 0,
    peak_exact: 0,
    peak_drift: 0,
    active_max: 0,
    peak_error: 0,
    holders: 0,
    flags: 0,
};

impl reader::Visit<Maps<ByCpu>> for Visit {
    #[inline(always)]
    fn mm_now(&self, _: &Maps<ByCpu>) -> Option<u64> {
        // As a number: for each typed pointer that is loaded the verifier searches
        // the kernel's type information by name, and many paths lead here.
        probe(self.task as u64 + u64::from(layout!(task_mm)))
    }
    #[inline(always)]
    fn tgid(&self, _: &Maps<ByCpu>) -> u32 {
        // SAFETY: a task that the verifier knows.
        unsafe { load_at!(self.task, task_tgid) }
    }
    #[inline(always)]
    fn visited(&self, _: &Maps<ByCpu>, handle: Handle<'_, Bpf>, mm: u64) {
        run::visits::count(handle.index, mm, run::visits::weight_of(reader::cpus_of(handle)));
        // SAFETY: a task that the verifier knows.
        unsafe { run::tasks::seen(self.task, handle.index) };
    }
}
