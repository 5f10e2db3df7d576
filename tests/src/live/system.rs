//! `rss-drift run` of the whole host, and how often RSS was read meanwhile.

use std::{fs, process::Command};

use super::run::{SELF, figure, json, report};
use crate::{
    command::Running,
    harness::Outcome,
    helper::{AS_HELPER, Helper, Kind},
    scratch::Scratch,
    truth::page_size,
};

/// What an older process, no descendant of the command, does is measured with `--system` and not without.
pub fn every_process_of_the_host() -> Outcome {
    const PAGES: u64 = 30_000;
    const FORKS: usize = 20;
    let grown = i64::try_from(PAGES).expect("few") * page_size();
    for system in [true, false] {
        let mut helper = Helper::start();
        let scratch = Scratch::new();
        let done = scratch.file("done");
        let script = format!("echo ready; while ! [ -e {} ]; do sleep 0.1; done", done.display());
        let options = if system { &["run", "--system"][..] } else { &["run"] };
        let words = [options, &["--format", "json", "--", "sh", "-c", &script]].concat();
        let mut running = Running::start(&words);
        running.read_until("ready");
        let region = helper.map(Kind::Anon, PAGES);
        helper.write(&region, 0..PAGES);
        for _ in 0..FORKS {
            let status = Command::new(SELF).args([AS_HELPER, "nothing"]).status().expect("start a helper");
            assert!(status.success());
        }
        fs::write(done, "").expect("write a file of ours");
        let report = json(&running.finish());
        let all = ["anon_added_bytes", "largest_peak_bytes"].map(|name| figure(&report, name));
        assert_eq!(report["scope"], if system { "system" } else { "command" });
        if system {
            assert!(all.iter().all(|&bytes| bytes >= grown), "{report:#}");
            assert!(figure(&report, "faults") >= i64::try_from(PAGES).expect("few"), "{report:#}");
            for name in ["forks", "execs", "exits"] {
                assert!(figure(&report, name) >= i64::try_from(FORKS).expect("few"), "{name}: {report:#}");
            }
        } else {
            assert!(all.iter().all(|&bytes| bytes < grown / 2), "{report:#}");
        }
    }
    Outcome::Passed
}

/// The command's own peak with `--system`: that of its program, not of the mm that it had from rss-drift before execve.
pub fn the_commands_own_peak() -> Outcome {
    let peak = |options: &[&str]| {
        let (done, inside) = report(options, &["sleep", "0.2"]);
        assert_eq!(done.code, Some(0), "{done:#?}");
        figure(&inside, "command_peak_bytes")
    };
    let alone = peak(&[]);
    for _ in 0..5 {
        let with_system = peak(&["--system"]);
        assert!((with_system - alone).abs() < alone / 5, "{with_system} bytes, without --system {alone}");
    }
    Outcome::Passed
}

/// Openings of the files that say RSS, by the command and by others; ends and programs.
pub fn readings_of_rss() -> Outcome {
    // The last sleep: what is opened is looked up while its process lives.
    let script = "for i in 1 2 3 4 5; do cat /proc/$$/stat /proc/$$/task/$$/statm /proc/$$/status /proc/$$/smaps; done \
        >/dev/null; cat /proc/stat /proc/$$/maps >/dev/null; sleep 1";
    let (done, inside) = report(&[], &["sh", "-c", script]);
    assert_eq!(done.code, Some(0), "{done:#?}");
    let opened = ["stat_opened", "statm_opened", "status_opened", "smaps_opened", "unnamed_opened"];
    assert_eq!(opened.map(|name| figure(&inside, name)), [5, 5, 5, 5, 0], "{inside:#}");
    assert_eq!(figure(&inside, "exits"), figure(&inside, "forks") + 1, "{inside:#}");
    let reads = 20 + figure(&inside, "exits") + figure(&inside, "execs");
    let per_read = inside["updates_per_read"].as_f64().expect("a number");
    let updates = per_read * reads as f64;
    assert!((updates - figure(&inside, "updates") as f64).abs() < 1.0, "{inside:#}");

    // It lives until it is told to end, and a second more, as above. The loop: a shell may run its last command in its
    // own place, and who opened smaps_rollup before such an exec reads ESRCH after it
    // (fs/proc/task_mmu.c:show_smaps_rollup).
    let scratch = Scratch::new();
    let read = scratch.file("read");
    let script = format!("echo pid $$; while ! [ -e {} ]; do sleep 0.1; done; sleep 1", read.display());
    let mut running = Running::start(&["run", "--format", "json", "--", "sh", "-c", &script]);
    let line = running.read_until("pid");
    let pid = line.trim().trim_start_matches("pid ");
    for file in ["smaps_rollup", "statm", "status"] {
        let path = format!("/proc/{pid}/{file}");
        fs::read(&path).unwrap_or_else(|error| panic!("{path} of a process that lives: {error}"));
    }
    // Of one that is not measured.
    fs::read("/proc/self/stat").expect("our own");
    fs::write(read, "").expect("write a file of ours");
    let outside = json(&running.finish());
    assert_eq!(opened.map(|name| figure(&outside, name)), [0, 1, 1, 1, 0], "{outside:#}");
    Outcome::Passed
}
