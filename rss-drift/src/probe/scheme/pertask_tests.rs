use rss_drift_common::running::Peak;

use super::*;

const MM: u64 = 7;
const ID: u64 = 99;

/// A process of one task with 100 pages counted and 5 cached, whose state follows from `totals`.
fn record(task: u64, cached: i64, totals: i64, seed: Seed) -> TaskRecord {
    let number = u32::try_from(task).expect("small");
    let mm = MmRecord {
        mm: MM,
        task,
        tgid: number,
        tid: number,
        count: [0, 100, 0, 0],
        cached: [0, cached, 0, 0],
        flags: FLAG_VALID,
        ..bytemuck::Zeroable::zeroed()
    };
    let shadow = TaskShadow {
        id: ID,
        index: 3,
        totals: [0, totals, 0, 0],
        peak: Peak { exact: 110, drift: 6, active_max: 2, hidden: 4, twice: 3 },
        seed,
        ..TaskShadow::default()
    };
    TaskRecord { mm, shadow }
}

fn seeded(pages: i64) -> Seed {
    Seed { id: ID, pages: [0, pages, 0, 0], ..Seed::default() }
}

fn twice(cpu: Cpu) -> [Vec<Cpu>; 2] {
    [vec![cpu], vec![cpu]]
}

/// The CPU's slot holds the mm with 2 pages pending; the task on it has cached a page since it was looked at.
fn busy_cpu(task: u64, seen: i32) -> Cpu {
    Cpu {
        slot: Slot { mm: MM, id: ID, index: 3, pending: [0, 2, 0, 0], hits: 2, ..Slot::default() },
        running: Running { task, mm: MM, seen: [0, seen, 0, 0], ..Running::default() },
    }
}

#[test]
fn a_shadow_is_seed_totals_slots_and_what_running_tasks_changed() {
    let task = record(1, 5, 1, seeded(1));
    let (records, seeds, all) = put_together(&[task], &twice(busy_cpu(1, 4)), &[task]);
    let shadow = records[0].shadow;
    assert_eq!(shadow.shadow, [0, 100 + 1 + 1 + 2 + 1, 0, 0]);
    assert_eq!((shadow.flags, shadow.id, shadow.hits, shadow.slots), (SHADOW_VALID, ID, 2, 1));
    assert_eq!((shadow.peak_exact, shadow.peak_drift, shadow.active_max, shadow.churn), (110, 6, 2, 3));
    assert_eq!(shadow.peak_error, 4 + 3, "of another CPU, and counted twice");
    assert!(all && seeds.is_empty(), "what is right stays: {seeds:?}");
}

#[test]
fn a_direct_update_in_doubt_is_a_hit_where_the_cache_was_not_cleared() {
    let task = record(1, 5, 1, seeded(1));
    let hits = |cached| {
        let mut cpu = busy_cpu(1, 4);
        cpu.running = Running { doubtful: 2, doubtful_cached: cached, doubtful_delta: 512, ..cpu.running };
        let shadow = put_together(&[task], &twice(cpu), &[task]).0[0].shadow;
        (shadow.hits, shadow.churn)
    };
    assert_eq!(hits(4), (3, 515), "the 5 pages that are cached hold all of the 4");
    assert_eq!(hits(6), (2, 3), "of the 6 none are left, but 5 new ones");
}

#[test]
fn a_state_is_seeded_from_a_valid_reading_and_has_no_shadow_before() {
    let task = record(1, 5, 1, Seed::default());
    let (records, seeds, _) = put_together(&[task], &twice(Cpu::default()), &[task]);
    assert_eq!(records[0].shadow.id, 0);
    let expected = Seed { peak_exact: 105, peak_drift: 5, ..seeded(4) };
    assert_eq!(seeds, [(3, expected)]);
    let changed = record(1, 6, 1, Seed::default());
    assert!(put_together(&[changed], &twice(Cpu::default()), &[task]).1.is_empty());
}

#[test]
fn a_lost_change_has_the_state_seeded_again() {
    let mut task = record(1, 5, 1, seeded(1));
    task.shadow.lost = 1;
    let (records, seeds, _) = put_together(&[task], &twice(Cpu::default()), &[task]);
    assert_eq!(records[0].shadow.id, 0);
    assert_eq!((seeds[0].1.pages, seeds[0].1.lost), ([0, 4, 0, 0], 1));
}

#[test]
fn an_error_is_shown_then_repaired() {
    let task = record(1, 5, 1, seeded(1));
    let (records, seeds, _) = put_together(&[task], &twice(Cpu::default()), &[task]);
    assert_eq!(records[0].shadow.shadow, [0, 102, 0, 0]);
    assert_eq!((seeds[0].1.pages, seeds[0].1.repaired), ([0, 4, 0, 0], 3));
}

#[test]
fn a_cpu_in_the_middle_of_a_change_makes_no_reading() {
    let task = record(1, 5, 1, seeded(1));
    let valid = |cpus: &[Vec<Cpu>; 2]| put_together(&[task], cpus, &[task]).0[0].shadow.flags == SHADOW_VALID;
    let cpu = busy_cpu(1, 4);
    assert!(valid(&twice(cpu)));
    let mut marked = cpu;
    marked.running.busy = 1;
    assert!(!valid(&twice(marked)));
    assert!(!valid(&[vec![cpu], vec![busy_cpu(1, 5)]]));
    // It took another mm, and is not done with giving this one's deltas up.
    let mut leaving = Cpu { slot: Slot { mm: 8, busy: 4, ..Slot::default() }, ..Cpu::default() };
    assert!(!valid(&twice(leaving)));
    leaving.slot.busy = 5;
    assert!(valid(&twice(leaving)), "that is another state");
}

#[test]
fn a_task_that_changed_its_mm_took_nothing_along() {
    let mut task = record(1, 5, 6, seeded(1));
    task.shadow.totals[1] = 6;
    let cpu = Cpu {
        running: Running { task: 2, mm: MM, seen: [0, 2, 0, 0], ..Running::default() },
        ..Cpu::default()
    };
    // Task 2 is not among the tasks of the mm any more: its 2 pages are in the count.
    assert_eq!(put_together(&[task], &twice(cpu), &[task]).0[0].shadow.shadow, [0, 105, 0, 0]);
}
