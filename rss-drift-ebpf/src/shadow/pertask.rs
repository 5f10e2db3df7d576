//! per-task accounting: the tasks' caches and the mm's counts, and what its programs' entry points call.

use aya_ebpf::helpers::generated::bpf_get_current_task;
use rss_drift_common::{
    Pages,
    memory::{Memory as _, Next, Step, Word as _},
    protocol::{
        handle::Handle,
        lifecycle::Claimant,
        pertask::{PerTask, Task, end, events, life, reader},
    },
    record::FLAG_LEADER_GONE,
    running::{Peak, Running, Seed, TaskShadow},
    shadow::State,
};

use super::{
    CLONE_VM,
    maps::{self, place, value},
    memory::{Kind, Maps},
    word::Bpf,
};
use crate::{
    iterator::{TaskContext, Visit},
    kernel::{layout, load, load_at, probe},
    pertask::write_task,
    run,
};

/// per-task accounting.
#[derive(Clone, Copy)]
pub struct ByTask;

/// Bits of an id that say who made it: CPU numbers need 13.
const MAKER_BITS: u32 = 16;

impl Kind for ByTask {
    type Mm = u64;
    const READER_MARKS: bool = false;
    const REPORTS: bool = false;

    #[inline(always)]
    fn address(mm: u64) -> u64 {
        mm
    }
    /// Ids are made from a count with one writer: that of this CPU's events, or that of the reader, of which one runs at a time.
    #[inline(always)]
    fn new_id(by: Claimant) -> Option<u64> {
        let (count, maker) = match by {
            Claimant::Event => {
                let cpu = Maps::<Self>::new().here();
                (&value(&maps::RUNNING, cpu)?.births, u64::from(cpu))
            }
            Claimant::Reader => (&value(&maps::SHARED, 0)?.last_id, (1 << MAKER_BITS) - 1),
        };
        let made = count.get() + 1;
        count.set(made);
        Some(made << MAKER_BITS | maker)
    }
    /// A plain loop: 5.10 has no other.
    #[inline(always)]
    fn for_each_cpu<S: Step<Maps<Self>>>(step: &mut S) {
        let mut cpu = 0;
        while cpu < layout!(cpu_ids) {
            if step.step(&Maps::new(), cpu) == Next::Stop {
                break;
            }
            cpu += 1;
        }
    }
    #[inline(always)]
    fn wipe(index: u32) {
        Self::for_each_cpu(&mut life::WipePeaks { index });
        life::wipe_seed(&Maps::<Self>::new(), index);
    }
    #[inline(always)]
    fn unseed(state: &State<Bpf>) {
        state.lost.set(0);
    }
    #[inline(always)]
    fn is_unused(mm: u64) -> bool {
        probe::<i32>(mm + u64::from(run::count::mm_users())) == Some(0)
    }
}

impl PerTask for Maps<ByTask> {
    #[inline(always)]
    fn running(&self, cpu: u32) -> Option<&Running<Bpf>> {
        value(&maps::RUNNING, cpu)
    }
    #[inline(always)]
    fn peak(&self, cpu: u32, index: u32) -> Option<&Peak<Bpf>> {
        value(&maps::PEAKS, place(cpu, index))
    }
    #[inline(always)]
    fn seed(&self, index: u32) -> Option<&Seed<Bpf>> {
        value(&maps::SEEDS, index)
    }
    #[inline(always)]
    fn count(&self, mm: u64, member: u32) -> Option<i64> {
        probe(mm + u64::from(layout!(mm_rss_stat)) + 8 * u64::from(member & 3))
    }
    #[inline(always)]
    fn counts(&self, mm: u64) -> Option<Pages> {
        // Not a typed load: 5.10's verifier refuses one from an array of `atomic_long_t`.
        probe(mm + u64::from(layout!(mm_rss_stat)))
    }
}

/// A task that the verifier knows.
///
/// # Safety
/// `task` must be a `task_struct` to the verifier.
#[inline(always)]
unsafe fn task_of(task: *const u8) -> Task {
    let cache = layout!(task_rss_count);
    // SAFETY: a task to the verifier; offsets from BTF.
    unsafe {
        Task {
            address: task as u64,
            mm: load_at!(task, task_mm),
            counts: [load(task, cache), load(task, cache + 4), load(task, cache + 8), load(task, cache + 12)],
        }
    }
}

/// The current task, read by copies: 5.10 has no helper that returns it as a pointer which the verifier knows.
#[inline(always)]
fn current() -> Option<Task> {
    // SAFETY: no preconditions.
    let address = unsafe { bpf_get_current_task() };
    let mm = probe(address + u64::from(layout!(task_mm)))?;
    let counts = probe(address + u64::from(layout!(task_rss_count)))?;
    Some(Task { address, mm, counts })
}

/// This CPU switches from `prev` to `next`.
///
/// # Safety
/// Both must be tasks to the verifier.
#[inline(always)]
pub unsafe fn switched(prev: *const u8, next: *const u8) {
    // SAFETY: both are tasks to the verifier.
    let (prev, next) = unsafe { (task_of(prev), task_of(next)) };
    events::switched(&Maps::<ByTask>::new(), &prev, &next);
    run::count::switched(next.mm);
}

/// A page fault of the current task.
#[inline(always)]
pub fn page_fault() {
    events::page_fault(&Maps::<ByTask>::new(), current);
}

/// `kmem:rss_stat`: the count of `mm`'s `member` was changed directly, and was `count` then.
#[inline(always)]
pub fn updated(context: *const u64, mm: u64, member: u32, count: i64) {
    run::sites::calibrate(context);
    events::updated(&Maps::<ByTask>::of_event(context), current, mm, member, count);
}

/// A task with a new mm that it was not switched to (`exec_mmap`).
///
/// # Safety
/// `task` must be a task to the verifier, and the running one.
#[inline(always)]
pub unsafe fn executed(task: *const u8) {
    // SAFETY: a task to the verifier.
    let task = unsafe { task_of(task) };
    events::executed(&Maps::<ByTask>::new(), &task);
    run::count::executed(task.mm);
}

/// A new task, which has not run yet.
///
/// # Safety
/// `task` must be a task to the verifier.
#[inline(always)]
pub unsafe fn forked(task: *const u8, clone_flags: u64) {
    if clone_flags & CLONE_VM == 0 {
        // SAFETY: a task to the verifier.
        events::forked(&Maps::<ByTask>::new(), &unsafe { task_of(task) });
    }
}

/// The mm at this address ends.
#[inline(always)]
pub fn ended(mm: u64) {
    end::end(&Maps::<ByTask>::new(), mm);
}

const EMPTY: TaskShadow = TaskShadow {
    id: 0,
    index: 0,
    totals: [0; 4],
    hits: 0,
    misses: 0,
    flushes: 0,
    publications: 0,
    faults: 0,
    churn: 0,
    peak: Peak { exact: 0, drift: 0, active: 0, hidden: 0, twice: 0 },
    lost: 0,
    seed: Seed { pages: [0; 4], peak_exact: 0, peak_drift: 0, repaired: 0, lost: 0, id: 0 },
    measured: 0,
};

/// Writes one task, and what is kept of its mm as the second half of the record.
#[inline(always)]
pub fn visit(ctx: *const TaskContext) {
    let Some(visit) = Visit::of(ctx) else { return };
    let Some(identity) = write_task(&visit) else { return };
    let mut record = EMPTY;
    if visit.task == identity.leader || identity.flags & FLAG_LEADER_GONE != 0 {
        reader::read(&Maps::<ByTask>::new(), &visit, identity.mm as u64, &mut record);
    }
    visit.write_shadow(&record);
}

impl reader::Visit<Maps<ByTask>> for Visit {
    #[inline(always)]
    fn mm_now(&self, _: &Maps<ByTask>) -> u64 {
        // SAFETY: a task that the verifier knows.
        unsafe { load_at!(self.task, task_mm) }
    }
    #[inline(always)]
    fn visited(&self, _: &Maps<ByTask>, handle: Handle<'_, Bpf>, mm: u64, ran: u64) {
        run::visits::count(handle.index, mm, ran);
        // SAFETY: a task that the verifier knows.
        unsafe { run::tasks::seen(self.task, handle.index) };
    }
}
