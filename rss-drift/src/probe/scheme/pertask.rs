//! Full mode on per-task accounting: the shadow of each mm put together from what its state has, what the CPUs' slots hold
//! and what the running tasks changed since they were last looked at; and the seeds from which the states count.
//!
//! A shadow is the mm's count, and of the caches: the seed, the totals, and the pending deltas of the slots that hold the
//! mm. The first is the kernel's own word; the others are ours, and while the mm is idle they must come to what the tasks' caches hold.

use std::collections::{HashMap, HashSet};

use aya::{Ebpf, EbpfLoader};
use rss_drift_common::{
    MEMBERS, Pages, member,
    record::{FLAG_VALID, FullRecord, MmRecord},
    running::{Peak, Running, Seed, TaskShadow, is_cached_still},
    shadow::{self, SHADOW_MEASURED, SHADOW_VALID, ShadowRecord},
    slot::{BUSY_UNKNOWN, Slot, churn_of},
};

use super::Scheme;
use crate::probe::{
    error::ProbeError,
    maps::{self, Value, array, array_mut, failed},
    snapshot::{agree, sum_tasks},
    stream::Stream,
    tables,
};

/// Passes over all tasks that a reading may take until two are identical.
pub(in crate::probe) const PASSES: usize = 4;

const RUNNING: &str = "RUNNING";
const SEEDS: &str = "SEEDS";
const PEAKS: &str = "PEAKS";

/// Who says which task a CPU runs is first, and who says that nothing was cached of an mm before is
/// last, because that is true only where nothing is missed from there on.
pub(super) static SCHEME: Scheme = Scheme {
    reader: "tasks_read",
    mmdrop: "tasks_mmdrop",
    exit_mmap: "tasks_exit_mmap",
    newtask: None,
    events: &[
        ("tasks_sched_switch", "sched_switch"),
        ("tasks_rss_stat", "rss_stat"),
        ("tasks_fault_user", "page_fault_user"),
        ("tasks_fault_kernel", "page_fault_kernel"),
        ("tasks_exec", "sched_process_exec"),
        ("tasks_newtask", "task_newtask"),
    ],
};

/// Sizes the maps that only this scheme has.
pub(in crate::probe) fn size_maps(loader: &mut EbpfLoader<'_>, cpus: u32, capacity: u32) {
    loader
        .map_max_entries(RUNNING, cpus)
        .map_max_entries(PEAKS, cpus.saturating_mul(capacity))
        .map_max_entries(SEEDS, capacity);
}

/// What the iterator writes of one task.
type TaskRecord = FullRecord<TaskShadow>;

/// What one CPU has, read twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cpu {
    slot: Slot,
    running: Running,
}

/// A seed to be stored at an index.
type NewSeed = (u32, Seed);

/// One reading: passes over all tasks with a look at the CPUs in between, until two agree. Also the ids of all states that a
/// task has.
pub(in crate::probe) fn read(
    ebpf: &mut Ebpf,
    stream: &mut Stream,
) -> Result<(Vec<FullRecord>, HashSet<u64>), ProbeError> {
    let mut before: Vec<TaskRecord> = stream.read(ebpf)?;
    let mut records = Vec::new();
    let mut seeds = Vec::new();
    let mut visited = HashSet::new();
    note(&before, &mut visited);
    for _ in 1..PASSES {
        let cpus = [cpus(ebpf)?, cpus(ebpf)?];
        let after = stream.read(ebpf)?;
        note(&after, &mut visited);
        let all;
        (records, seeds, all) = put_together(&before, &cpus, &after);
        if all {
            break;
        }
        before = after;
    }
    store(ebpf, &seeds)?;
    Ok((records, visited))
}

/// Notes which states the tasks have.
fn note(records: &[TaskRecord], visited: &mut HashSet<u64>) {
    visited.extend(records.iter().map(|record| record.shadow.id).filter(|&id| id != 0));
}

/// What the CPUs have: their slots and their running tasks.
fn cpus(ebpf: &Ebpf) -> Result<Vec<Cpu>, ProbeError> {
    let slots: Vec<shadow::Cpu> = tables::read(ebpf, tables::CPUS)?;
    let running = array(ebpf, RUNNING)?;
    slots
        .iter()
        .zip(running.iter())
        .map(|(cpu, running)| {
            let Value(running) = running.map_err(failed(RUNNING))?;
            Ok(Cpu { slot: cpu.slot, running })
        })
        .collect()
}

/// The largest figures of the state at `index`, of all CPUs and of its seed.
pub(in crate::probe) fn peak(ebpf: &Ebpf, index: u32, cpus: u32, capacity: u32) -> Result<Peak, ProbeError> {
    let seed: Seed = maps::get(ebpf, SEEDS, index)?;
    let peaks = array(ebpf, PEAKS)?;
    let drift = u32::try_from(seed.peak_drift).unwrap_or(u32::MAX);
    let mut largest: Peak = Peak { exact: seed.peak_exact, drift, ..Peak::default() };
    for cpu in 0..cpus {
        let place = cpu.saturating_mul(capacity).saturating_add(index);
        let Value(peak) = peaks.get(&place, 0).map_err(failed(PEAKS))?;
        largest = largest.max(peak);
    }
    Ok(largest)
}

fn store(ebpf: &mut Ebpf, seeds: &[NewSeed]) -> Result<(), ProbeError> {
    let mut array = array_mut(ebpf, SEEDS)?;
    for &(index, seed) in seeds {
        array.set(index, Value(seed), 0).map_err(failed(SEEDS))?;
    }
    Ok(())
}

/// What the CPUs have of one mm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct OnCpus {
    /// Pending deltas, and what running tasks changed since the last look.
    pages: Pages,
    hits: u64,
    faults: u64,
    churn: u64,
    /// Slots that hold the mm.
    slots: u32,
}

/// The processes, the seeds to be stored, and whether all readings are valid.
fn put_together(
    before: &[TaskRecord],
    cpus: &[Vec<Cpu>; 2],
    after: &[TaskRecord],
) -> (Vec<FullRecord>, Vec<NewSeed>, bool) {
    let mms = |records: &[TaskRecord]| records.iter().map(|record| record.mm).collect::<Vec<_>>();
    let mut processes = sum_tasks(&mms(after));
    let mut all = agree(&sum_tasks(&mms(before)), &mut processes);
    let (earlier, kept) = (states(before), states(after));
    let tasks: HashMap<u64, &MmRecord> = after.iter().map(|record| (record.mm.task, &record.mm)).collect();
    let on_cpus = on_cpus(&cpus[1], &kept, &tasks);
    let mut seeds = HashMap::new();
    let records = processes
        .iter()
        .map(|mm| {
            let Some(state) = kept.get(&mm.mm) else {
                return FullRecord { mm: *mm, shadow: ShadowRecord::default() };
            };
            let steady = earlier.get(&mm.mm) == Some(state) && !is_disturbed(mm.mm, state, cpus);
            all &= steady;
            let on_cpus = on_cpus.get(&mm.mm).copied().unwrap_or_default();
            let shadow = shadow(mm, state, &on_cpus, steady);
            if steady && mm.has(FLAG_VALID) {
                let (index, seed) = seed(mm, state, &on_cpus);
                if seed != state.seed {
                    seeds.insert(index, seed);
                }
            }
            FullRecord { mm: *mm, shadow }
        })
        .collect();
    (records, seeds.into_iter().collect(), all)
}

/// The state of each mm: of the first task that has it.
fn states(records: &[TaskRecord]) -> HashMap<u64, TaskShadow> {
    let mut states = HashMap::new();
    for record in records.iter().filter(|record| record.shadow.id != 0) {
        states.entry(record.mm.mm).or_insert(record.shadow);
    }
    states
}

/// What the CPUs have of each mm.
fn on_cpus(
    cpus: &[Cpu],
    states: &HashMap<u64, TaskShadow>,
    tasks: &HashMap<u64, &MmRecord>,
) -> HashMap<u64, OnCpus> {
    let mut on_cpus = HashMap::<u64, OnCpus>::new();
    for Cpu { slot, running } in cpus {
        if states.get(&slot.mm).is_some_and(|state| state.id == slot.id) {
            let of_mm = on_cpus.entry(slot.mm).or_default();
            add(&mut of_mm.pages, slot.pending.map(i64::from));
            of_mm.hits += slot.hits;
            of_mm.faults += slot.faults;
            of_mm.churn += churn_of(slot.hits, slot.excess);
            of_mm.slots += 1;
        }
        if running.task == 0 {
            continue;
        }
        // A task that has another mm by now emptied its cache of the one before.
        let seen = running.seen.map(i64::from);
        add(&mut on_cpus.entry(running.mm).or_default().pages, seen.map(|pages| -pages));
        if let Some(task) = tasks.get(&running.task) {
            let of_mm = on_cpus.entry(task.mm).or_default();
            add(&mut of_mm.pages, task.cached);
            if task.mm == running.mm {
                if let Some(member) = running.doubtful.checked_sub(1)
                    && let Some(&now) = task.cached.get(member as usize)
                    && is_cached_still(running.doubtful_cached.into(), now)
                {
                    // What the next look will find.
                    of_mm.hits += 1;
                    of_mm.churn += running.doubtful_delta.unsigned_abs();
                }
                of_mm.churn +=
                    (0..MEMBERS).map(|member| task.cached[member].abs_diff(seen[member])).sum::<u64>();
            }
        }
    }
    on_cpus
}

fn add(sum: &mut Pages, pages: Pages) {
    for (sum, pages) in sum.iter_mut().zip(pages) {
        *sum += pages;
    }
}

/// Whether a BPF program was at work on the mm or its state, or its CPU's record changed, when the CPUs were read.
fn is_disturbed(mm: u64, state: &TaskShadow, cpus: &[Vec<Cpu>; 2]) -> bool {
    let [first, second] = cpus;
    first.iter().zip(second).any(|(first, second)| {
        let named = [first, second].iter().any(|cpu| cpu.slot.mm == mm || cpu.running.mm == mm);
        let busy = |cpu: &Cpu| {
            cpu.slot.busy == BUSY_UNKNOWN
                || (cpu.slot.busy != 0 && u64::from(cpu.slot.busy) == state.index + 1)
        };
        let changed = first != second || second.running.busy != 0;
        (named && changed) || busy(first) || busy(second)
    })
}

/// The shadow as far as it is followed: without the seed.
fn followed(mm: &MmRecord, state: &TaskShadow, on_cpus: &OnCpus) -> Pages {
    let mut pages = mm.count;
    add(&mut pages, state.totals);
    add(&mut pages, on_cpus.pages);
    pages
}

fn shadow(mm: &MmRecord, state: &TaskShadow, on_cpus: &OnCpus, steady: bool) -> ShadowRecord {
    let measured = if state.measured == 0 { 0 } else { SHADOW_MEASURED };
    if !state.is_seeded() {
        return ShadowRecord { flags: measured, ..ShadowRecord::default() };
    }
    let mut shadow = followed(mm, state, on_cpus);
    add(&mut shadow, state.seed.pages);
    let now = if steady { member::rss(&shadow) } else { 0 };
    ShadowRecord {
        id: state.id,
        shadow,
        hits: state.hits + on_cpus.hits,
        misses: state.misses,
        flushes: state.flushes,
        faults: state.faults + on_cpus.faults,
        churn: state.churn + on_cpus.churn,
        repaired: state.seed.repaired,
        peak_exact: state.peak.exact.max(state.seed.peak_exact).max(now),
        peak_drift: i64::from(state.peak.drift).max(state.seed.peak_drift),
        active_max: i64::from(state.peak.active_max),
        peak_error: state.peak.error(),
        slots: on_cpus.slots,
        flags: measured | if steady { SHADOW_VALID } else { 0 },
    }
}

/// The seed with which the shadow is what this valid reading says; the one that there is, where that is right.
fn seed(mm: &MmRecord, state: &TaskShadow, on_cpus: &OnCpus) -> NewSeed {
    let index = u32::try_from(state.index).unwrap_or(u32::MAX);
    let followed = followed(mm, state, on_cpus);
    let exact = mm.exact();
    let pages: Pages = std::array::from_fn(|member| exact[member] - followed[member]);
    let mut seed = state.seed;
    if state.is_seeded() {
        seed.repaired += (0..MEMBERS).map(|member| pages[member].abs_diff(seed.pages[member])).sum::<u64>();
        seed.pages = pages;
        return (index, seed);
    }
    if seed.id != state.id {
        seed = Seed { id: state.id, ..Seed::default() };
    }
    seed.pages = pages;
    seed.lost = state.lost;
    seed.peak_exact = seed.peak_exact.max(mm.exact_rss());
    seed.peak_drift = seed.peak_drift.max((mm.exact_rss() - mm.approximate_rss()).abs());
    (index, seed)
}

#[cfg(test)]
#[path = "pertask_tests.rs"]
mod tests;
