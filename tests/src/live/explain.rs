//! `explain`: every reader's figure of one process, beside what its files say and what it touched.

use std::{fs, thread, time::Duration};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{
    command::{Running, rss_drift, run},
    harness::Outcome,
    helper::{Helper, Kind},
    truth::{Printed, page_size},
};

/// So many that they count in `oom_score` on a host of 16 GiB, and more than drift can be with 8 CPUs or one thread.
const PAGES: u64 = 20_000;

/// What `explain --json` says.
struct Explained(Value);

impl Explained {
    fn of(pid: u32) -> Self {
        let done = run(&["explain", "--json", &pid.to_string()]);
        done.must_be_fine();
        let explained = Self(serde_json::from_str(&done.stdout).expect("JSON"));
        // It is a report of its own, read now.
        assert_eq!(explained.number("interval"), 1);
        let day = |key: &str| explained.0[key].as_str().and_then(|time| time.get(..10).map(str::to_owned));
        assert!(
            day("reading_time").is_some() && day("reading_time") == day("timestamp"),
            "{:#}",
            explained.0
        );
        explained
    }

    fn number(&self, key: &str) -> i64 {
        self.0[key].as_i64().unwrap_or_else(|| panic!("no {key}: {:#}", self.0))
    }

    /// Of the reader that has this tool.
    fn reader(&self, tool: &str) -> &Value {
        let all = self.0["readers"].as_array().expect("a list of readers");
        let has = |reader: &&Value| {
            reader["tools"].as_array().is_some_and(|tools| tools.iter().any(|it| it == tool))
        };
        all.iter().find(has).unwrap_or_else(|| panic!("no {tool}: {:#}", self.0))
    }
}

/// A line `Name:   12 kB` of a file of /proc, in bytes.
fn kib_line(file: &str, name: &str) -> i64 {
    let text = fs::read_to_string(file).expect("read /proc");
    let rest = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let rest = rest.unwrap_or_else(|| panic!("no {name} in {file}"));
    let number = rest.split_whitespace().next().and_then(|word| word.parse::<i64>().ok());
    number.unwrap_or_else(|| panic!("{name} of {file}: {rest:?}")) * 1024
}

/// The helper waits: each figure is what the file says, what it touched came to the right ones, and what stat lacks is what is held.
pub fn of_a_known_number_of_pages() -> Outcome {
    const LAZY: u64 = 64;
    let mut helper = Helper::start();
    let pid = helper.pid();
    let region = helper.map(Kind::Anon, PAGES);
    let before = Explained::of(pid);
    helper.write(&region, 0..PAGES);
    helper.advise(&region, 0..LAZY, libc::MADV_FREE);
    let after = Explained::of(pid);
    let touched = i64::try_from(PAGES).expect("few") * page_size();
    for key in ["exact_bytes", "exact_anon_bytes", "resident_bytes"] {
        assert_eq!(after.number(key) - before.number(key), touched, "{key}");
    }

    let printed = Printed::of(pid).expect("it lives");
    let rollup = format!("/proc/{pid}/smaps_rollup");
    let status = format!("/proc/{pid}/status");
    assert_eq!(after.number("exact_bytes"), printed.rollup * page_size());
    for (tool, pages) in
        [("pidstat", printed.stat), ("top", printed.statm), ("ps", printed.status), ("smaps", printed.rollup)]
    {
        let reader = after.reader(tool);
        assert_eq!(reader["figure_bytes"], pages * page_size(), "{tool}: {reader}");
        assert_eq!(reader["difference_bytes"], (printed.rollup - pages) * page_size(), "{tool}: {reader}");
    }
    assert_eq!(after.reader("GNU time")["figure_bytes"], kib_line(&status, "VmHWM"));
    for (key, file, name) in [
        ("swap_bytes", &status, "VmSwap"),
        ("page_tables_bytes", &status, "VmPTE"),
        ("hugetlb_bytes", &status, "HugetlbPages"),
        ("locked_bytes", &status, "VmLck"),
    ] {
        assert_eq!(after.number(key), kib_line(file, name), "{key}");
    }
    // Pages are lazily free once the CPU has handed its list of them over: more and more, and no others.
    let lazy = [after.number("lazy_free_bytes"), kib_line(&rollup, "LazyFree"), 64 * page_size()];
    assert!(lazy.is_sorted(), "{lazy:?}");
    // How many processes share the program's pages depends on how many run: rss-drift is the same program.
    let [private, shared, pss] = ["private_bytes", "shared_bytes", "pss_bytes"].map(|key| after.number(key));
    assert_eq!(private + shared, printed.rollup * page_size());
    assert!(private >= touched, "what it touched is its own: {private} of {touched}");
    assert!(private <= pss && pss < private + shared, "{pss} of {private} and {shared}");

    let holders = after.0["holders"].as_array().expect("a list of holders");
    let held: i64 = holders.iter().map(|holder| holder["rss_bytes"].as_i64().expect("a size")).sum();
    assert_eq!(held, (printed.rollup - printed.stat) * page_size(), "{:#}", after.0);
    oom_score(&after, pid);
    text(pid, &printed);
    Outcome::Passed
}

/// The kernel's own score follows from the badness (`fs/proc/base.c:proc_oom_score`).
fn oom_score(explained: &Explained, pid: u32) {
    let total = kib_line("/proc/meminfo", "MemTotal") + kib_line("/proc/meminfo", "SwapTotal");
    let adj: i64 = fs::read_to_string(format!("/proc/{pid}/oom_score_adj"))
        .expect("it lives")
        .trim()
        .parse()
        .expect("a number");
    let badness = explained.number("oom_badness_bytes") + adj * (total / 1000);
    let right = (1000 + badness * 1000 / total) * 2 / 3;
    let score = explained.number("oom_score");
    println!("report: explain_oom_score={score}");
    assert!((score - right).abs() <= 1, "{score}, by the badness {right}");
}

/// The screen has the same figures, in bare KiB where there is no terminal.
fn text(pid: u32, printed: &Printed) {
    let done = run(&["explain", &pid.to_string()]);
    done.must_be_fine();
    let kib = |pages: i64| (pages * page_size() / 1024).to_string();
    for (reads, pages) in [
        ("status, VmRSS", printed.status),
        ("statm, field 2", printed.statm),
        ("stat, field 24", printed.stat),
    ] {
        let line = done.stdout.lines().find(|line| line.contains(reads)).expect(&done.stdout);
        let words: Vec<_> = line.split_whitespace().take(2).map(str::to_owned).collect();
        assert_eq!(words, [kib(pages), kib(printed.rollup - pages)], "{line}");
    }
    let said = if printed.rollup == printed.stat { "every reader" } else { " KiB (" };
    let conclusion = done.stdout.lines().nth(1).expect(&done.stdout);
    assert!(conclusion.contains(said), "{conclusion}");
}

/// The true peak is followed; a mark that somebody reset is told from one that the kernel has wrong.
pub fn of_a_mark_that_was_reset() -> Outcome {
    for reset in [false, true] {
        let mut helper = Helper::start();
        let pid = helper.pid();
        let region = helper.map(Kind::Anon, PAGES);
        let mut command = rss_drift(&["explain", "--json", "--duration", "600", &pid.to_string()]);
        let running = Running::of(&mut command);
        // It blocks SIGINT when all is attached and read once.
        let status = format!("/proc/{}/status", running.pid());
        while !blocks_sigint(&fs::read_to_string(&status).expect("it runs")) {
            thread::sleep(Duration::from_millis(20));
        }
        helper.write(&region, 0..PAGES);
        helper.give_up(&region, 0..PAGES);
        if reset {
            fs::write(format!("/proc/{pid}/clear_refs"), "5").expect("reset the mark of a process of ours");
        }
        running.signal(Signal::SIGINT);
        let done = running.finish();
        done.must_be_fine();
        let explained = Explained(serde_json::from_str(&done.stdout).expect("JSON"));
        let touched = i64::try_from(PAGES).expect("few") * page_size();
        assert!(explained.number("peak_exact_bytes") >= touched, "{:#}", explained.0);
        assert_eq!(explained.0["mark_was_reset"], reset, "{:#}", explained.0);
        let mark = kib_line(&format!("/proc/{pid}/status"), "VmHWM");
        assert_eq!(explained.number("vm_hwm_bytes"), mark);
        assert_eq!(mark < touched, reset, "{mark}");
    }
    Outcome::Passed
}

/// Whether SIGINT is blocked, and not each signal, as they are for a moment where a thread is made.
fn blocks_sigint(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).expect("a mask");
    let mask = u64::from_str_radix(mask.trim(), 16).expect("hexadecimal");
    let is_blocked = |signal: i32| mask & 1 << (signal - 1) != 0;
    is_blocked(libc::SIGINT) && !is_blocked(libc::SIGSEGV)
}

/// Who is not there, or has no memory, is told at once.
pub fn of_what_has_no_memory() -> Outcome {
    run(&["explain"]).must_say(2, &["<PID>"]);
    run(&["explain", "0"]).must_say(2, &["give a whole number of 1 or more"]);
    run(&["explain", "--json", "--units", "kib", "1"]).must_say(2, &["--units"]);
    run(&["explain", "4194303"]).must_say(1, &["there is no process 4194303"]);
    let mut helper = Helper::start();
    let zombie = helper.zombie().to_string();
    run(&["explain", &zombie]).must_say(1, &[&format!("process {zombie} is a zombie")]);
    Outcome::Passed
}
