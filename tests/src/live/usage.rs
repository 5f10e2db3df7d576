//! Bad words on the command line: refused with the valid ones, before anything is measured.

use std::time::{Duration, Instant};

use crate::{
    command::run,
    harness::Outcome,
    helper::{Helper, Kind},
    live::processes::a_kernel_thread,
    records::{Record, parse},
};

/// Usage errors end with 2 and write nothing to standard output.
fn must_be_refused(arguments: &[&str], words: &[&str]) {
    let done = run(arguments);
    done.must_say(2, words);
    assert_eq!(done.stdout, "", "{arguments:?}");
}

/// Flags, fields, formats and sources.
pub fn unknown_words_are_refused_with_the_valid_ones() -> Outcome {
    must_be_refused(&["--intervall", "1"], &["--intervall", "--interval"]);
    must_be_refused(
        &["watch", "--frob"],
        &["--frob", "valid options: ", "--pid", "--interval", "--resident"],
    );
    must_be_refused(&["wacht"], &["wacht", "watch"]);
    must_be_refused(
        &["--fields", "pid,drfit"],
        &["drfit", "did you mean 'drift'?", "valid are: ", "reported", "cgroup"],
    );
    must_be_refused(&["--sort", "bananas"], &["bananas", "valid are: ", "exact"]);
    must_be_refused(&["--fields", "kernels"], &["did you mean 'kernel'?", "all, memory, rfc, kernel"]);
    must_be_refused(&["--comm", "/(/"], &["--comm", "no regular expression"]);
    must_be_refused(&["explain"], &["PID"]);
    must_be_refused(&["--format", "xml"], &["xml", "table", "csv", "jsonl"]);
    must_be_refused(&["--source", "smaps"], &["smaps", "stat", "statm", "status"]);
    must_be_refused(&["doctor", "--yaml"], &["--yaml", "--json"]);
    Outcome::Passed
}

/// Numbers that make no sense.
pub fn bad_durations_and_counts_are_refused() -> Outcome {
    for interval in ["0", "0s", "-1", "x", "nan", ""] {
        let valid = if interval.starts_with('0') { "must be more than 0" } else { "500ms" };
        must_be_refused(&["-i", interval], &["--interval", valid]);
    }
    // What no clock can add up, and what would measure little but rss-drift. `run` must not begin the command either.
    for (interval, valid) in [
        ("1e999", "at most 100 years"),
        ("1e19", "at most 100 years"),
        ("9ms", "at least 10ms"),
        ("1e-9", "at least 10ms"),
    ] {
        must_be_refused(&["-i", interval], &["--interval", valid]);
        let done = run(&["run", "-i", interval, "--", "sh", "-c", "echo ran"]);
        done.must_say(125, &["--interval", valid]);
        assert_eq!(done.stdout, "");
    }
    must_be_refused(&["-d", "1e19"], &["--duration", "at most 100 years"]);
    must_be_refused(&["-i"], &["--interval"]);
    must_be_refused(&["-d", "soon"], &["--duration", "soon", "5m"]);
    for count in ["0", "-1", "many", "1.5", "99999999999999999999"] {
        must_be_refused(&["-n", count], &["--count", count, "a whole number of 1 or more"]);
    }
    must_be_refused(&["-p", "0"], &["--pid"]);
    must_be_refused(&["-p", "self"], &["--pid", "self"]);
    Outcome::Passed
}

/// `rss-drift 1 5`, and several words of `-p`.
pub fn an_interval_and_a_count_as_vmstat_has_them() -> Outcome {
    let helpers = [(); 2].map(|()| Helper::start());
    let [one, other] = helpers.each_ref().map(|helper| helper.pid().to_string());
    let began = Instant::now();
    for verb in [&[][..], &["watch"][..]] {
        let words = ["0.2", "3", "--passive", "--format", "csv", "-p", &one, &other];
        let done = run(&[verb, &words[..]].concat());
        done.must_be_fine();
        let rows = parse(&done.stdout);
        let mut pids: Vec<_> = rows.iter().map(Record::pid).collect();
        pids.sort_unstable();
        pids.dedup();
        assert_eq!((rows.len(), pids.len()), (6, 2), "{}", done.stdout);
    }
    assert!(began.elapsed() >= Duration::from_millis(800), "two intervals of 0.2 s each time");
    // Behind --, where -p has taken what stands before.
    let done = run(&["--passive", "--format", "csv", "-p", &one, "--", "0.05", "2"]);
    done.must_be_fine();
    assert_eq!(parse(&done.stdout).len(), 2, "{}", done.stdout);
    must_be_refused(&["1", "5", "-n", "3"], &["--count", "cannot be used with"]);
    must_be_refused(&["-i", "1", "2"], &["--interval", "cannot be used with"]);
    must_be_refused(&["watch", "1", "2", "3"], &["unexpected argument '3'"]);
    must_be_refused(&["0.001"], &["at least 10ms"]);
    must_be_refused(&["1", "0"], &["COUNT", "a whole number of 1 or more"]);
    Outcome::Passed
}

/// Outputs that cannot be all at once.
pub fn outputs_that_contradict_each_other_are_refused() -> Outcome {
    must_be_refused(&["-o", "-", "-o", "-"], &["standard output"]);
    must_be_refused(&["-o", "a.csv", "--csv", "a.csv"], &["a.csv"]);
    must_be_refused(&["-o", "report"], &["report", ".csv", ".jsonl"]);
    must_be_refused(&["-o", "a.jsonl", "--format", "csv"], &["a.jsonl"]);
    must_be_refused(&["--fields", "pid", "--format", "csv"], &["--fields"]);
    must_be_refused(&["--all", "--top", "3"], &["--all", "--top"]);
    Outcome::Passed
}

/// What was asked for is not an error.
pub fn help_and_version_are_no_errors() -> Outcome {
    for (arguments, word) in [
        (&["--help"][..], "--interval"),
        (&["--version"][..], "rss-drift "),
        (&["doctor", "--help"][..], "--json"),
        (&["--fields", "help"][..], "exact_bytes"),
        (&["--sort", "help"][..], "exact_bytes"),
    ] {
        let done = run(arguments);
        done.must_be_fine();
        assert!(done.stdout.contains(word), "{done:?}");
    }
    Outcome::Passed
}

/// Not after an interval: at once.
pub fn a_pid_that_is_not_there_is_told_at_once() -> Outcome {
    // Beyond the most that pid_max can be (`include/linux/threads.h:PID_MAX_LIMIT`).
    let done = run(&["-p", "4194305", "-i", "1000"]);
    done.must_say(1, &["4194305", "no process"]);
    assert_eq!(done.stdout, "");
    // Of several the others are watched.
    let helper = Helper::start();
    let done = run(&["-p", &format!("{},4194305", helper.pid()), "-n", "1", "--format", "csv"]);
    done.must_say(0, &["there is no process 4194305; the other processes of -p are watched"]);
    assert_eq!(parse(&done.stdout).iter().map(Record::pid).collect::<Vec<_>>(), [i64::from(helper.pid())]);
    Outcome::Passed
}

/// Kernel threads, zombies, threads.
pub fn a_pid_without_memory_is_told_why() -> Outcome {
    let mut helper = Helper::start();
    let zombie = helper.zombie();
    run(&["-p", &zombie.to_string()]).must_say(1, &[&zombie.to_string(), "zombie"]);
    let thread = a_kernel_thread();
    run(&["-p", &thread.to_string()]).must_say(1, &["kernel thread"]);
    let region = helper.map(Kind::Anon, 1);
    helper.threads(1, &region, 1);
    let pid = helper.pid().to_string();
    let tid = std::fs::read_dir(format!("/proc/{pid}/task"))
        .expect("list threads")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .find(|tid| *tid != pid)
        .expect("a second thread");
    run(&["-p", &tid]).must_say(1, &[&format!("{tid} is a thread of process {pid}")]);
    Outcome::Passed
}
