//! The whole host: every idle process is right, and what comes and goes beside it disturbs nothing.

use std::{collections::HashMap, time::Instant};

use crate::{
    command::run,
    harness::Outcome,
    helper::{Helper, Kind},
    records::{Record, parse},
    truth::page_size,
};

/// Every process whose figures stand still over several reports: exact is what the page tables hold.
pub fn every_idle_process() -> Outcome {
    const REPORTS: usize = 4;
    // At least these are idle, so that the test says something on a busy host too.
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
    let mut idle = 0;
    for rows in processes.values().filter(|rows| rows.len() == REPORTS && is_idle(rows)) {
        let row = &rows[0];
        // No difference is known to be legitimate on an idle host: docs/limitations.md.
        assert_eq!(row.must("exact_bytes"), row.must("resident_bytes"), "while idle: {row:#?}");
        assert_eq!(row.must("reported_bytes") + row.must("drift_bytes"), row.must("exact_bytes"));
        assert!(row.must("drift_bytes").abs() <= row.must("bound_bytes"), "{row:#?}");
        idle += 1;
    }
    println!("{idle} of {} processes were idle", processes.len());
    assert!(idle >= helpers.len(), "the helpers are idle");
    Outcome::Passed
}

/// Whether nothing of a process moved from the first of `rows` to the last, and its page tables could be read.
fn is_idle(rows: &[Record]) -> bool {
    let first = &rows[0];
    rows.iter().all(|row| {
        row.must("moved_bytes") == 0
            && row.exact_members() == first.exact_members()
            && row.number("resident_bytes").is_some()
            && row.text("resident_bytes") == first.text("resident_bytes")
            && !row.has_note("uncertain")
    })
}

/// 500 processes a second: the idle one is right in every row, and no row of the others is nonsense.
pub fn many_short_lives_beside_an_idle_process() -> Outcome {
    const RATE: u64 = 500;
    const REPORTS: usize = 30;
    let mut sleeper = Helper::start();
    let region = sleeper.map(Kind::Anon, 333);
    sleeper.write(&region, 0..333);
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
    let of_sleeper: Vec<_> = rows.iter().filter(|row| row.pid() == i64::from(sleeper.pid())).collect();
    assert_eq!(of_sleeper.len(), REPORTS, "a row of the idle process in every report");
    for row in of_sleeper {
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
