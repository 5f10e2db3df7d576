//! Long reports, many instances, long runs: a signal ends each of them, and nothing grows or stays.

use std::{
    env,
    fs::{self, File, OpenOptions},
    ops::Range,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use nix::{sys::signal::Signal, unistd::pipe};

use super::{
    runs::Objects,
    stalled::{Running, must_have_no_gap, own_rows, usual_end, whole_rows},
};
use crate::{
    command::rss_drift,
    harness::Outcome,
    helper::{Helper, Kind},
    measure::wait_until,
    scratch::{Scratch, text},
    soak::{Random, any_seed},
    truth::{Walk, page_size},
};

/// How long the walks of page tables of one report take.
const LONG: Duration = Duration::from_secs(3);
/// When in such a report the signal comes: there is still more to do than rss-drift does after a signal.
const EARLY: Range<u64> = 0..1500;

/// A helper with so many processes on its memory that walking their page tables takes long, and those processes.
fn crowd() -> (Helper, usize) {
    const PAGES: u64 = 32 << 10;
    const MOST: u32 = 4000;
    let mut helper = Helper::start();
    let region = helper.map(Kind::Memfd, PAGES);
    helper.write(&region, 0..PAGES);
    let path = format!("/proc/{}/smaps_rollup", helper.pid());
    let walk = || {
        let began = Instant::now();
        fs::read(&path).expect("walk page tables");
        began.elapsed()
    };
    // The shortest: one that was interrupted says nothing of the others.
    let each = (0..5).map(|_| walk()).min().expect("five walks");
    let sharers = (LONG.as_micros() / each.as_micros().max(1)).clamp(20, MOST.into());
    for _ in 0..sharers {
        helper.share_memory(&region, 1);
    }
    (helper, usize::try_from(sharers).expect("a few thousand"))
}

/// A signal in the middle of a report that takes seconds: that report is dropped as a whole and counted, the ones before stay, and the
/// summary comes.
pub fn a_signal_within_a_report() -> Outcome {
    let scratch = Scratch::new();
    let usual = usual_end(&scratch);
    let (_helper, sharers) = crowd();
    let seed = any_seed();
    println!("report: seed={seed}, processes={sharers}");
    let mut random = Random::new(seed);
    for (name, options, before, signal) in [
        ("int", &["--resident"][..], None, Signal::SIGINT),
        ("hup", &["--resident"], None, Signal::SIGHUP),
        ("term", &["--resident", "--where"], None, Signal::SIGTERM),
        // The kernel hands over the smaller number first: a report is asked for when the end was waited for already.
        ("usr1", &["--resident"], Some(Signal::SIGUSR1), Signal::SIGTERM),
    ] {
        let (csv, table) = (scratch.file(&format!("{name}.csv")), scratch.file("table"));
        let mut command = rss_drift(&[&["--all", "-i", "0.05", "--csv", text(&csv)], options].concat());
        command.stdout(File::create(&table).expect("make a file of ours"));
        let mut running = Running::start(&mut command, &scratch);
        // Far more than the header, and no longer growing: it is written in pieces.
        let mut first = 0;
        wait_until("the first report is written", || {
            let before = std::mem::replace(&mut first, length(&csv));
            first > 100 * sharers as u64 && first == before
        });
        thread::sleep(Duration::from_millis(EARLY.start + random.below(EARLY.end - EARLY.start)));
        assert_eq!(length(&csv), first, "the second report takes long: {}", running.said());
        if let Some(before) = before {
            running.send(before);
        }
        let took = running.must_end(signal, 0, usual);
        println!("report: {name}={took:?}");
        assert_eq!(length(&csv), first, "a report that is dropped is dropped as a whole");
        must_have_no_gap(&csv);
        let said = running.said();
        assert!(said.contains("report 2 is dropped: a signal came"), "{said}");
        let table = fs::read_to_string(&table).expect("read a file of ours");
        let (_, summary) = table.split_once("\nrun of ").expect("a summary");
        assert!(summary.contains(": 1 interval, ") && summary.contains("\ndropped: 1 report, "), "{summary}");
    }
    Outcome::Passed
}

/// The length of a file, which may not be there yet.
fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |found| found.len())
}

/// How many instances run at once.
const INSTANCES: usize = 20;

/// So many full modes beside each other, each with two outputs: all of them measure, and nothing of them stays.
pub fn twenty_at_once() -> Outcome {
    struct Instance {
        running: Running,
        outputs: [PathBuf; 2],
        _scratch: Scratch,
    }
    let start = |_| {
        let scratch = Scratch::new();
        let outputs = ["rows.csv", "rows.jsonl"].map(|name| scratch.file(name));
        let [csv, jsonl] = &outputs;
        let mut command = rss_drift(&["--all", "-i", "1", "-o", text(csv), "-o", text(jsonl)]);
        Instance { running: Running::start(&mut command, &scratch), outputs, _scratch: scratch }
    };
    let mut instances: Vec<Instance> = (0..INSTANCES).map(start).collect();
    let reports = |instance: &Instance| own_rows(&instance.outputs[0], instance.running.pid().into());
    wait_until("each has made some reports", || instances.iter().all(|instance| reports(instance) >= 5));
    let mut objects = Objects::default();
    for instance in &instances {
        objects.add(Objects::of_process(instance.running.pid()));
    }
    assert!(objects.are_left(), "they are in the kernel's list while they run");
    // All of them are there, and the first goes on.
    instances[0].running.must_go_on(&instances[0].outputs[0]);
    for instance in &mut instances {
        let (status, _) = instance.running.end(Signal::SIGINT);
        assert_eq!(status.code(), Some(0), "{status:?}: {}", instance.running.said());
        assert_eq!(instance.running.said(), "", "an end without a complaint");
        let [csv, jsonl] = &instance.outputs;
        must_have_no_gap(csv);
        let rows = whole_rows(csv);
        assert!(rows.iter().all(|row| row.text("mode") == "full"), "each measures in full mode");
        let lines = fs::read_to_string(jsonl).expect("read a file of ours");
        assert_eq!(lines.lines().count(), rows.len(), "the same rows");
    }
    wait_until("the kernel has freed all BPF programs and maps", || !objects.are_left());
    Outcome::Passed
}

/// How many seconds of a long run are watched; `LIVE_TESTS_SECONDS` says otherwise.
const SECONDS: u64 = 20;
/// By how much its memory may differ from the beginning to the end.
const ROOM: i64 = 256 << 10;

/// What a process has at one moment: bytes that are resident by a walk, and open descriptors.
fn has(pid: u32) -> (i64, usize) {
    let rss = Walk::of(pid).expect("walk page tables").rss() * page_size();
    (rss, fs::read_dir(format!("/proc/{pid}/fd")).expect("list descriptors").count())
}

/// The least of each in a time. What a report needs for a moment is not counted.
fn least(pid: u32, time: Duration, csv: &Path) -> (i64, usize) {
    let end = Instant::now() + time;
    let (mut rss, mut descriptors) = has(pid);
    while Instant::now() < end {
        thread::sleep(Duration::from_millis(100));
        let now = has(pid);
        (rss, descriptors) = (rss.min(now.0), descriptors.min(now.1));
        if length(csv) > 10 << 20 {
            // As log rotation by copytruncate does.
            OpenOptions::new()
                .write(true)
                .open(csv)
                .and_then(|file| file.set_len(0))
                .expect("empty a file of ours");
        }
    }
    (rss, descriptors)
}

/// Reports without a pause, with all that a report can have, one output stalled, processes coming and going: memory and descriptors
/// are at the end what they were at the beginning.
pub fn memory_and_descriptors_stay() -> Outcome {
    let seconds = env::var("LIVE_TESTS_SECONDS").map_or(SECONDS, |text| text.parse().expect("a number"));
    let scratch = Scratch::new();
    let usual = usual_end(&scratch);
    let mut storm = Helper::start_as("live-storm");
    storm.begin_storm(20);
    let csv = scratch.file("rows.csv");
    let (_stalls, write) = pipe().expect("a pipe");
    let arguments = ["--all", "-i", "0.05", "--where", "--resident", "--csv", text(&csv)];
    let mut running = Running::start(rss_drift(&arguments).stdout(write), &scratch);
    wait_until("the stalled output misses reports", || running.said().contains("skipped"));
    thread::sleep(Duration::from_secs(2));
    let window = Duration::from_secs(3);
    let began = Instant::now();
    let first = least(running.pid(), window, &csv);
    let middle = Duration::from_secs(seconds).saturating_sub(2 * window);
    let _ = least(running.pid(), middle, &csv);
    let mut last = least(running.pid(), window, &csv);
    // On a busy host a report always has a file of /proc open when we look. What is left open stays.
    let patience = Instant::now() + 5 * window;
    while last.1 > first.1 && Instant::now() < patience {
        last.1 = last.1.min(has(running.pid()).1);
    }
    println!(
        "report: seconds={}, rss={} to {} KiB, descriptors={} to {}",
        began.elapsed().as_secs(),
        first.0 / 1024,
        last.0 / 1024,
        first.1,
        last.1
    );
    assert!(last.0 <= first.0 + ROOM, "memory grows: from {} to {} bytes", first.0, last.0);
    // The first window may have seen nothing but reports in the making, which have files of /proc open.
    assert!(last.1 <= first.1, "descriptors are left open: from {} to {}", first.1, last.1);
    running.must_end(Signal::SIGTERM, 0, usual);
    storm.end_storm();
    // Whatever the file was cut to meanwhile, it begins with a header and has whole rows.
    assert!(whole_rows(&csv).iter().any(|row| row.pid() == i64::from(running.pid())), "rows of its own");
    Outcome::Passed
}
