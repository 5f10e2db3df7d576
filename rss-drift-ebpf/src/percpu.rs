//! per-cpu accounting: `mm_struct.rss_stat` is an array of `percpu_counter` (mainline since 6.2), read by the rule of
//! [`rss_drift_common::protocol::percpu::exact`].

use aya_ebpf::{
    helpers::generated::bpf_map_lookup_percpu_elem,
    macros::map,
    maps::{Array, PerCpuArray},
};
use rss_drift_common::{
    MEMBERS, Pages,
    protocol::percpu::{
        exact::{self, Counters},
        words::SLOT_BYTES,
    },
    record::{CpuRecord, FLAG_LEADER_GONE, FLAG_RETRIED, FLAG_VALID},
};

use crate::{
    iterator::{Identity, TaskContext, Visit, write_record},
    kernel::{PF_KTHREAD, layout, load, load_at, probe},
    repeat::{GO_ON, STOP, repeat},
    shadow,
};

/// `__per_cpu_offset` of every possible CPU; written by user space from what [`offsets`] found.
#[map]
static CPU_OFFSETS: Array<u64> = Array::with_max_entries(1, 0);

/// A map whose elements are in per-CPU memory. Only their addresses are used.
#[map]
static CPU_ELEMENT: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Pointers are stored here and read back as numbers: the verifier refuses arithmetic between a pointer and a number.
#[map]
static SCRATCH: Array<u64> = Array::with_max_entries(1, 0);

/// How often a disturbed reading is repeated before it is marked as not valid.
const ATTEMPTS: u32 = 6;

/// The exact counters of the mm of one task, once per process.
#[inline(always)]
pub fn visit(ctx: *const TaskContext) {
    let Some(visit) = Visit::of(ctx) else { return };
    write_exact(&visit);
}

/// As [`visit`], with the mm's shadow behind the record.
#[inline(always)]
pub fn visit_with_shadow(ctx: *const TaskContext) {
    let Some(visit) = Visit::of(ctx) else {
        shadow::percpu::end_of_reading();
        return;
    };
    if visit.number == 0 {
        shadow::percpu::begin_of_reading();
    }
    let mm = write_exact(&visit);
    if !mm.is_null() {
        // SAFETY: the mm of a task, known to the verifier.
        unsafe { shadow::percpu::write_shadow(&visit, mm) };
    }
}

/// Writes the record of the task's mm and returns the mm; null if the mm has its record at
/// another task. A frame of its own, because the stacks of all frames together have 512 bytes.
#[inline(never)]
fn write_exact(visit: &Visit) -> *const u8 {
    let task = visit.task;
    // SAFETY: pointers that the verifier knows, offsets from BTF.
    let (mm, leader, leader_mm, task_flags) = unsafe {
        let mm: *const u8 = load_at!(task, task_mm);
        let leader: *const u8 = load_at!(task, task_group_leader);
        let leader_mm: *const u8 = load_at!(leader, task_mm);
        let flags: u32 = load_at!(task, task_flags);
        (mm, leader, leader_mm, flags)
    };
    // A kernel thread on a borrowed mm has no caches of its own here: the mm's owner is visited too.
    if mm.is_null() || task_flags & PF_KTHREAD != 0 {
        return core::ptr::null();
    }
    let mut flags = 0;
    if task != leader {
        if mm as u64 == leader_mm as u64 {
            return core::ptr::null();
        }
        flags |= FLAG_LEADER_GONE;
    }
    let mut tries = Tries { task, mm, count: [0; MEMBERS], cached: [0; MEMBERS], flags: u64::from(flags) };
    repeat(ATTEMPTS, &mut tries, try_once);
    let Tries { mm, count, cached, flags, .. } = tries;
    if mm.is_null() {
        return core::ptr::null();
    }
    write(visit, &Identity { mm, leader, flags: flags as u32 }, &count, &cached);
    mm
}

/// [`write_record`] in a frame of its own: its caller's has no room for the record.
#[inline(never)]
fn write(visit: &Visit, identity: &Identity, count: &Pages, cached: &Pages) {
    write_record(visit, identity, count, cached);
}

/// Readings of the counters of a task's mm, until one is valid.
struct Tries {
    task: *const u8,
    /// Null if the task has left it.
    mm: *const u8,
    count: Pages,
    cached: Pages,
    /// `FLAG_*`. 64 bits wide, so that there is no padding, which would be uninitialised memory.
    flags: u64,
}

/// One of these readings.
#[inline(never)]
extern "C" fn try_once(_: u32, tries: &mut Tries) -> i64 {
    // The iterator holds the task, not the mm: an mm that the task has left may be another process's by now, or freed.
    // SAFETY: a task that the verifier knows.
    let mm: *const u8 = unsafe { load(tries.task, layout!(task_mm)) };
    tries.mm = mm;
    if mm.is_null() {
        return STOP;
    }
    let still = read_counters(mm, &mut tries.count, &mut tries.cached);
    // As a number: for each typed pointer that is loaded the verifier searches
    // the kernel's type information by name, and many paths lead here.
    let now = probe::<u64>(tries.task as u64 + u64::from(layout!(task_mm)));
    if still && now == Some(mm as u64) {
        tries.flags |= u64::from(FLAG_VALID);
        return STOP;
    }
    tries.flags |= u64::from(FLAG_RETRIED);
    GO_ON
}

/// One reading of all counters of `mm`; true when it is valid.
#[inline(always)]
fn read_counters(mm: *const u8, count: &mut Pages, cached: &mut Pages) -> bool {
    if layout!(counter_has_slots) == 0 {
        *count = counts(mm);
        return true;
    }
    let Some(slots) = Slots::of(mm) else { return false };
    exact::read(&mut Exact { mm, slots }, count, cached)
}

/// The counters of an mm.
struct Exact {
    mm: *const u8,
    slots: Slots,
}

impl Counters for Exact {
    #[inline(always)]
    fn counts(&self) -> Pages {
        counts(self.mm)
    }
    #[inline(always)]
    fn locks(&self) -> u32 {
        locks(self.mm)
    }
    #[inline(always)]
    fn add_slots(&mut self, cached: &mut Pages) -> bool {
        let mut walk = Walk { slots: self.slots, cached: [0; MEMBERS], readable: 1 };
        repeat(layout!(cpus), &mut walk, add_slots);
        *cached = walk.cached;
        walk.readable != 0
    }
}

/// A walk over all CPUs that adds up their slots.
struct Walk {
    slots: Slots,
    cached: Pages,
    /// 0 when a slot could not be read.
    readable: u64,
}

/// One CPU of [`Exact::add_slots`].
#[inline(never)]
extern "C" fn add_slots(cpu: u32, walk: &mut Walk) -> i64 {
    match walk.slots.read(cpu) {
        Some(pages) => {
            walk.cached[0] += i64::from(pages[0]);
            walk.cached[1] += i64::from(pages[1]);
            walk.cached[2] += i64::from(pages[2]);
            walk.cached[3] += i64::from(pages[3]);
        }
        None => walk.readable = 0,
    }
    GO_ON
}

/// Where the slots of an mm's four counters lie, as per-CPU pointers.
#[derive(Clone, Copy)]
pub struct Slots {
    pointers: [u64; MEMBERS],
    /// `percpu_counter_init_many` (6.6) lays the four counters' slots side by side: one read per CPU instead of four.
    together: bool,
}

impl Slots {
    /// The slots of `mm`; `None` when it cannot be read.
    #[inline(always)]
    pub fn of(mm: *const u8) -> Option<Self> {
        // Pointers to per-CPU memory are read as numbers: the verifier refuses arithmetic on them where they are typed.
        let base = mm as u64 + u64::from(layout!(mm_rss_stat) + layout!(counter_counters));
        let stride = u64::from(layout!(mm_rss_stride));
        let pointers =
            [probe(base)?, probe(base + stride)?, probe(base + 2 * stride)?, probe(base + 3 * stride)?];
        let together = pointers[1] == pointers[0] + SLOT_BYTES
            && pointers[2] == pointers[0] + 2 * SLOT_BYTES
            && pointers[3] == pointers[0] + 3 * SLOT_BYTES;
        Some(Self { pointers, together })
    }

    /// What the CPU at this place among the possible ones holds, in pages per member.
    #[inline(always)]
    pub fn read(&self, cpu: u32) -> Option<[i32; MEMBERS]> {
        let offset = *CPU_OFFSETS.get(cpu)?;
        if self.together {
            return probe(self.pointers[0] + offset);
        }
        Some([
            probe(self.pointers[0] + offset)?,
            probe(self.pointers[1] + offset)?,
            probe(self.pointers[2] + offset)?,
            probe(self.pointers[3] + offset)?,
        ])
    }
}

/// The global counts of all members.
#[inline(always)]
pub fn counts(mm: *const u8) -> Pages {
    let stride = layout!(mm_rss_stride);
    let at = layout!(mm_rss_stat) + layout!(counter_count);
    // SAFETY: mm is known to the verifier, the counters lie at these offsets in it.
    unsafe { [load(mm, at), load(mm, at + stride), load(mm, at + 2 * stride), load(mm, at + 3 * stride)] }
}

/// All lock words or-ed: 0 when no counter is being folded (`qspinlock.val`, 0 only when free).
#[inline(always)]
pub fn locks(mm: *const u8) -> u32 {
    let stride = layout!(mm_rss_stride);
    let at = layout!(mm_rss_stat) + layout!(counter_lock);
    // SAFETY: as in counts().
    unsafe {
        load::<u32>(mm, at)
            | load::<u32>(mm, at + stride)
            | load::<u32>(mm, at + 2 * stride)
            | load::<u32>(mm, at + 3 * stride)
    }
}

/// Writes a [`CpuRecord`] for every CPU number, on the first task of a reading.
#[inline(always)]
pub fn offsets(ctx: *const TaskContext) {
    let Some(visit) = Visit::of(ctx) else { return };
    if visit.number != 0 {
        return;
    }
    let map = (&raw const CPU_ELEMENT).cast_mut();
    let Some(map_address) = number_of(map.cast()) else { return };
    let Some(pointer) = probe::<u64>(map_address + u64::from(layout!(array_pptrs))) else { return };
    let mut cpu = 0;
    while cpu < layout!(cpu_ids) {
        let key = 0_u32;
        // SAFETY: a map of ours, a key on the stack; the kernel checks the CPU's number.
        let element =
            unsafe { bpf_map_lookup_percpu_elem(map.cast(), core::ptr::from_ref(&key).cast(), cpu) };
        let element = if element.is_null() { 0 } else { number_of(element.cast()).unwrap_or(0) };
        visit.write(&CpuRecord { cpu: u64::from(cpu), element, pointer });
        cpu += 1;
    }
}

/// The address in a pointer, which the verifier does not give out as a number.
#[inline(always)]
fn number_of(pointer: *const u8) -> Option<u64> {
    let scratch = SCRATCH.get_ptr_mut(0)?;
    // SAFETY: an element of our own map; volatile, or the compiler would keep the pointer in its register. Two readers
    // at once cannot meet here: only the loader runs this program, once.
    unsafe {
        core::ptr::write_volatile(scratch.cast(), pointer);
        Some(core::ptr::read_volatile(scratch))
    }
}
