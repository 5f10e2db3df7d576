//! Full mode where it is hard: processes and the daemon stopped, CPUs that never idle, many CPUs.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rss_drift::{
    drift::idle::IdleTracker,
    kernel::{Accounting, Kernel},
    probe::{Counting, FullOptions, Probe},
};

use super::shadow::{assert_right, counts, open, reading, shadow};
use crate::{
    command::{Running, run},
    harness::{Outcome, Reason, allowed_cpus},
    helper::{Helper, Kind},
    measure::Meter,
    records::{Record, parse},
    soak,
    truth::page_size,
};

/// How long something is stopped.
const STOPPED: Duration = Duration::from_secs(2);

/// CPU numbers of a large host.
const MANY_CPUS: u32 = 256;

/// A session of full mode on per-cpu accounting; else a skip.
fn open_per_cpu(options: FullOptions) -> Result<Meter, Outcome> {
    match Kernel::detect().expect("this kernel has what is needed").accounting {
        Accounting::PerCpu => Ok(open(options)),
        Accounting::PerTask => Err(Outcome::Skipped(Reason::PerTask)),
    }
}

fn signal(pid: u32, signal: Signal) {
    kill(Pid::from_raw(pid.cast_signed()), signal).expect("signal a child of ours");
}

/// A process that is stopped keeps its slot's deltas; its figures are right meanwhile and afterwards.
pub fn a_stopped_process() -> Outcome {
    let mut meter = open(FullOptions::default());
    let mut helper = Helper::start();
    let region = helper.map(Kind::Anon, 200);
    helper.write(&region, 0..77);
    let exact = meter.idle(helper.pid()).mm.exact();
    signal(helper.pid(), Signal::SIGSTOP);
    let mut tracker = IdleTracker::default();
    let end = Instant::now() + STOPPED;
    while Instant::now() < end {
        assert_right(&mut meter, &mut tracker);
        assert_eq!(shadow(&mut meter, helper.pid()).shadow, exact);
        thread::sleep(Duration::from_millis(100));
    }
    signal(helper.pid(), Signal::SIGCONT);
    helper.write(&region, 77..200);
    let exact = meter.idle(helper.pid()).mm.exact();
    assert_eq!(shadow(&mut meter, helper.pid()).shadow, exact);
    Outcome::Passed
}

/// The daemon is stopped while processes come and go and a process changes: the events go on without it, and the second
/// report after its return (the first was begun before) is right.
pub fn a_stopped_daemon() -> Outcome {
    drop(open(FullOptions::default()));
    let mut helper = Helper::start();
    let mut storm = Helper::start_as("live-storm");
    let region = helper.map(Kind::Anon, 300);
    let pid = helper.pid().to_string();
    let mut daemon = Running::start(&["-p", &pid, "-i", "0.2", "--format", "csv"]);
    let header = daemon.line().expect("a header");
    let row = |daemon: &mut Running| -> Record {
        let line = daemon.line().expect("a row");
        parse(&(header.clone() + &line)).remove(0)
    };
    row(&mut daemon);
    daemon.signal(Signal::SIGSTOP);
    storm.begin_storm(200);
    helper.write(&region, 0..300);
    helper.give_up(&region, 100..300);
    thread::sleep(STOPPED);
    storm.end_storm();
    helper.write(&region, 100..150);
    daemon.signal(Signal::SIGCONT);
    row(&mut daemon);
    let first = row(&mut daemon);
    let exact = Meter::open().idle(helper.pid()).exact() * page_size();
    for row in [first, row(&mut daemon)] {
        assert_eq!(row.must("uncertainty_bytes"), 0, "nothing moves any more: {row:?}");
        assert_eq!(row.must("exact_bytes"), exact, "{row:?}");
        assert_eq!(row.must("shadow_bytes"), exact, "{row:?}");
    }
    daemon.signal(Signal::SIGINT);
    let done = daemon.finish();
    done.must_say(0, &[]);
    Outcome::Passed
}

/// CPUs that never idle publish nothing by idling: what their slots hold is read from them.
pub fn busy_cpus() -> Outcome {
    static STOP: AtomicBool = AtomicBool::new(false);
    let mut meter = open(FullOptions::default());
    let mut helper = Helper::start();
    let region = helper.map(Kind::Anon, 400);
    // In an emulated guest all CPUs are one: more than a few would only slow it down.
    let spinners: Vec<_> = allowed_cpus()
        .into_iter()
        .take(8)
        .map(|_| {
            thread::spawn(|| {
                while !STOP.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            })
        })
        .collect();
    let mut tracker = IdleTracker::default();
    for step in 0..8 {
        helper.write(&region, step * 50..(step + 1) * 50);
        // The first one that is believed after the helper said that it is done.
        let (snapshot, record) = reading(&mut meter.session.probe, helper.pid());
        let mm = *snapshot.process(helper.pid()).expect("the helper lives");
        assert_eq!(record.shadow, mm.exact(), "step {step}");
        assert_right(&mut meter, &mut tracker);
    }
    STOP.store(true, Ordering::Relaxed);
    for spinner in spinners {
        spinner.join().expect("a spinner ends");
    }
    Outcome::Passed
}

/// What the kernel says of the BPF programs' runs is what they say themselves: each run of the update's BPF program ends as a hit,
/// a miss or a missed one. Runs that are in progress while the figures are read may differ: one on each CPU, twice.
pub fn every_run_is_counted() -> Outcome {
    const PAGES: u64 = 1000;
    let meter = match open_per_cpu(FullOptions::default()) {
        Ok(meter) => meter,
        Err(skipped) => return skipped,
    };
    let Some(counting) = Counting::begin() else { panic!("the kernel counts runs since 5.8") };
    let runs = || -> u64 {
        let statistics = meter.session.probe.program_statistics();
        statistics.iter().find(|(name, _)| name == "shadow_rss_stat").expect("it is loaded").1.run_count
    };
    let counted = || -> u64 {
        let counts = counts(&meter);
        counts.hits + counts.misses + counts.nested
    };
    let mut helper = Helper::start();
    let region = helper.map(Kind::Anon, PAGES);
    // Other processes have events meanwhile: what is counted before and behind each look at the runs bounds that look.
    let looks = || [counted(), runs(), counted()];
    let [first, runs_before, second] = looks();
    helper.write(&region, 0..PAGES);
    let [third, runs_after, fourth] = looks();
    drop(counting);
    let runs = runs_after - runs_before;
    let tolerance = 2 * meter.session.kernel.cpus.online.len() as u64;
    assert!(runs >= PAGES, "{runs} runs for {PAGES} pages");
    let (least, most) = (third - second, fourth - first);
    assert!(
        (least.saturating_sub(tolerance)..=most + tolerance).contains(&runs),
        "{runs} runs, {least} to {most} counted, {tolerance} may differ"
    );
    Outcome::Passed
}

/// The BPF programs are accepted for a host with 256 CPU numbers, and figures are right there: numbers without a CPU hold
/// nothing. (The count of instructions is in the tests' output.)
pub fn with_256_cpu_numbers() -> Outcome {
    if let Err(skipped) = open_per_cpu(FullOptions::default()) {
        return skipped;
    }
    let mut kernel = Kernel::detect().expect("it was detected before");
    kernel.layout.cpu_ids = kernel.layout.cpu_ids.max(MANY_CPUS);
    let mut probe = Probe::open_full(&kernel, &FullOptions::default(), 100, u64::MAX).expect("it is loaded");
    for (name, instructions) in probe.footprint().programs {
        println!("report: instructions_{name}={instructions}");
    }
    let (capacity, _) = probe.full_mode().expect("full mode");
    assert!(capacity >= 4096, "room for {capacity} mms in 64 MiB");
    let mut helper = Helper::start();
    let region = helper.map(Kind::Anon, 100);
    helper.write(&region, 0..100);
    let (_, record) = reading(&mut probe, helper.pid());
    let exact = Meter::open().idle(helper.pid()).mm.exact();
    assert_eq!(record.shadow, exact);
    Outcome::Passed
}

/// The passive reader too is accepted for 256 possible CPUs. What it would read of those that are not there is not looked
/// at.
pub fn a_reader_for_256_cpus() -> Outcome {
    let mut kernel = Kernel::detect().expect("this kernel has what is needed");
    kernel.layout.cpus = MANY_CPUS;
    let probe = Probe::open(&kernel).expect("it is loaded");
    for (name, instructions) in probe.footprint().programs {
        println!("report: instructions_{name}_256={instructions}");
    }
    Outcome::Passed
}

/// A minute of random orders; `cargo xtask soak` gives them for longer. A failure prints the seed for `--soak`.
pub fn random_orders() -> Outcome {
    soak::run(Duration::from_secs(60), soak::any_seed());
    Outcome::Passed
}

/// The overhead guard: what is allowed next to nothing steps down, says so, and goes on.
pub fn steps_down_when_it_costs_too_much() -> Outcome {
    drop(open(FullOptions::default()));
    let mut storm = Helper::start_as("live-storm");
    storm.begin_storm(100);
    let done = run(&["-n", "4", "-i", "0.3", "--max-overhead", "0.000001"]);
    storm.end_storm();
    assert_eq!(done.code, Some(0), "{done:?}");
    let words = "more than --max-overhead 0.000001: passive mode from here on";
    assert_eq!(done.stdout.matches(words).count(), 1, "{done:#?}");
    let (full, passive) = done.stdout.split_once(words).expect("it was found");
    assert!(full.contains(", full mode;"), "{done:#?}");
    assert!(passive.contains(", passive mode;") && !passive.contains(", full mode;"), "{done:#?}");
    assert_eq!(done.stderr.matches(words).count(), 1, "also beside a table: {done:#?}");
    // Formats without events: a warning, and a column.
    storm.begin_storm(100);
    let done = run(&["-n", "4", "-i", "0.3", "--max-overhead", "0.000001", "--format", "csv"]);
    storm.end_storm();
    done.must_say(0, &[words]);
    let rows = parse(&done.stdout);
    for row in &rows {
        let expected = if row.text("mode") == "full" { "" } else { "overhead" };
        assert_eq!(row.text("step_down"), expected, "{row:#?}");
    }
    assert!(rows.iter().any(|row| row.text("mode") == "full"), "{rows:#?}");
    assert!(rows.iter().any(|row| row.text("mode") == "passive"), "{rows:#?}");
    Outcome::Passed
}
