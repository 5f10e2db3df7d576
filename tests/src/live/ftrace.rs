//! `kernel.ftrace_enabled=0`: fentry is refused (5.10), or attaches and does not fire (6.1). What full mode promises of the
//! ends of mms is kept all the same. In guests only: the setting is felt by every tracer of the host.

use std::{os::unix::fs::symlink, path::Path, thread, time::Duration};

use rss_drift::{
    drift::idle::IdleTracker,
    probe::{EndOfMm, FullOptions},
};
use rss_drift_common::shadow::Counts;
use serde_json::Value;

use super::{
    fallback::{beside_a_storm, end, nothing_stays},
    run::{SELF, figure, json, said},
    shadow::{assert_right, counts, open},
};
use crate::{
    command::{finish, rss_drift, run},
    guard::Setting,
    harness::{Outcome, Reason},
    helper::{AS_HELPER, Helper},
    scratch::Scratch,
};

const FTRACE: &str = "/proc/sys/kernel/ftrace_enabled";
const REMEDY: &str = "sysctl kernel.ftrace_enabled=1";

/// The check of full mode in `doctor --json`.
fn full_mode_by_doctor() -> Value {
    let done = run(&["doctor", "--json"]);
    done.must_be_fine();
    let report: Value = serde_json::from_str(&done.stdout).expect("JSON");
    let checks = report["checks"].as_array().expect("a list of checks").clone();
    checks.into_iter().find(|check| check["name"] == "full-mode").expect("the check of full mode")
}

/// Ends of mms that an event told, and no sweep and no new mm at the same address.
const fn seen(counts: &Counts) -> u64 {
    counts.deaths - counts.swept - counts.inherited
}

/// Whatever start-up says of how ends are seen is so, and `doctor` says the same; where the setting is in the way, it is named.
pub fn ends_that_fentry_does_not_see() -> Outcome {
    if Reason::NotAGuest.holds() {
        return Outcome::Skipped(Reason::NotAGuest);
    }
    assert_eq!(
        end(&open(FullOptions::default())),
        EndOfMm::Mmdrop,
        "fentry fires with the setting as it was"
    );
    assert_eq!(full_mode_by_doctor()["state"], "ok");

    let off = Setting::change(FTRACE, "0").expect("switch ftrace off");
    let mut meter = open(FullOptions::default());
    let how = end(&meter);
    println!("report: end_without_ftrace={}", how.name());
    // A session whose ends nobody sees is what fallback::without_an_end is about.
    if how != EndOfMm::Unseen {
        let before = seen(&counts(&meter));
        let lives = beside_a_storm(&mut meter);
        // The last one may still be on a CPU, lazily, as long as nothing else runs there.
        drop(Helper::start());
        let ends = seen(&counts(&meter)) - before;
        assert!(ends >= lives, "{} shows {ends} ends of {lives} lives: {:?}", how.name(), counts(&meter));
        nothing_stays(&mut meter);
    }
    drop(meter);

    let check = full_mode_by_doctor();
    let found = check["found"].as_str().expect("what was found");
    assert!(found.contains(&format!("seen by {}", how.name())), "as the session: {check:#}");
    if how == EndOfMm::Mmdrop {
        assert_eq!(check["state"], "ok", "{check:#}");
    } else {
        assert_eq!(check["state"], "warning", "{check:#}");
        assert!(
            found.contains("fentry on __mmdrop") && found.contains("kernel.ftrace_enabled=0"),
            "{check:#}"
        );
        assert_eq!(check["remedy"], REMEDY, "{check:#}");
    }
    if how == EndOfMm::Unseen {
        let mut storm = Helper::start_as("live-storm");
        storm.begin_storm(50);
        // The log says there what is missing.
        let done = run(&["-v", "-n", "4", "-i", "1"]);
        storm.end_storm();
        assert_eq!(done.code, Some(0), "{done:#?}");
        assert!(
            done.stdout.contains("0 of 0 exited address spaces left a residue"),
            "no end was looked at: {}",
            done.stdout
        );
    }

    drop(off);
    assert_eq!(end(&open(FullOptions::default())), EndOfMm::Mmdrop, "the setting is as it was");
    Outcome::Passed
}

/// Ftrace is switched off while full mode runs, where the kernel lets that happen: figures stay right, and nothing stays.
pub fn switched_off_meanwhile() -> Outcome {
    if Reason::NotAGuest.holds() {
        return Outcome::Skipped(Reason::NotAGuest);
    }
    let mut meter = open(FullOptions::default());
    assert_eq!(end(&meter), EndOfMm::Mmdrop);
    let off = Setting::change(FTRACE, "0");
    println!("report: switching_ftrace_off={}", if off.is_ok() { "allowed" } else { "refused" });
    let before = seen(&counts(&meter));
    let lives = beside_a_storm(&mut meter);
    nothing_stays(&mut meter);
    let ends = seen(&counts(&meter)) - before;
    println!("report: ends_seen_meanwhile={ends} of {lives}");
    if off.is_err() {
        assert!(ends >= lives, "fentry goes on: {ends} ends of {lives} lives");
    }
    drop(off);
    thread::sleep(Duration::from_millis(100));
    assert_right(&mut meter, &mut IdleTracker::default());
    Outcome::Passed
}

/// `VmHWM` of a command by the report, and as the command read it itself before it gave its memory back, in KiB. The command is
/// found in the last folder of PATH: each folder before is an execve that fails, and an mm that no task ever has.
fn hwm_of_a_short_command(folder: &Path) -> [i64; 2] {
    let path = format!("/nowhere:/nowhere-else:{}", folder.display());
    let words = ["run", "--format", "json", "--", COMMAND, AS_HELPER, "grow", "1000", "0"];
    let done = finish(rss_drift(&words).env("PATH", path));
    assert_eq!(done.code, Some(0), "{done:#?}");
    let report = json(&done);
    assert_eq!(report["execs"], 1, "{report:#}");
    let [_, hwm, _, _] = said(&done.stdout);
    [figure(&report, "command_vm_hwm_bytes") / 1024, hwm]
}

/// A name that no folder of a system has.
const COMMAND: &str = "live-command";

/// What a run says of a command's `VmHWM` is what the command read itself, also where ends are not seen.
pub fn runs_whose_ends_fentry_does_not_see() -> Outcome {
    if Reason::NotAGuest.holds() {
        return Outcome::Skipped(Reason::NotAGuest);
    }
    let scratch = Scratch::new();
    let program = scratch.file(COMMAND);
    symlink(SELF, &program).expect("make a link in a folder of ours");
    let folder = program.parent().expect("it is in a folder");
    for (setting, runs) in [("1", 1), ("0", 5)] {
        let _setting = Setting::change(FTRACE, setting).expect("switch ftrace");
        let found: Vec<_> = (0..runs).map(|_| hwm_of_a_short_command(folder)).collect();
        assert!(found.iter().all(|[report, own]| report == own), "ftrace_enabled={setting}: {found:?}");
    }
    Outcome::Passed
}
