//! Full mode: the shadow against the kernel's own counters, and its counts against what a helper did.

use std::{
    thread,
    time::{Duration, Instant},
};

use rss_drift::{
    drift::idle::{IdleFindings, IdleTracker},
    kernel::Accounting,
    probe::{FaultPrograms, FullOptions, Hidden, Probe, Publish, Snapshot},
    session::Mode,
};
use rss_drift_common::shadow::{Counts, SHADOW_VALID, ShadowRecord};

use crate::{
    command::run,
    harness::{Outcome, Reason, allowed_cpus},
    helper::{Helper, Kind},
    invariants::nothing_is_late,
    measure::{IdleProcess, Meter, wait_until},
    records::parse,
};

/// A session of full mode.
pub(super) fn open(options: FullOptions) -> Meter {
    let meter = Meter::open_as(Mode::Full(options));
    assert!(meter.session.probe.full_mode().is_some(), "both accountings have full mode");
    meter
}

pub(super) fn counts(meter: &Meter) -> Counts {
    meter.session.probe.counts().expect("full mode").expect("read the counts")
}

/// The first reading whose shadow of an idle process is believed, and that shadow.
///
/// Who answered an order is on its way off its CPU, whose slot is busy with the flush. Where an emulated CPU stands still in
/// the middle of that, several readings find it so, and say that they are disturbed.
pub(super) fn reading(probe: &mut Probe, pid: u32) -> (Snapshot, ShadowRecord) {
    let mut believed = None;
    wait_until("a reading that no flush disturbs", || {
        let snapshot = probe.snapshot().expect("read the iterator");
        let shadow = *snapshot.shadow(pid).expect("a process that was visited has a state");
        assert!(shadow.id != 0 && shadow.flags & !SHADOW_VALID == 0, "nothing but a flush: {shadow:?}");
        believed = (shadow.flags == SHADOW_VALID).then_some((snapshot, shadow));
        believed.is_some()
    });
    believed.expect("it was waited for")
}

/// The shadow of an idle process.
pub(super) fn shadow(meter: &mut Meter, pid: u32) -> ShadowRecord {
    reading(&mut meter.session.probe, pid).1
}

/// What holds at every reading: no error of an idle mm, nothing repaired in one, no residue, no state too many.
pub(super) fn assert_right(meter: &mut Meter, tracker: &mut IdleTracker) -> IdleFindings {
    let snapshot = meter.snapshot();
    let found = tracker.judge(&snapshot);
    assert_eq!((found.largest_error, found.repaired), (0, 0), "shadow = exact while idle: {found:?}");
    let counts = counts(meter);
    assert_eq!((counts.deaths_with_residue, counts.residue), (0, 0), "every mm ends with 0: {counts:?}");
    found
}

/// [`assert_right`] where the session is in full mode; else a reading.
pub(super) fn assert_right_if_full(meter: &mut Meter, tracker: &mut IdleTracker) {
    if meter.session.probe.full_mode().is_some() {
        assert_right(meter, tracker);
    } else {
        meter.snapshot();
    }
}

/// States that no living mm has.
pub(super) fn stale(meter: &mut Meter) -> i64 {
    // Two readings: the first makes states for mms that had none.
    meter.snapshot();
    let snapshot = meter.snapshot();
    let visited = snapshot.mms().filter(|mm| snapshot.shadow(mm.tgid).is_some()).count();
    let counts = counts(meter);
    (counts.births - counts.deaths).cast_signed() - i64::try_from(visited).expect("a number of processes")
}

/// Every process of the host, those older than the attach too.
pub fn is_exact_for_every_idle_process() -> Outcome {
    let mut meter = open(FullOptions::default());
    let helper = Helper::start();
    let mut tracker = IdleTracker::default();
    let mut idle = 0;
    for _ in 0..20 {
        idle += assert_right(&mut meter, &mut tracker).mms;
        thread::sleep(Duration::from_millis(20));
    }
    // Each of them was asserted.
    println!("report: every_idle={idle}\nreport: every_error=0");
    assert!(idle >= 18, "the helper alone is idle at all readings but the first and the last: {idle}");
    let (snapshot, record) = reading(&mut meter.session.probe, helper.pid());
    let mm = *snapshot.process(helper.pid()).expect("the helper lives");
    assert_eq!(record.shadow, mm.exact());
    Outcome::Passed
}

/// The columns that passive mode leaves empty.
pub fn fills_its_columns() -> Outcome {
    let helper = Helper::start();
    let pid = helper.pid().to_string();
    // Whatever it costs beside whatever else runs here: passive mode has no shadow.
    let done = run(&["-p", &pid, "-n", "2", "-i", "0.05", "--format", "csv"]);
    done.must_be_fine();
    for row in parse(&done.stdout) {
        assert_eq!(row.text("mode"), "full");
        assert_eq!(row.must("shadow_bytes"), row.must("exact_bytes"), "while idle: {}", done.stdout);
        assert_eq!((row.must("uncertainty_bytes"), row.must("missed_events")), (0, 0), "{}", done.stdout);
        assert!(row.must("peak_exact_bytes") >= row.must("exact_bytes"), "{}", done.stdout);
        for column in ["peak_drift_bytes", "hits", "misses", "flushes", "faults"] {
            assert!(row.must(column) >= 0, "{column} is filled");
        }
    }
    Outcome::Passed
}

/// A single thread that grows and shrinks: its updates, its faults and its peak are those of its orders. The faults are
/// counted by the kernel, or by BPF programs; the kernel's words are read by a cast, or by a helper.
pub fn counts_what_was_done() -> Outcome {
    let default = FullOptions::default();
    for options in [
        default,
        FullOptions { faults: FaultPrograms::Always, ..default },
        FullOptions { hidden: Hidden { cast: true, ..default.hidden }, ..default },
    ] {
        follow_a_script(options);
    }
    Outcome::Passed
}

fn follow_a_script(options: FullOptions) {
    const PAGES: u64 = 1000;
    let mut meter = open(options);
    let mut helper = Helper::start();
    let pid = helper.pid();
    helper.pin(allowed_cpus()[0]);
    let region = helper.map(Kind::Anon, PAGES);
    let small = meter.idle(pid);
    let before = shadow(&mut meter, pid);
    helper.write(&region, 0..PAGES);
    let large = meter.idle(pid);
    let grown = shadow(&mut meter, pid);
    helper.give_up(&region, 0..PAGES);
    let shrunk = meter.idle(pid);
    let after = shadow(&mut meter, pid);

    // Each page is a fault and an update of its own; the order's pipe brings a few more of each.
    let updates = grown.updates() - before.updates();
    assert!((PAGES..PAGES + 20).contains(&updates), "{updates} updates for {PAGES} pages");
    let faults = |idle: &IdleProcess| idle.row.faults().expect("faults are counted");
    let faults = faults(&large) - faults(&small);
    assert!((PAGES..PAGES + 40).contains(&faults), "{faults} faults for {PAGES} pages");
    let (own, missed) = (counts(&meter), meter.session.probe.missed_events());
    assert_eq!(grown.misses, before.misses, "all on the CPU whose slot holds it: {own:?}, {missed:?}");
    let churn = grown.churn - before.churn;
    assert!((PAGES..PAGES + 20).contains(&churn), "{churn} pages changed");
    assert_eq!(after.churn - grown.churn, PAGES, "and as many went");

    // The peak is the largest figure that a walk of the page tables saw, though nobody looked at that moment.
    assert_eq!((grown.active_max, after.active_max), (1, 1), "one CPU at a time");
    assert_eq!(after.peak_exact, large.printed.rollup, "{after:?}");
    assert!(shrunk.printed.rollup <= small.printed.rollup + 20 && after.peak_exact > shrunk.printed.rollup);
    let bound = shrunk.row.bound.expect("stat has a bound").cast_signed();
    let drift = large.row.drift().expect("stat was read").abs();
    assert!((drift..=bound).contains(&after.peak_drift), "{drift} <= {} <= {bound}", after.peak_drift);
}

/// Two processes that take turns on one CPU: each switch after an update is a flush.
pub fn flushes_when_another_takes_the_cpu() -> Outcome {
    const TURNS: u64 = 50;
    let mut meter = open(FullOptions::default());
    let mut helpers = [Helper::start(), Helper::start()];
    let mut regions = Vec::new();
    for helper in &mut helpers {
        helper.pin(allowed_cpus()[0]);
        regions.push(helper.map(Kind::Anon, TURNS));
    }
    meter.snapshot();
    let before: Vec<_> = helpers.iter().map(|helper| shadow(&mut meter, helper.pid())).collect();
    for turn in 0..TURNS {
        for (helper, region) in helpers.iter_mut().zip(&regions) {
            helper.write(region, turn..turn + 1);
        }
    }
    for (helper, before) in helpers.iter().zip(before) {
        meter.idle(helper.pid());
        let after = shadow(&mut meter, helper.pid());
        let flushes = after.flushes - before.flushes;
        // The last turn may still be in the slot; this test's own turns in between cost no flush of theirs.
        assert!((TURNS - 1..=TURNS + 5).contains(&flushes), "{flushes} flushes in {TURNS} turns");
    }
    Outcome::Passed
}

/// Processes that come and go end with 0 in every member, and leave no state behind.
pub fn processes_that_come_and_go_leave_nothing() -> Outcome {
    let mut meter = open(FullOptions::default());
    let mut storm = Helper::start();
    let before = counts(&meter);
    storm.begin_storm(500);
    let mut tracker = IdleTracker::default();
    for _ in 0..30 {
        assert_right(&mut meter, &mut tracker);
        thread::sleep(Duration::from_millis(100));
    }
    let started = storm.end_storm();
    assert_right(&mut meter, &mut tracker);
    nothing_is_late(&meter.session.probe);
    let deaths = counts(&meter).deaths - before.deaths;
    assert!(deaths >= started, "{started} processes, {deaths} deaths");
    // An idle CPU keeps the mm that it ran last from its last moment, and others of the host come and go as well.
    let most = meter.session.kernel.cpus.online.len() as u64 + 3;
    let stale = stale(&mut meter);
    assert!(stale.unsigned_abs() <= most, "{stale} states without a process after {started} processes");
    Outcome::Passed
}

/// Readings without a pause: many a process ends in the middle of its own. What the reader is about to add by then is no
/// residue, and a state that it works on is not given to another mm.
pub fn processes_that_end_while_they_are_read() -> Outcome {
    let mut meter = open(FullOptions::default());
    let mut storms = [Helper::start(), Helper::start()];
    let before = counts(&meter);
    for storm in &mut storms {
        storm.begin_storm(2000);
    }
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(6) {
        meter.snapshot();
    }
    let started: u64 = storms.iter_mut().map(Helper::end_storm).sum();
    let after = counts(&meter);
    assert!(after.deaths - before.deaths >= started, "{started} processes: {after:?}");
    assert_eq!((after.deaths_with_residue, after.residue), (0, 0), "{started} processes: {after:?}");
    let mut tracker = IdleTracker::default();
    assert_right(&mut meter, &mut tracker);
    assert_right(&mut meter, &mut tracker);
    nothing_is_late(&meter.session.probe);
    println!("{started} processes ended beside readings without a pause");
    println!("report: ended_while_read={}", after.unjudged - before.unjudged);
    assert!(after.unjudged - before.unjudged < started / 2, "most ends are looked at: {after:?}");
    Outcome::Passed
}

/// Attached in the middle of a storm, again and again.
pub fn attaches_under_load() -> Outcome {
    let mut storm = Helper::start();
    storm.begin_storm(500);
    let began = Instant::now();
    for round in 0..10 {
        // An emulated CPU takes its time.
        if round > 1 && began.elapsed() > Duration::from_secs(10) {
            break;
        }
        let mut meter = open(FullOptions::default());
        let mut tracker = IdleTracker::default();
        for _ in 0..3 {
            assert_right(&mut meter, &mut tracker);
        }
    }
    storm.end_storm();
    Outcome::Passed
}

/// A map that is too small is said, and who has a place in it stays right.
pub fn a_full_map_is_counted() -> Outcome {
    let mut meter = open(FullOptions { max_mms: Some(8), ..FullOptions::default() });
    let helpers: Vec<_> = (0..12).map(|_| Helper::start()).collect();
    let mut tracker = IdleTracker::default();
    let mut without_state = 0;
    for _ in 0..5 {
        without_state = assert_right(&mut meter, &mut tracker).without_state;
    }
    assert!(without_state >= 5, "{without_state} without a state");
    assert!(counts(&meter).refused > 0);
    for helper in &helpers {
        meter.idle(helper.pid());
    }
    Outcome::Passed
}

/// Two at once do not disturb each other.
pub fn two_at_once() -> Outcome {
    let (mut one, mut other) = (open(FullOptions::default()), open(FullOptions::default()));
    let mut helper = Helper::start();
    let region = helper.map(Kind::Shmem, 100);
    helper.write(&region, 0..100);
    let mut trackers = [IdleTracker::default(), IdleTracker::default()];
    for _ in 0..5 {
        assert_right(&mut one, &mut trackers[0]);
        assert_right(&mut other, &mut trackers[1]);
    }
    let pid = helper.pid();
    assert_eq!(shadow(&mut one, pid).shadow, shadow(&mut other, pid).shadow);
    Outcome::Passed
}

/// Threads on all CPUs: the sum is right, and the peak within its printed error.
pub fn threads_on_all_cpus() -> Outcome {
    const THREADS: u64 = 8;
    const PAGES: u64 = 50;
    if allowed_cpus().len() < 2 {
        return Outcome::Skipped(Reason::OneCpu);
    }
    for publish in [Publish::Batches, Publish::EveryUpdate] {
        let mut meter = open(FullOptions { publish, ..FullOptions::default() });
        let precise_peaks = publish == Publish::EveryUpdate;
        let mut helper = Helper::start();
        let pid = helper.pid();
        let cpus = allowed_cpus().len() as u64;
        let region = helper.map(Kind::Anon, THREADS * cpus * PAGES);
        helper.hop(THREADS, &region, PAGES);
        let idle = meter.idle(pid);
        let record = shadow(&mut meter, pid);
        assert_eq!(record.shadow, idle.mm.exact());
        let held = meter.session.kernel.cpus.batch() - 1;
        let pending = if precise_peaks { 0 } else { 3 * held };
        // per-cpu: a fold is in the count before its event takes it out of the slot: another CPU that folds meanwhile counts it
        // twice, but where that is within what is pending. per-task: the kernel adds a cache to the count before it says so. Until then another CPU counts it twice: what 66
        // faults brought, of 16 pages at most.
        let twice = match meter.session.kernel.accounting {
            Accounting::PerTask => 66 * 16,
            Accounting::PerCpu if precise_peaks => held,
            Accounting::PerCpu => 0,
        };
        let limit = pending + twice;
        let error = (record.active_max - 1).cast_unsigned() * limit;
        assert!(
            record.peak_exact.abs_diff(idle.exact()) <= error,
            "peak {} of {} with an error of {error}: {record:?}",
            record.peak_exact,
            idle.exact()
        );
    }
    Outcome::Passed
}
