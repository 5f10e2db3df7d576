//! How a run goes and ends.

use std::{
    collections::HashSet,
    fs, thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use crate::{
    command::{Running, run},
    harness::Outcome,
    helper::Helper,
    records::parse,
};

/// `-n N` is N reports, `-d` ends by time.
pub fn as_many_reports_as_asked_for() -> Outcome {
    let helper = Helper::start();
    let pid = helper.pid().to_string();
    for count in [1, 3] {
        let done = run(&["-p", &pid, "-n", &count.to_string(), "-i", "0.05"]);
        done.must_be_fine();
        assert_eq!(done.stdout.matches(" accounting, ").count(), count, "{}", done.stdout);
        assert!(done.stdout.contains(&format!("{count} interval")), "the summary says so: {}", done.stdout);
        // The first report is there at once: N reports take N - 1 intervals.
        assert!(done.took >= Duration::from_millis(50 * (count as u64 - 1)), "{done:?}");
        let done = run(&["-p", &pid, "-n", &count.to_string(), "-i", "0.05", "--format", "csv"]);
        assert_eq!(parse(&done.stdout).len(), count);
    }
    let done = run(&["-p", &pid, "-d", "0.4", "-i", "0.1", "--format", "csv"]);
    done.must_be_fine();
    let reports = parse(&done.stdout).len();
    assert!((1..=5).contains(&reports), "{reports} reports in 0.4 s");
    Outcome::Passed
}

/// Ctrl-C, SIGTERM and SIGHUP: a summary of the run, exit 0, and a file that ends with a whole row.
pub fn signals_end_with_a_summary() -> Outcome {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let mut running = Running::start(&["-i", "0.05"]);
        running.read_until("self-check: ");
        running.signal(signal);
        let done = running.finish();
        done.must_be_fine();
        for word in ["run of ", "interval", "|drift| over all readings", "largest drift"] {
            assert!(done.stdout.contains(word), "{signal}: no {word:?} in {}", done.stdout);
        }
    }
    let mut running = Running::start(&["-i", "0.01", "--format", "csv"]);
    let mut text = running.line().expect("a header");
    text += &running.line().expect("a row");
    running.signal(Signal::SIGINT);
    let done = running.finish();
    done.must_be_fine();
    text += &done.stdout;
    parse(&text);
    Outcome::Passed
}

/// Its last row once more, a line that it is gone, and the end of the run.
pub fn a_watched_process_that_dies() -> Outcome {
    let helper = Helper::start();
    let pid = helper.pid();
    let mut running = Running::start(&["-p", &pid.to_string(), "-i", "0.05"]);
    running.read_until("self-check: ");
    drop(helper);
    let done = running.finish();
    done.must_be_fine();
    let (report, _) = done.stdout.split_once("run of ").expect("a summary");
    let last = report.rsplit(" accounting, ").next().expect("a report");
    let line = last.lines().position(|line| line.contains(&format!("pid {pid} (live-helper) is gone")));
    let row = last.lines().position(|line| line.contains("died") && line.contains(&pid.to_string()));
    assert!(row.is_some() && row < line, "the row, then the line: {last}");

    // Of two, the other one stays; in the CSV the last row of the one is marked.
    let (one, two) = (Helper::start(), Helper::start());
    let (dies, stays) = (i64::from(one.pid()), i64::from(two.pid()));
    let mut running = Running::start(&["-p", &format!("{dies},{stays}"), "-i", "0.05", "--format", "csv"]);
    let mut text = running.line().expect("a header");
    text += &running.line().expect("a row");
    drop(one);
    while !text.contains("died") {
        text += &running.line().expect("the last row of the one");
    }
    text += &running.line().expect("the other one's next row");
    running.signal(Signal::SIGINT);
    let done = running.finish();
    text += &done.stdout;
    let rows = parse(&text);
    let of_the_dead: Vec<_> = rows.iter().filter(|row| row.pid() == dies).collect();
    let (last, before) = of_the_dead.split_last().expect("it has rows");
    assert!(last.has_note("died") && before.iter().all(|row| !row.has_note("died")));
    assert_eq!(last.must("exact_bytes"), before.last().expect("a row while it lived").must("exact_bytes"));
    assert_eq!(rows.last().map(crate::records::Record::pid), Some(stays));
    Outcome::Passed
}

/// kill -9: nobody can clean up, so there must be nothing to clean up.
pub fn a_killed_run_leaves_nothing_in_the_kernel() -> Outcome {
    for signal in [Signal::SIGKILL, Signal::SIGTERM] {
        let mut running = Running::start(&["-i", "0.05"]);
        running.read_until("self-check: ");
        let ours = Objects::of_process(running.pid());
        assert!(!ours.programs.is_empty() && !ours.maps.is_empty(), "it has BPF programs and maps: {ours:?}");
        assert!(ours.are_left(), "they are in the kernel's list while it runs: {ours:?}");
        if signal == Signal::SIGKILL {
            running.kill();
        } else {
            running.signal(signal);
            running.finish().must_be_fine();
        }
        // The kernel frees them after a grace period.
        let end = Instant::now() + Duration::from_secs(10);
        while ours.are_left() {
            assert!(Instant::now() < end, "{signal} left something of {ours:?}");
            thread::sleep(Duration::from_millis(10));
        }
    }
    Outcome::Passed
}

/// BPF objects by the kernel's ids, which it does not use again soon.
#[derive(Debug, Default)]
pub(super) struct Objects {
    programs: HashSet<u32>,
    maps: HashSet<u32>,
}

impl Objects {
    /// What a process holds by its descriptors.
    pub(super) fn of_process(pid: u32) -> Self {
        let mut objects = Self::default();
        for entry in fs::read_dir(format!("/proc/{pid}/fdinfo")).expect("list descriptors") {
            // A descriptor may have been closed meanwhile.
            let Ok(text) = fs::read_to_string(entry.expect("list descriptors").path()) else { continue };
            let id = |name: &str| -> Option<u32> {
                text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
            };
            objects.programs.extend(id("prog_id:"));
            objects.maps.extend(id("map_id:"));
        }
        objects
    }

    /// Takes those of another in.
    pub(super) fn add(&mut self, other: Self) {
        self.programs.extend(other.programs);
        self.maps.extend(other.maps);
    }

    /// Whether the kernel still has one of them.
    pub(super) fn are_left(&self) -> bool {
        let programs = aya::programs::loaded_programs()
            .filter_map(Result::ok)
            .any(|info| self.programs.contains(&info.id()));
        let maps = aya::maps::loaded_maps().filter_map(Result::ok).any(|info| self.maps.contains(&info.id()));
        programs || maps
    }
}
