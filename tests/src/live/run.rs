//! `rss-drift run`: what it counts of a command, against what the command itself saw; how it ends.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use nix::{
    sched::{CpuSet, sched_setaffinity},
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rss_drift::{
    probe::{EndOfMm, FullOptions},
    session::Mode,
};
use serde_json::Value;

use crate::{
    command::{Done, Running, run},
    harness::{Outcome, Reason, allowed_cpus},
    helper::{AS_HELPER, userfaultfd::Gate},
    measure::{Meter, wait_until},
    scratch::Scratch,
    truth::{Walk, page_size},
};

/// This very program, also in a child of rss-drift.
pub(super) const SELF: &str = "/proc/self/exe";

/// Runs a command, and the report.
pub(super) fn report(options: &[&str], command: &[&str]) -> (Done, Value) {
    let mut words = vec!["run", "--format", "json"];
    words.extend(options);
    words.push("--");
    words.extend(command);
    let done = run(&words);
    let report = json(&done);
    (done, report)
}

/// The report among what was said.
pub(super) fn json(done: &Done) -> Value {
    let line = done.stderr.lines().last().unwrap_or_default();
    let report: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {done:#?}"));
    assert_right(&report, &done.stderr);
    report
}

/// What holds of every run. `said`: what rss-drift said, which names the process where something was found.
fn assert_right(report: &Value, said: &str) {
    for fault in
        ["updates_refused", "processes_refused", "error_at_rest_bytes", "repaired_bytes", "deaths_with_rest"]
    {
        assert_eq!(report[fault], 0, "{fault}: {report:#}\n{said}");
    }
    let number = |name: &str| figure(report, name);
    assert_eq!(number("updates"), number("hits") + number("misses"), "{report:#}");
    let members = ["file", "anon", "swap", "shmem"].map(|member| number(&format!("{member}_updates")));
    assert_eq!(number("updates"), members.iter().sum::<i64>(), "{report:#}");
    let known = |name: &str| (!report[name].is_null()).then(|| number(name));
    // One that still runs may be in the middle of an update.
    if number("outlived") == 0 && report["scope"] == "command" {
        // What is not known of sites is among the unclassified ones.
        let sites = ["rfc_updates", "other_updates"].map(|name| known(name).unwrap_or_default());
        let kinds = sites.iter().sum::<i64>() + number("unclassified_updates");
        assert_eq!(number("updates"), kinds, "{report:#}");
    }
    for (whole, parts) in [
        ("rfc_updates", ["rfc_hits", "rfc_misses"]),
        ("rfc_pages_bytes", ["rfc_hit_bytes", "rfc_miss_bytes"]),
    ] {
        let [one, other] = parts.map(known);
        assert_eq!(known(whole), one.zip(other).map(|(one, other)| one + other), "{whole}: {report:#}");
        assert_eq!(one.is_some(), other.is_some(), "{whole}: {report:#}");
    }
    assert!(number("nested_events") <= number("missed_events"), "{report:#}");
    assert!(known("rfc_flushes").is_none_or(|of| of <= number("flushes")), "{report:#}");
}

pub(super) fn figure(report: &Value, name: &str) -> i64 {
    report[name].as_i64().unwrap_or_else(|| panic!("no {name}: {report:#}"))
}

/// What came has gone, when every process has ended and no event was missed. Not where a task's cache and several CPUs at once
/// make the pages of an update ambiguous (docs/limitations.md).
fn assert_all_went(report: &Value) {
    let ambiguous = report["accounting"] == "per-task" && figure(report, "largest_peak_error_bytes") != 0;
    if ambiguous || figure(report, "missed_events") != 0 {
        return;
    }
    for member in ["file", "anon", "swap", "shmem"] {
        let [added, removed] =
            ["added", "removed"].map(|way| figure(report, &format!("{member}_{way}_bytes")));
        assert_eq!(added, removed, "{member}: {report:#}");
    }
}

/// As shells give it, and 125 for what is ours.
pub fn gives_the_commands_exit_status() -> Outcome {
    let scratch = Scratch::new();
    let not_executable = scratch.file("data");
    fs::write(&not_executable, "").expect("write a file of ours");
    let not_executable = not_executable.to_str().expect("a plain path");
    for (command, code) in [
        (&["sh", "-c", "exit 0"][..], 0),
        (&["sh", "-c", "exit 7"], 7),
        (&["sh", "-c", "kill -9 $$"], 137),
        (&["sh", "-c", "kill -TERM $$"], 143),
    ] {
        let (done, report) = report(&[], command);
        assert_eq!(done.code, Some(code), "{done:#?}");
        assert_eq!(report["exit_status"], code, "{report:#}");
    }
    run(&["run", "--", "no-such-command-here"]).must_say(127, &["no-such-command-here", "No such file"]);
    run(&["run", "--", not_executable]).must_say(126, &[not_executable, "Permission denied"]);
    run(&["run", "--", "/"]).must_say(126, &["Permission denied"]);
    run(&["run", "--frob", "--", "sh"]).must_say(125, &["--frob"]);
    run(&["run"]).must_say(125, &["COMMAND"]);
    run(&["run", "-o", "/no/such/directory/x.csv", "--", "sh", "-c", "echo ran"])
        .must_say(125, &["/no/such/directory/x.csv"]);
    // What the command writes is its own.
    let (done, _) = report(&[], &["sh", "-c", "echo out; echo err >&2"]);
    assert_eq!(done.stdout, "out\n");
    assert!(done.stderr.starts_with("err\n"), "{done:#?}");
    Outcome::Passed
}

/// What a helper that grew said of itself, in KiB; the last are page faults.
pub(super) fn said(line: &str) -> [i64; 4] {
    let numbers: Vec<i64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    numbers.try_into().unwrap_or_else(|_| panic!("four numbers: {line:?}"))
}

/// One thread that grows and gives back before it ends: the peak is what a walk of the page tables saw at its largest, and
/// the kernel's own figures are those that the process read.
pub fn counts_a_program_to_the_page() -> Outcome {
    const PAGES: i64 = 3000;
    for options in [&[][..], &["--precise-peaks"]] {
        let (done, report) = report(options, &[SELF, AS_HELPER, "grow", &PAGES.to_string(), "0"]);
        assert_eq!(done.code, Some(0), "{done:#?}");
        let [resident, hwm, maxrss, faults] = said(&done.stdout);
        let kib = |name: &str| figure(&report, name) / 1024;
        assert_eq!(kib("command_peak_bytes"), resident, "{report:#}");
        assert_eq!(kib("command_peak_error_bytes"), 0, "{report:#}");
        assert_eq!(report["largest_pid"], report["command_pid"], "{report:#}");
        assert_eq!(kib("command_vm_hwm_bytes"), hwm, "{done:?}: {report:#}");
        assert_eq!(kib("command_maxrss_bytes"), maxrss, "{done:?}: {report:#}");
        assert_eq!(kib("largest_maxrss_bytes"), maxrss, "the kernel's own word for it: {report:#}");
        // Those before the program was executed are ours.
        let counted = figure(&report, "faults");
        assert!((PAGES..=faults + 20).contains(&counted), "{counted} of {faults} faults: {report:#}");
        assert!(counted >= faults - 200, "{counted} of {faults} faults: {report:#}");
        assert!(figure(&report, "anon_updates") >= PAGES, "{report:#}");
        assert_eq!((figure(&report, "forks"), figure(&report, "execs")), (0, 1), "{report:#}");
        assert_all_went(&report);
    }
    Outcome::Passed
}

/// Threads on all CPUs at once: the peak is within the error that is printed.
pub fn counts_threads_within_the_printed_error() -> Outcome {
    if allowed_cpus().len() < 2 {
        return Outcome::Skipped(Reason::OneCpu);
    }
    for options in [&[][..], &["--precise-peaks"]] {
        let (done, report) = report(options, &[SELF, AS_HELPER, "grow", "6400", "8"]);
        assert_eq!(done.code, Some(0), "{done:#?}");
        let [resident, hwm, _, _] = said(&done.stdout);
        let [peak, error] =
            ["command_peak_bytes", "command_peak_error_bytes"].map(|name| figure(&report, name) / 1024);
        assert!(error > 0, "several CPUs changed it at once: {report:#}");
        assert!((peak - resident).abs() <= error, "peak {peak} of {resident} +- {error}: {report:#}");
        println!("report: {options:?} true peak={peak} +- {error}, a walk {resident}, VmHWM {hwm} KiB");
        assert_all_went(&report);
    }
    Outcome::Passed
}

/// A daemon's memory counts as long as the run goes; that it goes on is said.
pub fn follows_a_daemon() -> Outcome {
    const PAGES: i64 = 2000;
    let daemon = |milliseconds| [SELF, AS_HELPER, "daemon", "2000", milliseconds];
    let (done, ended) = report(&["--wait"], &daemon("300"));
    assert_eq!(done.code, Some(0), "{done:#?}");
    assert!(figure(&ended, "largest_peak_bytes") >= PAGES * 4096, "{ended:#}");
    assert_ne!(ended["largest_pid"], ended["command_pid"], "{ended:#}");
    assert!(figure(&ended, "command_peak_bytes") < PAGES * 4096, "{ended:#}");
    assert_eq!((figure(&ended, "forks"), figure(&ended, "outlived")), (2, 0), "{ended:#}");
    assert!(figure(&ended, "faults") >= PAGES, "{ended:#}");
    assert!(ended["duration_seconds"].as_f64().expect("a number") >= 0.3, "{ended:#}");
    assert_all_went(&ended);
    // Long enough to be there still, and gone by itself soon after.
    let (done, lives) = report(&[], &daemon("3000"));
    assert_eq!(done.code, Some(0), "{done:#?}");
    assert!(figure(&lives, "outlived") >= 1, "{lives:#}");
    let done = run(&["run", "--", SELF, AS_HELPER, "daemon", "10", "3000"]);
    done.must_say(0, &["still runs: pid "]);
    Outcome::Passed
}

/// The command has ended, but somebody who reads one of its files in /proc holds its memory still (`fs/proc/base.c:get_mm_cmdline`):
/// what goes when he is done is in the report, as all that came is.
pub fn waits_for_memory_that_somebody_holds() -> Outcome {
    if Reason::NoUserfaultfd.holds() {
        return Outcome::Skipped(Reason::NoUserfaultfd);
    }
    let mut running =
        Running::start(&["run", "--format", "json", "--", SELF, AS_HELPER, "grow", "1000", "0", "wait"]);
    running.line().expect("the command's line");
    let pid = only_child_of(running.pid());
    let cmdline = File::open(format!("/proc/{pid}/cmdline")).expect("open a file of the command's");
    let done = thread::scope(|scope| {
        // Dropped before the scope waits for the reader: also a failed test lets it go on.
        let gate = Gate::new().expect("a page of ours");
        let address = gate.address();
        let reader = scope.spawn(move || Gate::read(address, &cmdline));
        gate.wait_for_somebody().expect("the reader comes to the page");
        kill(pid, Signal::SIGKILL).expect("kill the command");
        wait_until("the command is gone", || !Path::new(&format!("/proc/{pid}")).exists());
        // Long enough for a report that does not wait.
        thread::sleep(Duration::from_millis(200));
        gate.open().expect("let the reader go on");
        let read = reader.join().expect("the reader ends").expect("it has read");
        assert!(read > 0, "the command's words");
        running.finish()
    });
    assert_eq!(done.code, Some(137), "{done:#?}");
    let report = json(&done);
    assert_eq!((figure(&report, "exits"), figure(&report, "outlived")), (1, 0), "{report:#}");
    assert!(figure(&report, "anon_added_bytes") >= 1000 * page_size(), "{report:#}");
    assert!(figure(&report, "command_vm_hwm_bytes") >= 1000 * page_size(), "{report:#}");
    assert_all_went(&report);
    Outcome::Passed
}

/// The only child of a process.
pub(super) fn only_child_of(pid: u32) -> Pid {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("ask for children");
    Pid::from_raw(children.trim().parse().unwrap_or_else(|error| panic!("{children:?}: {error}")))
}

/// Ctrl-C: the report of what was seen so far, and 130; SIGTERM reaches the command too.
pub fn tells_what_was_seen_until_a_signal() -> Outcome {
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143), (Signal::SIGUSR1, 138)] {
        let mut running =
            Running::start(&["run", "--format", "json", "--", SELF, AS_HELPER, "grow", "1000", "0", "wait"]);
        let line = running.line().expect("the command's line");
        running.signal(signal);
        let done = running.finish();
        assert_eq!(done.code, Some(code), "{signal}: {done:#?}");
        let report = json(&done);
        assert_eq!(report["exit_status"], 128 + signal as i32, "it was passed on: {report:#}");
        let [resident, ..] = said(&line);
        assert_eq!(figure(&report, "command_peak_bytes") / 1024, resident, "{report:#}");
    }
    // A command that does not heed it is waited for until the second signal; that it still runs is said.
    let mut running =
        Running::start(&["run", "--", "sh", "-c", "trap '' INT TERM; echo ready; read line; sleep 8"]);
    running.read_until("ready");
    running.signal(Signal::SIGINT);
    thread::sleep(Duration::from_millis(100));
    // Another one: two equal ones that wait are one.
    running.signal(Signal::SIGTERM);
    let done = running.finish();
    done.must_say(143, &["the command still runs", "still runs: pid "]);
    Outcome::Passed
}

/// A row per run in a file that is appended to; text for people.
pub fn writes_rows_and_text() -> Outcome {
    let scratch = Scratch::new();
    let path = scratch.file("run.csv");
    let file = path.to_str().expect("a plain path");
    for command in ["exit 3", "exit 4"] {
        let done = run(&["run", "-o", file, "--", "sh", "-c", command]);
        assert_eq!(done.stderr, "", "the report is in the file: {done:#?}");
    }
    let rows = rows(&path);
    assert_eq!(rows.iter().map(|row| row["exit_status"].as_str()).collect::<Vec<_>>(), ["3", "4"]);
    for row in &rows {
        let number = |name: &str| row[name].parse::<u64>().expect("a number");
        assert!(number("hits") > 0 && number("updates") == number("hits") + number("misses"), "{row:?}");
        assert_eq!(row["command"].split(' ').next(), Some("sh"));
    }
    let done = run(&["run", "--", "sh", "-c", "exit 0"]);
    let words = [
        "rss-drift run of 'sh -c exit 0'",
        "page faults",
        "RSS updates",
        "updates per miss",
        "true peak RSS",
        "self-check: ",
    ];
    done.must_say(0, &words);
    Outcome::Passed
}

pub(super) type Row = std::collections::HashMap<String, String>;

pub(super) fn rows(path: &Path) -> Vec<Row> {
    let mut reader = csv::Reader::from_path(path).expect("open a file of rss-drift");
    reader.deserialize().map(|row| row.expect("a row as the header says")).collect()
}

/// Programs one after the other on one CPU, each a fork and an execve: misses for each, and flushes for each switch, are what
/// docs/how-it-works.md says.
pub fn predicts_misses_of_programs() -> Outcome {
    const PROGRAMS: i64 = 200;
    // Else whatever runs beside it takes the slot in between.
    if allowed_cpus().len() < 2 {
        return Outcome::Skipped(Reason::OneCpu);
    }
    let scratch = Scratch::new();
    let program = a_program(&scratch);
    let mut cpu = CpuSet::new();
    cpu.set(allowed_cpus()[0]).expect("a CPU's number");
    // rss-drift and the command inherit it.
    sched_setaffinity(Pid::from_raw(0), &cpu).expect("go to one CPU");
    let script = format!("i=0; while [ $i -lt {PROGRAMS} ]; do {program}; i=$((i+1)); done");
    let (done, report) = report(&[], &["sh", "-c", &script]);
    assert_eq!(done.code, Some(0), "{done:#?}");
    assert_eq!((figure(&report, "forks"), figure(&report, "execs")), (PROGRAMS, PROGRAMS + 1));
    assert_all_went(&report);

    // dash forks by vfork, which copies nothing and keeps the shell's mm for execve to charge and flush.
    let vforks = fs::canonicalize("/bin/sh").expect("there is a shell").ends_with("dash");
    let copied = if vforks { 0 } else { updates_of_a_fork(&script) };
    let share = |figure: i64, of: i64| figure as f64 / of as f64;
    let misses = share(figure(&report, "misses"), PROGRAMS);
    let flushes = share(figure(&report, "flushes"), figure(&report, "switches"));
    println!(
        "report: misses per program={misses:.2}, of these by fork={copied}, flushes per switch={flushes:.2}"
    );
    // execve: the page of the arguments. A tolerance of one.
    let predicted = (copied + 1) as f64;
    assert!((misses - predicted).abs() <= 1.0, "{misses}, {copied} by fork: {report:#}");
    // Two switches a program. After vfork execve flushes the shell's mm; the switch away from a program that has ended flushes
    // its mm where that still counts, until __mmdrop. A tolerance of a quarter.
    let predicted = 0.5 * f64::from(u8::from(vforks) + u8::from(ends_at_mmdrop()));
    assert!(
        (flushes - predicted).abs() <= 0.25,
        "{flushes} flushes a switch where {predicted} is predicted: {report:#}"
    );
    Outcome::Passed
}

/// A program that ends at once.
pub(super) fn a_program(scratch: &Scratch) -> String {
    // A guest has busybox, which looks at its own name.
    if Path::new("/bin/true").exists() {
        return "/bin/true".to_owned();
    }
    let link = scratch.file("true");
    std::os::unix::fs::symlink("/bin/busybox", &link).expect("make a link");
    link.to_str().expect("a plain path").to_owned()
}

/// Whether the end of an mm is seen at its very last moment.
fn ends_at_mmdrop() -> bool {
    let meter = Meter::open_as(Mode::Full(FullOptions::default()));
    meter.session.probe.full_mode().is_some_and(|(_, end)| end == EndOfMm::Mmdrop)
}

/// For each mapping that fork copies (one that has had anonymous pages of its own), an update of each member that is in it: asked
/// of such a shell while it is idle.
fn updates_of_a_fork(script: &str) -> i64 {
    let script = script.replace("-lt 200", "-lt 2") + "; echo idle; read line";
    let mut shell = Command::new("sh")
        .args(["-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("start a shell");
    let mut line = String::new();
    BufReader::new(shell.stdout.take().expect("it has a pipe")).read_line(&mut line).expect("read its line");
    let walk = Walk::of(shell.id()).expect("read its smaps");
    shell.kill().and_then(|()| shell.wait()).expect("end a child of ours");
    walk.0
        .iter()
        .filter(|mapping| mapping.anonymous > 0)
        .map(|mapping| 1 + i64::from(mapping.rss > mapping.anonymous))
        .sum()
}
