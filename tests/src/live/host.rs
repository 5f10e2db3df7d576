//! The whole host: every process at rest is right, and what comes and goes beside it disturbs nothing.

use std::{collections::HashMap, time::Instant};

use crate::{
    command::run,
    harness::Outcome,
    helper::{Helper, Kind},
    records::{Record, parse},
    truth::page_size,
};

/// Every process whose figures stand still over several reports: exact is what the page tables hold.
pub fn every_process_at_rest() -> Outcome {
    const REPORTS: usize = 4;
    // At least these are at rest, so that the test says something on a busy host too.
    let mut helpers = [Helper::start(), Helper::start(), Helper::start()];
    for helper in &mut helpers {
        let region = helper.map(Kind::Anon, 77);
        helper.write(&region, 0..77);
    }
    let reports = REPORTS.to_string();
    let done = run(&["watch", "--all", "--resident", "-n", &reports, "-i", "0.2", "--format", "csv"]);
    done.must_be_fine();
    let mut processes: HashMap<(i64, i64, i64), Vec<Record>> = HashMap::new();
    for row in parse(&done.stdout) {
        processes.entry(row.identity()).or_default().push(row);
    }
    let mut at_rest = 0;
    for rows in processes.values().filter(|rows| rows.len() == REPORTS && rests(rows)) {
        let row = &rows[0];
        // No difference is known to be legitimate on a host at rest: docs/limitations.md.
        assert_eq!(row.must("exact_bytes"), row.must("resident_bytes"), "at rest: {row:#?}");
        assert_eq!(row.must("reported_bytes") + row.must("drift_bytes"), row.must("exact_bytes"));
        assert!(row.must("drift_bytes").abs() <= row.must("bound_bytes"), "{row:#?}");
        at_rest += 1;
    }
    println!("{at_rest} of {} processes were at rest", processes.len());
    assert!(at_rest >= helpers.len(), "the helpers rest");
    Outcome::Passed
}

/// Whether nothing of a process moved from the first of `rows` to the last, and its page tables could be read.
fn rests(rows: &[Record]) -> bool {
    let first = &rows[0];
    rows.iter().all(|row| {
        row.must("moved_bytes") == 0
            && row.exact_members() == first.exact_members()
            && row.number("resident_bytes").is_some()
            && row.text("resident_bytes") == first.text("resident_bytes")
            && !row.has_note("uncertain")
    })
}

/// 500 processes a second: the resting one is right in every row, and no row of the others is nonsense.
pub fn many_short_lives_beside_a_resting_process() -> Outcome {
    const RATE: u64 = 500;
    const REPORTS: usize = 30;
    let mut resting = Helper::start();
    let region = resting.map(Kind::Anon, 333);
    resting.write(&region, 0..333);
    let mut storm = Helper::start();
    storm.begin_storm(RATE);
    let began = Instant::now();
    let reports = REPORTS.to_string();
    let done = run(&["--all", "--resident", "-i", "0.1", "-n", &reports, "--format", "csv"]);
    let took = began.elapsed();
    let started = storm.end_storm();
    done.must_be_fine();
    println!("{started} processes in {took:?}");
    // A machine that is emulated, or busy, starts fewer than it is told to.
    assert!(started >= 300, "{started} processes in {took:?}");

    let rows = parse(&done.stdout);
    let of_the_resting: Vec<_> = rows.iter().filter(|row| row.pid() == i64::from(resting.pid())).collect();
    assert_eq!(of_the_resting.len(), REPORTS, "a row of the resting process in every report");
    for row in of_the_resting {
        assert!(!row.has_note("uncertain"), "{row:#?}");
        assert_eq!(row.must("moved_bytes"), 0);
        assert_eq!(row.must("exact_bytes"), row.must("resident_bytes"), "{row:#?}");
    }
    for row in rows.iter().filter(|row| !row.has_note("uncertain")) {
        for (member, bytes) in ["file", "anon", "swap", "shmem"].into_iter().zip(row.exact_members()) {
            assert!(bytes >= 0 && bytes % page_size() == 0, "{member} of {row:#?}");
        }
        // Of a process that moves, /proc and the counters are of two instants. One that is gone has no figure in /proc.
        if let (0, Some(drift)) = (row.must("moved_bytes"), row.number("drift_bytes")) {
            assert!(drift.abs() <= row.must("bound_bytes"), "{row:#?}");
        }
    }
    Outcome::Passed
}
