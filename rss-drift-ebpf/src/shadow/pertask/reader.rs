//! The iterator of full mode, per-task accounting: every task's record, and what is kept of its mm once per process.
//!
//! The slots of the CPUs, and what a running task changed since the last look, are user space's to add: it has all tasks'
//! counts, and 5.10 has no loop that would be verified once for all CPUs.

use rss_drift_common::{
    record::FLAG_LEADER_GONE,
    running::{Peak, Seed, TaskShadow},
};

use super::{
    super::{limbo::now, maps as shared},
    lifecycle::{self, Maker, find_or_create},
    maps,
};
use crate::{
    iterator::{TaskContext, Visit},
    kernel::{layout, load},
    pertask::write_task,
    run,
};

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
    peak: Peak { exact: 0, drift: 0, active: 0 },
    lost: 0,
    let_go: 0,
    seed: Seed { pages: [0; 4], peak_exact: 0, peak_drift: 0, repaired: 0, lost: 0, id: 0 },
    measured: 0,
};

/// Writes one task.
#[inline(always)]
pub fn visit(ctx: *const TaskContext) {
    let Some(visit) = Visit::of(ctx) else { return };
    let Some(identity) = write_task(&visit) else { return };
    let mut record = EMPTY;
    if visit.task == identity.leader || identity.flags & FLAG_LEADER_GONE != 0 {
        read(&visit, identity.mm as u64, &mut record);
    }
    visit.write(&record);
}

/// What is kept of `mm`.
#[inline(always)]
fn read(visit: &Visit, mm: u64, record: &mut TaskShadow) {
    let Some(index) = find_or_create(Maker::Reader, mm) else { return };
    // SAFETY: a task that the verifier knows; map values.
    unsafe {
        let current: u64 = load(visit.task, layout!(task_mm));
        if current != mm {
            // The task let go of the mm, which may have ended before its state was made: nobody would take that away.
            record.let_go = lifecycle::let_go(mm);
            return;
        }
        let (Some(state), Some(seed)) = (shared::state(index), maps::seed(index)) else { return };
        if (*state).owned == 0 {
            (*state).owned = now();
        }
        record.index = u64::from(index);
        record.lost = (*state).seeded;
        record.seed.pages = (*seed).pages;
        record.seed.peak_exact = (*seed).peak_exact;
        record.seed.peak_drift = (*seed).peak_drift;
        record.seed.repaired = (*seed).repaired;
        record.seed.lost = (*seed).lost;
        record.seed.id = (*seed).id;
        record.totals = (*state).totals;
        record.hits = (*state).hits;
        record.misses = (*state).misses;
        record.flushes = (*state).flushes;
        record.publications = (*state).publications;
        record.faults = (*state).faults;
        record.churn = (*state).churn;
        if run::count::measured(index).is_some() {
            record.measured = 1;
        }
        let mut ran = 0;
        let mut cpu = 0;
        while cpu < layout!(cpu_ids) {
            let Some(peak) = maps::peak(cpu, index) else { break };
            if (*peak).exact > record.peak.exact {
                record.peak.exact = (*peak).exact;
            }
            if (*peak).drift > record.peak.drift {
                record.peak.drift = (*peak).drift;
            }
            if (*peak).active > record.peak.active {
                record.peak.active = (*peak).active;
            }
            // It changed the mm at some time.
            if (*peak).active != 0 {
                ran += 1;
            }
            cpu += 1;
        }
        run::visits::count(index, mm, ran);
        run::tasks::seen(visit.task, index);
        record.id = core::ptr::read_volatile(&raw const (*state).id);
    }
}
