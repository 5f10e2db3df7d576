//! Reports of many processes: what each row costs, and what is said without a look at /proc.

use std::{collections::HashMap, fs};

use nix::{
    sys::{
        signal::{Signal, kill},
        wait::waitpid,
    },
    unistd::{ForkResult, Pid, fork, pause},
};

use crate::{
    command::{Running, rss_drift, run},
    harness::Outcome,
    truth::{page_size, stat_field},
};

/// Processes that wait; they end with it.
struct Crowd(Vec<Pid>);

impl Crowd {
    fn grow_to(&mut self, count: usize) {
        while self.0.len() < count {
            // SAFETY: this process has one thread; the child makes system calls only.
            match unsafe { fork() }.expect("fork") {
                ForkResult::Parent { child } => self.0.push(child),
                ForkResult::Child => loop {
                    pause();
                },
            }
        }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for &pid in &self.0 {
            // Children of ours, which nobody else ends.
            let _ = kill(pid, Signal::SIGKILL);
        }
        for &pid in &self.0 {
            let _ = waitpid(pid, None);
        }
    }
}

/// Nanoseconds on a CPU so far, by the scheduler.
fn cpu_time(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).expect("the kernel counts CPU time");
    text.split(' ').next().and_then(|time| time.parse().ok()).expect("a number")
}

/// How often a process called read(2) and the like so far.
fn reads(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/io")).expect("the kernel counts reads");
    let line = text.lines().find_map(|line| line.strip_prefix("syscr: "));
    line.and_then(|count| count.parse().ok()).expect("a number")
}

/// What `figure` grows by in a report, from the second to the last of these.
fn per_report(arguments: &[&str], begins: &str, figure: impl Fn(u32) -> u64) -> u64 {
    const REPORTS: u64 = 8;
    let mut command = rss_drift(arguments);
    let mut running = Running::of(&mut command);
    let pid = running.pid();
    // A report has begun when the one before is over.
    running.read_until(begins);
    running.read_until(begins);
    let before = figure(pid);
    for _ in 0..REPORTS {
        running.read_until(begins);
    }
    let grown = figure(pid) - before;
    running.kill();
    grown / REPORTS
}

/// Eight times the processes cost about eight times the CPU time. When each sixteen rows walked all tasks it was sixteen times.
pub fn of_all_cost_each_row_the_same() -> Outcome {
    const FEW: usize = 150;
    const MANY: usize = 8 * FEW;
    let report = || {
        let arguments = ["--passive", "--all", "-i", "0.5", "--fields", "pid,exact,statm,status,uid"];
        per_report(&arguments, "self-check: ", cpu_time)
    };
    let mut crowd = Crowd(Vec::new());
    crowd.grow_to(FEW);
    let few = report();
    crowd.grow_to(MANY);
    let many = report();
    println!("report: report_of_150_ns={few}");
    println!("report: report_of_1200_ns={many}");
    assert!(many < 12 * few, "{many} ns for {MANY} processes, {few} for {FEW}");
    Outcome::Passed
}

/// A selection reads a file of the processes that fit what costs less, and of no other.
pub fn a_selection_reads_what_it_asks_for() -> Outcome {
    const COUNT: u64 = 300;
    let mut crowd = Crowd(Vec::new());
    crowd.grow_to(300);
    let of = |words: &[&str]| {
        let all = ["--passive", "-i", "0.3", "--top", "1", "--fields", "pid,exact"];
        per_report(&[&all, words].concat(), "self-check: ", reads)
    };
    let user = of(&["-u", "0"]);
    assert!(
        (COUNT..COUNT * 3 / 2).contains(&user),
        "{user} reads for the users of {COUNT} processes and more"
    );
    for words in [&["--comm", "live-nobody*", "-u", "0", "--cmd", "*"][..], &["--min-rss", "1T", "-u", "0"]] {
        let reads = of(words);
        assert!(reads < COUNT / 2, "{reads} reads where no process is named so, or as large: {words:?}");
    }
    Outcome::Passed
}

/// Sums over processes read a file of each of them at most, none where the record has what they have in common, and eight times the processes
/// cost about eight times the CPU time.
pub fn groups_cost_each_process_the_same() -> Outcome {
    const FEW: u64 = 150;
    const MANY: u64 = 8 * FEW;
    let mut crowd = Crowd(Vec::new());
    crowd.grow_to(150);
    let of = |by: &str, figure: fn(u32) -> u64| {
        per_report(&["--passive", "--by", by, "-i", "0.5", "--fields", "group,exact"], "self-check: ", figure)
    };
    let few = of("user", cpu_time);
    crowd.grow_to(1200);
    let many = of("user", cpu_time);
    println!("report: groups_of_150_ns={few}");
    println!("report: groups_of_1200_ns={many}");
    assert!(many < 12 * few, "{many} ns for {MANY} processes, {few} for {FEW}");
    for (by, most) in [("comm", MANY / 2), ("host", MANY / 2), ("user", MANY * 3 / 2), ("unit", MANY * 3 / 2)]
    {
        let reads = of(by, reads);
        assert!(reads < most, "--by {by} reads {reads} times in a report of {MANY} processes and more");
    }
    Outcome::Passed
}

/// The reported figure of `stat` is in the record: a report of many processes reads no file for each, and says what the files say.
pub fn of_stat_read_no_file_for_each_row() -> Outcome {
    const COUNT: usize = 300;
    const FIELDS: &str = "pid,reported,exact,drift";
    let mut crowd = Crowd(Vec::new());
    crowd.grow_to(COUNT);
    let all = ["--passive", "--all", "-i", "0.3", "--fields", FIELDS];
    let reads = per_report(&all, "self-check: ", reads);
    println!("report: reads_per_report={reads}");
    assert!(reads < COUNT as u64 / 2, "{reads} reads in a report of {COUNT} processes and more");

    let done = run(&["--passive", "--all", "-n", "1", "--fields", FIELDS]);
    done.must_be_fine();
    let rows: HashMap<i64, Vec<i64>> = done
        .stdout
        .lines()
        .filter_map(|line| {
            let numbers: Option<Vec<i64>> = line.split_whitespace().map(|word| word.parse().ok()).collect();
            numbers.filter(|numbers| numbers.len() == 4).map(|numbers| (numbers[0], numbers))
        })
        .collect();
    for pid in &crowd.0 {
        let row =
            rows.get(&i64::from(pid.as_raw())).unwrap_or_else(|| panic!("no row of {pid}: {}", done.stdout));
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it lives");
        let reported = stat_field(&stat, 24).expect("field 24") * page_size() / 1024;
        // It waits: nothing of it moves.
        assert_eq!(row[1], reported, "{row:?}");
        assert_eq!(row[2] - row[1], row[3], "{row:?}");
    }
    Outcome::Passed
}
