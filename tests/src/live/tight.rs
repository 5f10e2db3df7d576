//! Memory so tight that nothing is left for rss-drift: at start, when its maps are made, and later, when mms are born.

use std::fs;

use nix::sys::signal::Signal;
use rss_drift::{
    kernel::{checks::State, room},
    probe::FullOptions,
    session::{Mode, Startup},
};

use crate::{
    cgroup::Group,
    command::{Running, finish, rss_drift},
    harness::{Outcome, Reason, kib_of},
    helper::{Helper, Kind, Life},
    records::parse,
    scratch::Scratch,
};

const MIB: u64 = 1 << 20;

/// Mms whose indices alone take 4 GiB.
const MANY_MMS: u32 = (1 << 30) - (1 << 14);

/// Maps that find no memory: passive mode measures, and it is told why, with what would help. They are larger than all of a
/// guest's memory, so that the kernel refuses them at once, and nobody is killed for it.
pub fn maps_that_find_no_memory() -> Outcome {
    if Reason::NotAGuest.holds() {
        return Outcome::Skipped(Reason::NotAGuest);
    }
    let total = kib_of("/proc/meminfo", "MemTotal:").expect("the kernel tells") << 10;
    assert!(total < 4 * u64::from(MANY_MMS), "four bytes for each are more than {total} bytes");
    let options =
        FullOptions { max_mms: Some(MANY_MMS), max_memory: Some(u64::MAX), ..FullOptions::default() };
    let startup = Startup::check(Mode::Full(options));
    let told = startup.checks.iter().find(|check| check.name == "full-mode").expect("it is told");
    assert_eq!(told.state, State::Warning, "{told:?}");
    // By which error depends on the map that is made first: some kinds are too large for any memory, on 5.10 all above 4 GiB.
    let refused =
        ["Cannot allocate memory", "Argument list too long"].iter().any(|error| told.found.contains(error));
    assert!(
        refused && told.found.contains("refuses the BPF map") && told.found.contains("passive mode measures"),
        "{told:?}"
    );
    assert!(told.remedy.as_ref().is_some_and(|remedy| remedy.contains("--max-mms")), "{told:?}");
    let mut session = startup.session().expect("passive mode measures");
    assert!(session.probe.full_mode().is_none(), "no map, no shadow");
    let snapshot = session.probe.snapshot().expect("read the iterator");
    assert!(snapshot.process(std::process::id()).is_some(), "it measures this very process");
    Outcome::Passed
}

/// A control group of 32 MiB: the verifier alone may take more than that for full mode, and the kernel would kill rss-drift without a word.
/// Passive mode measures, and it is said why; in a group with room full mode does.
pub fn a_start_in_a_small_control_group() -> Outcome {
    if Reason::NoMemoryCgroup.holds() {
        return Outcome::Skipped(Reason::NoMemoryCgroup);
    }
    let start_in = |bytes: u64| {
        let group = Group::new(bytes).expect("make a control group");
        let mut command = rss_drift(&["-n", "1", "--format", "csv"]);
        group.enter(&mut command).expect("enter a control group");
        let done = finish(&mut command);
        let rows = parse(&done.stdout);
        assert!(!rows.is_empty(), "{done:?}");
        (done, rows[0].text("mode").to_owned())
    };
    let (small, mode) = start_in(32 * MIB);
    assert_eq!(mode, "passive", "{small:?}");
    small.must_say(0, &["full-mode", "allows 32 MiB", "passive mode measures", "memory.max"]);
    // `run` has no use for passive mode: it says the same once.
    {
        let group = Group::new(32 * MIB).expect("make a control group");
        let mut command = rss_drift(&["run", "--", "true"]);
        group.enter(&mut command).expect("enter a control group");
        let done = finish(&mut command);
        done.must_say(125, &["full-mode", "memory.max"]);
        assert_eq!(done.stderr.matches("allows 32 MiB").count(), 1, "{done:?}");
        assert!(!done.stderr.contains("passive mode measures"), "{done:?}");
    }
    // The least in which it is tried, with some for the files of the program itself, which the group is charged with.
    let (large, mode) = start_in(room::FULL_MODE_NEEDS + 24 * MIB);
    large.must_be_fine();
    assert_eq!(mode, "full", "{large:?}");
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
    let mut sleeper = Helper::start();
    let region = sleeper.map(Kind::Anon, 300);
    sleeper.write(&region, 0..300);
    let mut flood = Helper::start_as("live-flood");
    let touched = flood.map(Kind::Anon, 8);

    let group = Group::new(2048 * MIB).expect("make a control group");
    let pid = sleeper.pid().to_string();
    let path = file.to_str().expect("a path of ours");
    let mut command = rss_drift(&["-p", &pid, "-i", "0.3", "--resident", "--csv", path]);
    group.enter(&mut command).expect("enter a control group");
    let mut running = Running::of(&mut command);
    for _ in 0..2 {
        running.read_until("self-check: ");
    }
    let limit = group.current().expect("read a group's memory") - MIB / 2;
    group.limit(limit).expect("limit a control group");
    flood.begin_flood(Life::Fork, 1000, &touched, 8);
    let mut reports = 0;
    while reports < 10 || (reports < 60 && !flood.has_answered()) {
        running.read_until("self-check: ");
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
    let last = done.stdout.lines().rev().find(|line| line.starts_with("self-check: ")).expect("a summary");
    assert!(!last.contains("refused"), "{last}");
    assert!(lives > 0, "{lives} lives");
    for row in parse(&fs::read_to_string(&file).expect("read what it wrote")) {
        assert_eq!(row.must("exact_bytes"), row.must("resident_bytes"), "{row:?}");
        assert!(row.number("shadow_bytes").is_none_or(|shadow| shadow == row.must("exact_bytes")), "{row:?}");
    }
    Outcome::Passed
}
