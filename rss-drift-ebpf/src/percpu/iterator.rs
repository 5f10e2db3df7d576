//! The iterator: the exact counters of every mm, read by the rule of [`exact`], and what the shadow keeps of it.

use rss_drift_common::{
    MEMBERS, Pages,
    protocol::{
        handle::Handle,
        percpu::{
            exact::{self, Counters},
            reader::{self, Reading},
        },
        sweep,
    },
    record::{FLAG_LEADER_GONE, FLAG_RETRIED, FLAG_VALID},
    shadow::ShadowRecord,
};

use super::{
    counters::{Slots, counts, locks},
    memory::ByCpu,
};
use crate::{
    iterator::{Identity, TaskContext, Visit, write_record},
    kernel::{PF_KTHREAD, layout, load, load_at, probe},
    repeat::{GO_ON, STOP, repeat},
    run,
    shadow::{Bpf, Maps},
};

/// How often a disturbed reading is repeated before it is marked as not valid.
const ATTEMPTS: u32 = 6;

/// The exact counters of the mm of one task, once per process.
#[inline(always)]
pub fn visit(ctx: *const TaskContext) {
    let Some(visit) = Visit::of(ctx) else { return };
    write_exact(&visit);
}

/// As [`visit`], with what is kept of the mm as the second half of the record.
#[inline(always)]
pub fn visit_with_shadow(ctx: *const TaskContext) {
    let Some(visit) = Visit::of(ctx) else {
        sweep::end_of_reading(&Maps::<ByCpu>::new());
        return;
    };
    if visit.number == 0 {
        sweep::begin_of_reading(&Maps::<ByCpu>::new());
    }
    let mm = write_exact(&visit);
    if !mm.is_null() {
        // SAFETY: the mm of a task, known to the verifier.
        unsafe { write_shadow(&visit, mm) };
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
    let mut tries = Tries { task, mm, count: [0; MEMBERS], walk: Walk::NEW, flags: u64::from(flags) };
    repeat(ATTEMPTS, &mut tries, try_once);
    let Tries { mm, count, walk: Walk { cached, .. }, flags, .. } = tries;
    if mm.is_null() {
        return core::ptr::null();
    }
    write(visit, &Identity { mm, leader, flags: flags as u32 }, &count, &cached);
    mm
}

/// Writes what the shadow knows of `mm`: the second half of the record.
///
/// # Safety
/// `mm` must be known to the verifier.
#[inline(never)]
unsafe fn write_shadow(visit: &Visit, mm: *const u8) {
    let mut reading = Reading::NONE;
    // SAFETY: as of this function.
    unsafe { begin_shadow(visit, mm, &mut reading) };
    end_shadow(visit, mm as u64, &reading);
}

/// A frame of its own, as [`end_shadow`] has one.
///
/// # Safety
/// `mm` must be known to the verifier.
#[inline(never)]
unsafe fn begin_shadow(visit: &Visit, mm: *const u8, reading: &mut Reading) {
    reader::begin(&Maps::<ByCpu>::new(), visit, mm, reading);
}

#[inline(never)]
fn end_shadow(visit: &Visit, mm: u64, reading: &Reading) {
    let mut record = EMPTY;
    reader::read(&Maps::<ByCpu>::new(), visit, mm, *reading, &mut record);
    visit.write_shadow(&record);
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
    /// In here, not in the frame of [`try_once`]: the stacks of both have to fit.
    walk: Walk,
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
    let still = read_counters(mm, &mut tries.count, &mut tries.walk);
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
fn read_counters(mm: *const u8, count: &mut Pages, walk: &mut Walk) -> bool {
    if layout!(counter_has_slots) == 0 {
        *count = counts(mm);
        return true;
    }
    let Some(slots) = Slots::of(mm) else { return false };
    walk.slots = slots;
    exact::read(&mut Exact { mm, walk }, count)
}

/// The counters of an mm.
struct Exact<'w> {
    mm: *const u8,
    walk: &'w mut Walk,
}

impl Counters for Exact<'_> {
    #[inline(always)]
    fn counts(&self) -> Pages {
        counts(self.mm)
    }
    #[inline(always)]
    fn locks(&self) -> u32 {
        locks(self.mm)
    }
    #[inline(always)]
    fn add_slots(&mut self) -> bool {
        self.walk.cached = [0; MEMBERS];
        self.walk.readable = 1;
        repeat(layout!(cpus), self.walk, add_slots);
        self.walk.readable != 0
    }
}

/// A walk over all CPUs that adds up their slots.
struct Walk {
    slots: Slots,
    cached: Pages,
    /// 0 when a slot could not be read.
    readable: u64,
}

impl Walk {
    /// Before the first reading.
    const NEW: Self = Self { slots: Slots::NONE, cached: [0; MEMBERS], readable: 0 };
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
    slots: 0,
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
