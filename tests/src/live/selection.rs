//! Which processes the outputs hold: those that are selected; the table its top rows of them, the outputs for machines all.

use std::{collections::BTreeMap, fs, thread, time::Duration};

use nix::sys::signal::Signal;
use serde_json::Value;

use super::groups::group_of;
use crate::{
    cgroup::Group,
    command::{Done, Running, run},
    harness::{Outcome, Reason},
    helper::{Helper, Kind},
    records::{Record, parse},
    scratch::{Scratch, hide},
    truth::{page_size, stat_field},
};

/// A large idle service is in every report of CSV and JSON lines beside the default table, and both have the same rows, while
/// processes come and go.
pub fn outputs_for_machines_have_every_process() -> Outcome {
    const REPORTS: usize = 120;
    let pages = (500 << 20) / page_size().unsigned_abs();
    let mut service = Helper::start();
    let region = service.map(Kind::Anon, pages);
    service.write(&region, 0..pages);
    // More than a table has rows, also in a guest without any other process.
    let _others = [(); 10].map(|()| Helper::start());
    let mut storm = Helper::start();
    storm.begin_storm(100);
    let scratch = Scratch::new();
    let (csv, jsonl) = (scratch.file("rows.csv"), scratch.file("rows.jsonl"));
    let [csv_word, jsonl_word] = [&csv, &jsonl].map(|path| path.to_str().expect("UTF-8"));
    let reports = REPORTS.to_string();
    let outputs = ["-o", "-", "-o", jsonl_word, "--csv", csv_word];
    let done = run(&[&["-i", "0.02", "-n", &reports][..], &outputs].concat());
    storm.end_storm();
    done.must_be_fine();

    let rows = parse(&fs::read_to_string(&csv).expect("read what was written"));
    let of_service: Vec<_> = rows.iter().filter(|row| row.pid() == i64::from(service.pid())).collect();
    let numbers: Vec<_> = of_service.iter().map(|row| row.must("interval")).collect();
    assert_eq!(numbers, (1..=120).collect::<Vec<_>>(), "a row of the service in every report");
    let mut known = 0;
    for row in of_service {
        assert!(row.must("exact_anon_bytes") >= 500 << 20, "{row:#?}");
        // Per-task accounting tells the state of no mm while a CPU looks up which one it changes, as a storm's do often.
        let uncertainty = row.number("uncertainty_bytes");
        let drift = uncertainty.and_then(|_| row.number("drift_bytes"));
        assert_eq!(drift.is_some(), uncertainty.is_some(), "its drift is known: {row:#?}");
        assert_eq!(row.number("band_low_bytes"), drift, "nothing of it moved: {row:#?}");
        assert_eq!(row.number("band_high_bytes"), drift, "nothing of it moved: {row:#?}");
        known += usize::from(drift.is_some());
    }
    assert!(known > REPORTS / 2, "{known} of {REPORTS} reports know what moved");
    let reports = by_report(&rows);
    assert_eq!(reports.len(), REPORTS);
    let tables: Vec<&str> = done.stdout.split(" accounting, ").skip(1).collect();
    assert_eq!(tables.len(), REPORTS);
    for (table, rows) in tables.iter().zip(reports.values()) {
        let left_out = format!("\n{} more process", rows.len() - 10);
        assert!(table.contains(&left_out), "ten of {}: {table}", rows.len());
    }

    let text = fs::read_to_string(&jsonl).expect("read what was written");
    assert_eq!(text.lines().count(), rows.len(), "as many rows in both");
    for (line, row) in text.lines().zip(&rows) {
        let Value::Object(object) = serde_json::from_str(line).expect("JSON") else { panic!("{line}") };
        for (key, value) in &object {
            let value = match value {
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                number => number.to_string(),
            };
            assert_eq!(row.text(key), value, "{key} of {line}");
        }
    }
    Outcome::Passed
}

/// The rows by the number of their report; all of one have one time of reading, which rises.
fn by_report(rows: &[Record]) -> BTreeMap<i64, Vec<&Record>> {
    let mut reports = BTreeMap::<i64, Vec<&Record>>::new();
    for row in rows {
        reports.entry(row.must("interval")).or_default().push(row);
    }
    let mut times = Vec::new();
    for (number, rows) in &reports {
        let time = rows[0].text("reading_time");
        for row in rows {
            assert_eq!(row.text("reading_time"), time, "one time of reading in report {number}");
            assert!(row.text("timestamp") >= time, "a row is read in the reading: {row:#?}");
        }
        times.push(time);
    }
    assert!(times.is_sorted() && times.first() < times.last(), "{times:?}");
    reports
}

/// Headline, percentiles and summary are those of the selected processes, and say so.
pub fn figures_are_those_of_the_selection() -> Outcome {
    let mut helper = Helper::start_as("live-selected");
    let region = helper.map(Kind::Anon, 300);
    helper.write(&region, 0..300);
    let pid = helper.pid().to_string();
    // By its file of /proc, in KiB: the helper waits.
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).expect("read /proc");
    let stat = stat_field(&text, 24).expect("field 24") * page_size() / 1024;
    for selection in [["-p", &pid], ["--comm", "live-selected"]] {
        let done = run(&[&["-n", "2", "-i", "0.05", "--source", "stat"], &selection[..]].concat());
        done.must_be_fine();
        let heads: Vec<_> = done.stdout.lines().filter(|line| line.contains(" selected, sum of ")).collect();
        assert_eq!(heads.len(), 2, "{}", done.stdout);
        let distribution = done.stdout.lines().find(|line| line.starts_with("|drift| over all readings: "));
        let distribution = distribution.unwrap_or_else(|| panic!("no percentiles: {}", done.stdout));
        for head in heads {
            assert!(head.starts_with("1 of "), "{head}");
            assert!(head.contains(&format!("sum of stat {stat} KiB, ")), "{stat} KiB: {head}");
            let drift = figure(head, "exact ") - stat;
            for percentile in ["p50 ", "p95 ", "p99 ", "max "] {
                assert_eq!(figure(distribution, percentile), drift.abs(), "one process: {head}");
            }
        }
        assert!(done.stdout.contains(": 2 intervals, 1 process selected, 2 readings\n"), "{}", done.stdout);
        let whose = format!(", pid {pid} (live-selected) at ");
        assert!(done.stdout.contains(&whose), "the largest drift is its own: {}", done.stdout);
    }
    Outcome::Passed
}

/// The whole number behind the first `word` of a line.
fn figure(line: &str, word: &str) -> i64 {
    let (_, rest) = line.split_once(word).unwrap_or_else(|| panic!("{word:?}: {line}"));
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|error| panic!("{word:?}: {error}: {line}"))
}

/// A name that no process has: told once; with `-n` and `-d` that is no success, with a name that fits it is.
pub fn a_name_that_matches_nothing_is_told_once() -> Outcome {
    const WORDS: &str = "no process is named 'live-nobody' now";
    for (format, end) in [("table", ["-n", "3"]), ("csv", ["-n", "2"]), ("jsonl", ["-d", "0.12"])] {
        let options = ["--passive", "--comm", "live-nobody", "-i", "0.05", "--format", format];
        let done = run(&[&options[..], &end[..]].concat());
        done.must_say(1, &[WORDS]);
        assert_eq!(done.stderr.matches(WORDS).count(), 1, "{done:?}");
    }
    // Also where nobody reads what there is not.
    for format in ["table", "csv"] {
        let options = ["--passive", "--comm", "live-nobody", "-i", "0.05", "-n", "5", "--format", format];
        Running::start(&options).close_output().must_say(1, &[WORDS]);
        Running::start(&["--passive", "-i", "0.05", "-n", "5", "--format", format])
            .close_output()
            .must_be_fine();
    }
    let _helper = Helper::start_as("live-somebody");
    let done = run(&["--comm", "live-nobody,live-somebody", "-i", "0.05", "-n", "2", "--format", "csv"]);
    done.must_say(0, &[WORDS]);
    assert!(!done.stderr.contains("live-somebody") && parse(&done.stdout).len() == 2, "{done:?}");
    Outcome::Passed
}

/// `--top` that is given is that of all outputs.
pub fn a_given_top_is_that_of_all_outputs() -> Outcome {
    let done = run(&["--top", "3", "-n", "2", "-i", "0.05", "--format", "csv"]);
    done.must_be_fine();
    let rows = parse(&done.stdout);
    let reports = by_report(&rows);
    // One that ends while it is read has no row.
    assert!(reports.len() == 2 && reports.values().all(|rows| rows.len() <= 3), "{}", done.stdout);
    Outcome::Passed
}

/// One report in CSV of what these words select.
fn report(words: &[&str]) -> Done {
    run(&[&["--passive", "-n", "1", "--format", "csv"], words].concat())
}

/// The pids of that report.
fn selected(words: &[&str]) -> Vec<u32> {
    let done = report(words);
    done.must_be_fine();
    let pids = parse(&done.stdout).into_iter().map(|row| u32::try_from(row.pid()).expect("a pid"));
    let mut pids: Vec<_> = pids.collect();
    pids.sort_unstable();
    pids
}

/// An id as container runtimes make them.
const ID: &str = "5e1ec7ed5e1ec7ed5e1ec7ed5e1ec7ed5e1ec7ed5e1ec7ed5e1ec7ed5e1ec7ed";

/// By name, command line, user, size; by control group, unit and container where groups can be made.
pub fn by_each_kind() -> Outcome {
    let mut large = Helper::start_as("pick-large");
    let pages = (64 << 20) / page_size().unsigned_abs();
    let region = large.map(Kind::Anon, pages);
    large.write(&region, 0..pages);
    let small = Helper::start_as("pick-small");
    let (one, other) = (large.pid(), small.pid());
    let both = {
        let mut both = [one, other];
        both.sort_unstable();
        both
    };
    assert_eq!(selected(&["--comm", "pick-large"]), [one]);
    assert_eq!(selected(&["--comm", "pick-?????"]), both);
    assert_eq!(selected(&["--comm", "pick-l*,/^pick-sm.{2,3}$/"]), both);
    assert_eq!(selected(&["--cmd", "* pick-small"]), [other]);
    assert_eq!(selected(&["--cmd", "/serve pick-(large|small)$/"]), both);
    assert_eq!(selected(&["--comm", "pick-*", "--min-rss", "64MiB"]), [one]);
    assert_eq!(selected(&["--comm", "pick-*", "-u", "0"]), both);
    // Nothing is as large as that: an answer, and no failure.
    assert!(selected(&["--min-rss", "1000T"]).is_empty());
    assert!(selected(&["--threshold", "1T"]).is_empty());
    let at_least = report(&["--min-drift", "4K"]);
    at_least.must_be_fine();
    for row in parse(&at_least.stdout) {
        assert!(row.must("drift_bytes").abs() >= 4096, "{row:#?}");
    }
    if Reason::NoCgroups.holds() {
        return Outcome::Skipped(Reason::NoCgroups);
    }

    let unit = Group::named("live-unit@1.service").expect("make a control group");
    unit.take(one).expect("move a process");
    let container = Group::named(&format!("docker-{ID}.scope")).expect("make a control group");
    container.take(other).expect("move a process");
    let (path, folder) = (group_of(one), unit.path().to_str().expect("UTF-8").to_owned());
    for words in [
        ["--cgroup", &path],
        ["--cgroup", &folder],
        ["--cgroup", "*/live-un??@*"],
        ["--unit", "live-unit@1.service"],
        ["--unit", "live-unit@1"],
        ["--unit", "live-unit@*"],
    ] {
        assert_eq!(selected(&words), [one], "{words:?}");
    }
    assert_eq!(selected(&["--cgroup", &path, "--cgroup", &group_of(other)]), both);
    for asked in [ID, &ID[..4], &ID[..12].to_uppercase()] {
        assert_eq!(selected(&["--container", asked]), [other], "{asked}");
    }
    let root = selected(&["--cgroup", "/"]);
    assert!(both.iter().all(|pid| root.contains(pid)), "all are below the root: {root:?}");
    drop((large, small));
    Outcome::Passed
}

/// A container that is renamed while it runs, to what another's id begins with: the name is meant, and its new name is seen.
pub fn a_container_by_its_name() -> Outcome {
    const OTHER: &str = "beefc0de5e1ec7ed5e1ec7ed5e1ec7ed5e1ec7ed5e1ec7ed5e1ec7ed5e1ec7ed";
    if Reason::NoCgroups.holds() {
        return Outcome::Skipped(Reason::NoCgroups);
    }
    // As docker has it, but for this test alone.
    fs::create_dir_all("/var/lib").expect("a folder that hosts have");
    hide("/var/lib").expect("mount over /var/lib");
    let folder = format!("/var/lib/docker/containers/{ID}");
    fs::create_dir_all(&folder).expect("make a folder of ours");
    let config = format!("{folder}/config.v2.json");
    let name = |name: &str| {
        let new = format!("{folder}/.tmp");
        fs::write(&new, format!(r#"{{"ID": "{ID}", "Name": "/{name}"}}"#)).expect("write a file of ours");
        fs::rename(&new, &config).expect("rename a file of ours");
    };
    name("shop");
    let helpers = [(); 2].map(|()| Helper::start());
    let [named, other] = helpers.each_ref().map(Helper::pid);
    let groups =
        [ID, OTHER].map(|id| Group::named(&format!("docker-{id}.scope")).expect("make a control group"));
    groups[0].take(named).expect("move a process");
    groups[1].take(other).expect("move a process");
    assert_eq!(selected(&["--container", "shop"]), [named]);
    assert_eq!(selected(&["--container", "beef"]), [other], "no name is in its way");

    let arguments = ["--passive", "--container", "beef", "-i", "0.05", "--format", "csv"];
    let mut running = Running::start(&arguments);
    running.read_until(&format!(",{other},"));
    name("beef");
    running.read_until(&format!(",{named},"));
    let later = [(); 3].map(|()| running.line().expect("it goes on"));
    assert!(later.iter().all(|row| !row.contains(&format!(",{other},"))), "{later:?}");
    running.signal(Signal::SIGINT);
    running.finish().must_be_fine();
    assert_eq!(selected(&["--container", "beef"]), [named]);
    assert_eq!(selected(&["--container", "beefc0"]), [other]);
    drop(helpers);
    Outcome::Passed
}

/// Two kinds: only who is of both. Names and groups that fit later count then.
pub fn kinds_are_all_required() -> Outcome {
    let [one, other] = ["live-one", "live-other"].map(Helper::start_as);
    let pids = format!("{},{}", one.pid(), other.pid());
    assert_eq!(selected(&["-p", &pids, "--comm", "live-other"]), [other.pid()]);
    assert_eq!(selected(&["--comm", "live-o*", "--cmd", "/live-one/"]), [one.pid()]);
    report(&["-p", &pids, "--comm", "live-nobody"]).must_say(1, &["no process is named 'live-nobody' now"]);
    report(&["--comm", "live-one", "--cmd", "/live-other/"])
        .must_say(1, &["none of the processes looked at has a command line like '/live-other/' now"]);
    // A process that begins later.
    let arguments = ["--passive", "--comm", "live-late*", "-i", "0.05", "--format", "csv"];
    let mut running = Running::start(&arguments);
    running.line().expect("a header");
    let late = Helper::start_as("live-late-1");
    assert!(running.read_until("live-late-1").contains(&format!(",{},", late.pid())));
    running.signal(Signal::SIGINT);
    running.finish().must_say(0, &["no process is named 'live-late*' now"]);
    Outcome::Passed
}

/// An empty group is there; one that is removed while it is shown is told once, and shown again when it comes back.
pub fn a_group_that_comes_goes_and_comes_back() -> Outcome {
    const NAME: &str = "live-coming.service";
    if Reason::NoCgroups.holds() {
        return Outcome::Skipped(Reason::NoCgroups);
    }
    let make = || Group::named(NAME).expect("make a control group");
    for asked in [["--unit", "live-coming"], ["--cgroup", "*/live-coming.service"]] {
        let mut empty = Some(make());
        let mut running =
            Running::start(&[&["--passive", "-i", "0.05", "--format", "csv"][..], &asked].concat());
        running.line().expect("a header");
        for _ in 0..2 {
            let (group, helper) = (empty.take().unwrap_or_else(make), Helper::start());
            group.take(helper.pid()).expect("move a process");
            // The row has the group where the process was while its files were read.
            let row = running.read_until(&format!(",{},", helper.pid()));
            assert!(row.contains(NAME), "{row}");
            drop(helper);
            drop(group);
            // Several reports without the group.
            thread::sleep(Duration::from_secs(1));
        }
        running.signal(Signal::SIGINT);
        let done = running.finish();
        done.must_say(0, &["live-coming.service' is gone; it is selected again when it comes back"]);
        assert_eq!(done.stderr.matches("is gone").count(), 2, "{done:?}");
    }
    Outcome::Passed
}

/// A unit that fails and is started again all the time: that it is gone is not said in every report.
pub fn a_group_that_comes_and_goes_is_not_told_each_time() -> Outcome {
    const NAME: &str = "live-failing.service";
    if Reason::NoCgroups.holds() {
        return Outcome::Skipped(Reason::NoCgroups);
    }
    let make = || Group::named(NAME).expect("make a control group");
    let mut first = Some(make());
    let arguments = ["--passive", "--unit", NAME, "-i", "0.02", "--format", "csv"];
    let mut running = Running::start(&arguments);
    running.line().expect("a header");
    for _ in 0..12 {
        let (group, helper) = (first.take().unwrap_or_else(make), Helper::start());
        group.take(helper.pid()).expect("move a process");
        running.read_until(&format!(",{},", helper.pid()));
        drop((helper, group));
        // Some reports without the group.
        thread::sleep(Duration::from_millis(300));
    }
    running.signal(Signal::SIGINT);
    let done = running.finish();
    done.must_say(0, &["the unit 'live-failing.service' is gone"]);
    assert_eq!(done.stderr.matches("is gone").count(), 3, "{done:?}");
    Outcome::Passed
}

/// Before anything is measured, with 1 and what may be meant; of several the others are watched.
pub fn what_is_not_there_is_told_at_once() -> Outcome {
    for (words, why) in [
        (["--cgroup", "/live-nothing"], "there is no control group '/live-nothing'"),
        (["--cgroup", "/live-nothing*"], "no control group fits '/live-nothing*'"),
        (["--unit", "live-nothing"], "there is no unit 'live-nothing.service'"),
        (["--container", "live-nothing"], "there is no container 'live-nothing'"),
        (["--user", "live-nobody"], "there is no user 'live-nobody'"),
        (["--user", "4294967294"], "there is no user with the number 4294967294"),
    ] {
        let done = run(&[&words[..], &["-i", "1000"]].concat());
        done.must_say(1, &[why]);
        assert_eq!(done.stdout, "", "{words:?}");
    }
    let helper = Helper::start_as("live-there");
    let done = report(&["--comm", "live-there", "-u", "0,4294967294"]);
    done.must_say(0, &["no user with the number 4294967294", "the others are watched"]);
    assert_eq!(parse(&done.stdout).len(), 1, "{done:?}");
    drop(helper);
    Outcome::Passed
}

/// `explain` of a selection: the one with the largest drift, which standard error says.
pub fn explain_takes_the_largest_drift_of_several() -> Outcome {
    let helpers = ["live-e1", "live-e2"].map(Helper::start_as);
    let done = run(&["explain", "--comm", "live-e?", "--json"]);
    done.must_say(0, &["2 processes are selected; this is the one with the largest drift: "]);
    let explained: Value = serde_json::from_str(&done.stdout).expect("JSON");
    let pid = explained["pid"].as_u64().expect("a pid");
    assert!(helpers.iter().any(|helper| u64::from(helper.pid()) == pid), "{done:?}");
    assert!(done.stderr.contains(&format!("drift: {pid} (live-e")), "{done:?}");
    let done = run(&["explain", "--comm", "live-e1", "--json"]);
    done.must_be_fine();
    // Of several pids that are asked for those that are not there are told, whatever else selects.
    let [one, other] = helpers.each_ref().map(|helper| helper.pid().to_string());
    for (words, gone) in [
        (&["-p", "4194304", &one][..], 1),
        (&["-p", &one, "4194304", "4194303"], 2),
        (&["-p", "4194304", &one, &other, "--comm", "live-e1"], 1),
    ] {
        let done = run(&[&["explain", "--json"], words].concat());
        done.must_say(0, &["there is no process 4194304; the other processes of -p are looked at"]);
        assert_eq!(done.stderr.matches("there is no process ").count(), gone, "{done:?}");
        let explained: Value = serde_json::from_str(&done.stdout).expect("JSON");
        assert_eq!(explained["pid"].as_u64(), Some(u64::from(helpers[0].pid())), "{done:?}");
    }
    run(&["explain", "-p", "4194304,4194303"]).must_say(1, &["there is no process 4194304"]);
    run(&["explain", "--comm", "live-nobody"])
        .must_say(1, &["no process with memory is selected", "live-nobody"]);
    Outcome::Passed
}
