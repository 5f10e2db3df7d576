//! Conditions (`--fail-if`): when one comes true, what is said and written then, and the exit status.

use std::fs;

use nix::sys::signal::Signal;

use super::groups::group_of;
use crate::{
    cgroup::Group,
    command::{Done, Running, run},
    harness::{Outcome, Reason, allowed_cpus},
    helper::{Helper, Kind},
    records::{Record, parse},
    scratch::Scratch,
    truth::{Printed, page_size},
};

/// Exit status when a condition came true.
const CAME_TRUE: i32 = 3;

/// Who is to say whether a condition came true does not end as if none had, where nobody reads on.
pub fn a_reader_that_goes_is_told() -> Outcome {
    let helper = Helper::start();
    let pid = helper.pid().to_string();
    let condition = "exact > 1 for 1000000";
    let mut watch = Running::start(&["--passive", "-p", &pid, "-i", "0.05", "--fail-if", condition]);
    watch.line().expect("a report");
    watch.close_output().must_say(1, &["nobody reads the output any more, and no condition was true"]);
    Outcome::Passed
}

/// A helper that drifts, and by how many bytes, without a sign: by a walk of its page tables and its file `stat`.
fn drifting(name: &str) -> (Helper, i64) {
    let mut helper = Helper::start_as(name);
    helper.pin(allowed_cpus()[0]);
    let region = helper.map(Kind::Anon, 200);
    for page in 0..200 {
        helper.write(&region, page..page + 1);
        let drift = drift_of(&helper);
        if drift > page_size() {
            return (helper, drift);
        }
    }
    panic!("no drift came to be: {:?}", Printed::of(helper.pid()));
}

fn drift_of(helper: &Helper) -> i64 {
    let printed = Printed::of(helper.pid()).expect("read /proc");
    (printed.rollup - printed.stat).abs() * page_size()
}

/// The exact RSS of an idle process in bytes, by a walk of its page tables.
fn resident(helper: &Helper) -> i64 {
    Printed::of(helper.pid()).expect("read /proc").rollup * page_size()
}

/// Asserts that nothing came true in so many reports.
#[track_caller]
fn must_stay_quiet(done: &Done, reports: i64) {
    done.must_be_fine();
    assert_eq!(last_report(&parse(&done.stdout)), reports, "{done:#?}");
}

/// The number of the last report that rows are of.
fn last_report(rows: &[Record]) -> i64 {
    rows.last().map_or(0, |row| row.must("interval"))
}

/// Three reports in a row: the third is written whole, and is the last. A drift that is smaller by a byte does not fire.
pub fn a_known_drift_fires_in_the_third_report() -> Outcome {
    let (helper, drift) = drifting("live-alarm");
    let pid = helper.pid().to_string();
    for mode in [&["--passive"][..], &[]] {
        let scratch = Scratch::new();
        let csv = scratch.file("rows.csv");
        let [fires, quiet] = [drift, drift + 1].map(|bytes| format!("drift >= {bytes} for 3"));
        let outputs = ["--csv", csv.to_str().expect("UTF-8")];
        let of = |condition: &str, more: &[&str]| {
            run(&[&["-p", &pid, "-i", "0.05", "-n", "6", "--fail-if", condition][..], more, mode].concat())
        };
        let done = of(&fires, &outputs);
        let who = format!("live-alarm (pid {pid}): stat ");
        done.must_say(
            CAME_TRUE,
            &[&format!("the condition '{fires}' is true in report 3 (20"), &who, ", exact ", ", drift "],
        );
        assert_eq!(done.stderr.lines().count(), 1, "one message: {done:#?}");
        assert!(
            done.stdout.contains("run of ") && done.stdout.contains(": 3 intervals, "),
            "the summary: {done:#?}"
        );
        let rows = parse(&fs::read_to_string(&csv).expect("read what was written"));
        assert_eq!(rows.iter().map(|row| row.must("interval")).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(rows.iter().all(|row| row.must("drift_bytes").abs() == drift), "{rows:#?}");
        must_stay_quiet(&of(&quiet, &["--format", "csv"]), 6);
        // As many reports as it takes, and no more: too few are refused.
        let done = of(&fires, &["--format", "csv"]);
        assert_eq!((done.code, last_report(&parse(&done.stdout))), (Some(CAME_TRUE), 3), "{done:#?}");
    }
    assert_eq!(drift_of(&helper), drift, "it was idle");
    // Also where nobody reads the reports.
    let condition = format!("drift >= {drift}");
    let arguments = ["-p", &pid, "--passive", "--fail-if", &condition];
    Running::start(&arguments).close_output().must_say(CAME_TRUE, &[&condition]);
    Outcome::Passed
}

/// Also one that no row of the table and no line of a `--top` is of.
pub fn every_selected_process_is_judged() -> Outcome {
    let mut large = Helper::start_as("live-al-large");
    let region = large.map(Kind::Anon, 5000);
    large.write(&region, 0..5000);
    let small = Helper::start_as("live-al-small");
    assert!(resident(&small) < resident(&large));
    let condition = format!("exact <= {}", resident(&small));
    let who = format!("live-al-small (pid {}): ", small.pid());
    for mode in [&["--passive"][..], &["--resident"], &["--fields", "pid,cgroup"]] {
        let asked =
            ["--comm", "live-al-*", "--top", "1", "--sort", "exact", "-n", "1", "--fail-if", &condition];
        let scratch = Scratch::new();
        let csv = scratch.file("rows.csv");
        let outputs = ["--csv", csv.to_str().expect("UTF-8")];
        for outputs in [&[][..], &outputs] {
            let done = run(&[&asked[..], outputs, mode].concat());
            done.must_say(CAME_TRUE, &[&who]);
            assert!(done.stdout.contains("\n1 more process not shown"), "{done:#?}");
        }
        let rows = parse(&fs::read_to_string(&csv).expect("read what was written"));
        assert_eq!(rows.iter().map(Record::pid).collect::<Vec<_>>(), [i64::from(large.pid())]);
    }
    // Of what is selected only; without a selection of the whole host.
    let asked = ["--passive", "-n", "2", "-i", "0.05", "--format", "csv", "--fail-if", &condition];
    must_stay_quiet(&run(&[&asked[..], &["--comm", "live-al-large"]].concat()), 2);
    let least = format!("exact >= {}", 1_i64 << 60);
    let done = run(&["--passive", "-n", "1", "--fail-if", "exact > 0", "--fail-if", &least]);
    done.must_say(CAME_TRUE, &["the condition 'exact > 0' is true in report 1 ", " more fulfil it"]);
    Outcome::Passed
}

/// A process that changes its memory all the time: a condition comes true in the report in which the drift, less what moved while it was
/// read, is large enough, and in none before, whatever the drift itself is.
pub fn what_moves_counts_as_far_as_it_is_certain() -> Outcome {
    const RUNS: usize = 8;
    const LEAST: i64 = 8192;
    let cpus = allowed_cpus();
    if cpus.len() < 2 {
        return Outcome::Skipped(Reason::OneCpu);
    }
    let mut busy = Helper::start_as("live-al-busy");
    busy.pin(cpus[1]);
    let region = busy.map(Kind::Anon, 64);
    let pid = busy.pid().to_string();
    busy.begin_churning(&region, 64);
    let (mut fired, mut held_back) = (0, 0);
    for number in 0..RUNS {
        let condition = format!("drift >= {LEAST}");
        let mode: &[&str] = if number % 4 == 3 { &["--passive"] } else { &[] };
        let asked = ["-p", &pid, "-i", "0.01", "-n", "30", "--format", "csv", "--fail-if", &condition];
        let done = run(&[&asked[..], mode].concat());
        let rows = parse(&done.stdout);
        let certain = |row: &Record| {
            let drift = row.number("drift_bytes").filter(|_| !row.has_note("uncertain"))?;
            let uncertainty = row.number("uncertainty_bytes").or(row.number("moved_bytes"))?;
            Some(drift.abs() - uncertainty)
        };
        let fulfils = |row: &Record| certain(row).is_some_and(|bytes| bytes >= LEAST);
        let is_large = |row: &&Record| row.number("drift_bytes").is_some_and(|drift| drift.abs() >= LEAST);
        held_back += rows.iter().filter(is_large).filter(|row| !fulfils(row)).count();
        if let Some(place) = rows.iter().position(fulfils) {
            assert_eq!((done.code, place + 1), (Some(CAME_TRUE), rows.len()), "{done:#?}");
            fired += 1;
        } else {
            must_stay_quiet(&done, 30);
        }
    }
    busy.end_storm();
    println!("report: fired={fired} of={RUNS} held_back={held_back}");
    assert!(held_back > 0, "no drift was large and not certain");
    Outcome::Passed
}

/// The sum of a control group, which none of its processes comes to; and its charge as a share of its limit.
pub fn of_a_group() -> Outcome {
    const NAME: &str = "live-alarm.service";
    if Reason::NoCgroups.holds() {
        return Outcome::Skipped(Reason::NoCgroups);
    }
    let group = Group::named(NAME).expect("make a control group");
    let helpers = [(); 2].map(|()| {
        let mut helper = Helper::start_as("live-al-group");
        group.take(helper.pid()).expect("move a process");
        let region = helper.map(Kind::Anon, 2000);
        helper.write(&region, 0..2000);
        helper
    });
    let path = group_of(helpers[0].pid());
    let all: i64 = helpers.iter().map(resident).sum();
    let of = |condition: &str, more: &[&str]| {
        let asked =
            ["--passive", "--unit", NAME, "-i", "0.05", "-n", "4", "--format", "csv", "--fail-if", condition];
        run(&[&asked[..], more].concat())
    };
    let sum = format!("exact >= {all} for 2");
    let done = of(&sum, &["--by", "cgroup"]);
    done.must_say(
        CAME_TRUE,
        &[&format!("'{sum}' is true in report 2 ("), &format!("control group {path}: stat ")],
    );
    assert_eq!(last_report(&parse(&done.stdout)), 2);
    must_stay_quiet(&of(&format!("exact > {all}"), &["--by", "cgroup"]), 4);
    must_stay_quiet(&of(&sum, &[]), 4);
    // Also where no output has it.
    let done = of(&sum, &["--by", "unit", "--top", "0"]);
    done.must_say(CAME_TRUE, &[&format!(": unit {NAME}: ")]);

    // Without a limit, and without a controller, there is no share of it.
    let charge = ["charge_percent >= 0%", "charged_exact_percent > 0 for 2"];
    for condition in charge {
        must_stay_quiet(&of(condition, &["--by", "unit"]), 4);
    }
    let limits = ["memory.max", "memory.limit_in_bytes"].map(|name| group.path().join(name));
    if let Some(limit) = limits.iter().find(|limit| limit.exists()) {
        fs::write(limit, (1_i64 << 30).to_string()).expect("limit the group");
        for (condition, figure) in charge.into_iter().zip(["charge_percent", "charged_exact_percent"]) {
            let done = of(condition, &["--by", "unit", "--top", "0"]);
            done.must_say(CAME_TRUE, &[condition, &format!(", {figure} "), NAME]);
        }
        println!("report: charges=judged");
    }
    drop(helpers);
    Outcome::Passed
}

/// A level between the two figures of one process; of several conditions the one that came true is said.
pub fn a_level_and_several_conditions() -> Outcome {
    let (helper, _) = drifting("live-al-near");
    let pid = helper.pid().to_string();
    let printed = Printed::of(helper.pid()).expect("read /proc");
    let (exact, stat) = (printed.rollup * page_size(), printed.stat * page_size());
    let of = |conditions: &[String]| {
        let conditions = conditions.iter().flat_map(|condition| ["--fail-if", condition]);
        let asked = ["-p", &pid, "-i", "0.05", "-n", "2", "--format", "csv"];
        run(&asked.into_iter().chain(conditions).collect::<Vec<_>>())
    };
    let (between, beside) = (exact.max(stat), exact.min(stat));
    let done = of(&[format!("near {beside}"), format!("near {between} for 2"), "percent > 1000".to_owned()]);
    done.must_say(CAME_TRUE, &[&format!("'near {between} for 2' is true in report 2"), "live-al-near"]);
    assert_eq!(done.stderr.lines().count(), 1, "{done:#?}");
    must_stay_quiet(&of(&[format!("near {beside}"), format!("near {}", between + 1)]), 2);
    let done = of(&["percent > 0".to_owned(), format!("reported <= {stat}"), format!("reported < {stat}")]);
    done.must_say(CAME_TRUE, &["'percent > 0' is true", &format!("'reported <= {stat}' is true")]);
    assert_eq!(done.stderr.lines().count(), 2, "{done:#?}");
    Outcome::Passed
}

/// Ctrl-C, SIGTERM and SIGHUP end it as they do without a condition.
pub fn a_signal_before_it_keeps_its_own_status() -> Outcome {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let mut running = Running::start(&["-i", "0.05", "--fail-if", "exact > 1000T"]);
        running.read_until("self-check: ");
        running.signal(signal);
        let done = running.finish();
        done.must_be_fine();
        assert!(done.stdout.contains("run of "), "{done:#?}");
    }
    Outcome::Passed
}

/// Refused with 2 before anything is measured, with the place and what is meant.
pub fn conditions_that_are_none() -> Outcome {
    for (condition, more, words) in [
        (
            "drfit > 64M",
            &[][..],
            &["at character 1: unknown figure 'drfit'", "did you mean 'drift'?", "example: "][..],
        ),
        ("drift => 64M", &[], &["at character 7: unknown operator '=>'", "did you mean '>='?"]),
        ("drift > 64MiC", &[], &["at character 11: unknown unit 'MiC'", "did you mean 'MiB'?"]),
        ("drift", &[], &["at the end: an operator is missing"]),
        ("charge_percent > 90", &[], &["charge_percent is a figure of --by cgroup, unit and container"]),
        (
            "charge_percent > 90",
            &["--by", "user"],
            &["here valid are: exact, reported, drift, percent, near"],
        ),
        ("drift > 64M for 3", &["-n", "2"], &["it takes 3 reports, and -n 2 ends before"]),
    ] {
        let done = run(&[&["--fail-if", condition][..], more].concat());
        done.must_say(2, words);
        assert!(done.stderr.contains("--fail-if") && done.stdout.is_empty(), "{done:#?}");
    }
    run(&["run", "--fail-if", "drift > 1M", "--", "true"]).must_say(125, &["--fail-if"]);
    Outcome::Passed
}
