//! Memory so tight that nothing is left for rss-drift: at start, when its maps are made, and later, when mms are born.

use std::fs;

use nix::sys::signal::Signal;

use crate::{
    cgroup::Group,
    command::{Running, finish, rss_drift},
    harness::{Outcome, Reason, kib_of},
    helper::{Helper, Kind, Life},
    measure::wait_until,
    records::parse,
    scratch::Scratch,
};

const MIB: u64 = 1 << 20;

/// Mms for which the maps take more than [`LITTLE`], on any number of CPUs.
const MANY_MMS: &str = "600000";
/// Enough for the program, not for such maps.
const LITTLE: u64 = 128 * MIB;

/// Maps that find no memory: passive mode measures, and it is told why, with what would help.
pub fn maps_that_find_no_memory() -> Outcome {
    if Reason::NoMemoryCgroup.holds() {
        return Outcome::Skipped(Reason::NoMemoryCgroup);
    }
    let group = Group::new(2048 * MIB).expect("make a control group");
    let in_the_group = |arguments: &[&str]| {
        let mut command = rss_drift(arguments);
        group.enter(&mut command).expect("enter a control group");
        command
    };
    let arguments = ["-i", "0.1", "--max-mms", MANY_MMS, "--max-memory", "1024", "--max-overhead", "100"];
    let mut running = Running::of(&mut in_the_group(&arguments));
    running.read_until("full mode");
    running.read_until("own: ");
    // Up to 5.10 maps count against a limit of their user (`RLIMIT_MEMLOCK`), and not in the group.
    let own = kib_of(&format!("/proc/{}/status", running.pid()), "VmRSS:").expect("it lives") << 10;
    let charged = group.current().expect("read a group's memory").saturating_sub(own) > LITTLE;
    running.signal(Signal::SIGINT);
    running.finish().must_be_fine();

    // The kernel frees maps after a grace period.
    wait_until("the group is empty again", || group.current().expect("read a group's memory") < LITTLE / 8);
    group.limit(LITTLE).expect("limit a control group");
    let done = finish(&mut in_the_group(&[&arguments[..], &["-n", "2"]].concat()));
    println!("report: maps_are_charged={charged}");
    if charged {
        done.must_say(0, &["full-mode", "Cannot allocate memory", "--max-mms", "passive mode measures"]);
        assert!(
            done.stdout.contains(", passive mode,") && !done.stdout.contains(", full mode,"),
            "{done:#?}"
        );
    } else {
        done.must_be_fine();
        assert!(done.stdout.contains(", full mode,"), "{done:#?}");
    }
    Outcome::Passed
}

/// No memory is taken when an mm is born: with none to be had, none is refused, and the figures stay right.
pub fn births_take_no_memory() -> Outcome {
    for reason in [Reason::NoMemoryCgroup, Reason::NoSwap] {
        if reason.holds() {
            return Outcome::Skipped(reason);
        }
    }
    let scratch = Scratch::new();
    let file = scratch.file("rows.csv");
    let mut resting = Helper::start();
    let region = resting.map(Kind::Anon, 300);
    resting.write(&region, 0..300);
    let mut flood = Helper::start_as("live-flood");
    let touched = flood.map(Kind::Anon, 8);

    let group = Group::new(2048 * MIB).expect("make a control group");
    let pid = resting.pid().to_string();
    let path = file.to_str().expect("a path of ours");
    let mut command =
        rss_drift(&["-p", &pid, "-i", "0.3", "--max-overhead", "100", "--resident", "--csv", path]);
    group.enter(&mut command).expect("enter a control group");
    let mut running = Running::of(&mut command);
    for _ in 0..2 {
        running.read_until("own: ");
    }
    let limit = group.current().expect("read a group's memory") - MIB / 2;
    group.limit(limit).expect("limit a control group");
    flood.begin_flood(Life::Fork, 1000, &touched, 8);
    let mut reports = 0;
    while reports < 10 || (reports < 60 && !flood.has_answered()) {
        running.read_until("own: ");
        reports += 1;
    }
    let lives = flood.end_storm();
    let now = group.current().expect("read a group's memory");
    println!("report: tight_lives={lives}");
    println!("report: tight_reports={reports}");
    assert!(now <= limit, "{now} of {limit} bytes: there is none to be had");
    running.signal(Signal::SIGINT);
    let done = running.finish();
    done.must_be_fine();
    let last = done.stdout.lines().rev().find(|line| line.starts_with("own: ")).expect("a summary");
    assert!(last.contains(" 0 updates refused,"), "{last}");
    assert!(lives > 0, "{lives} lives");
    for row in parse(&fs::read_to_string(&file).expect("read what it wrote")) {
        assert_eq!(row.must("exact_bytes"), row.must("resident_bytes"), "{row:?}");
        assert!(row.number("shadow_bytes").is_none_or(|shadow| shadow == row.must("exact_bytes")), "{row:?}");
    }
    Outcome::Passed
}
