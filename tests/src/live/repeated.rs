//! `rss-drift run` several times, and on a terminal.

use super::run::{SELF, rows};
use crate::{
    command::{rss_drift, run},
    harness::{Outcome, Reason},
    helper::AS_HELPER,
    scratch::Scratch,
    terminal::Terminal,
};

/// Each run is counted anew: a row for each, or mean and spread.
pub fn each_run_is_counted_anew() -> Outcome {
    const PAGES: u64 = 2000;
    let scratch = Scratch::new();
    let path = scratch.file("run.csv");
    let file = path.to_str().expect("a plain path");
    let pages = PAGES.to_string();
    let command = [SELF, AS_HELPER, "grow", &pages, "0"];
    let done = run(&[&["run", "-r", "3", "-o", file, "--"], &command[..]].concat());
    assert_eq!(done.code, Some(0), "{done:#?}");
    let rows = rows(&path);
    assert_eq!(rows.len(), 3, "{rows:?}");
    for row in &rows {
        let number = |name: &str| row[name].parse::<u64>().expect("a number");
        assert!((PAGES..2 * PAGES).contains(&number("faults")), "{row:?}");
        assert!((PAGES..2 * PAGES).contains(&(number("anon_added_bytes") / 4096)), "{row:?}");
        assert_eq!((number("forks"), number("execs")), (0, 1), "{row:?}");
    }
    let mut pids: Vec<_> = rows.iter().map(|row| row["command_pid"].clone()).collect();
    pids.dedup();
    assert_eq!(pids.len(), 3, "{rows:?}");

    let done = run(&[&["run", "-r", "2", "--"], &command[..]].concat());
    done.must_say(0, &["(2 runs)", "page faults", "( +- "]);
    let done = run(&["run", "-r", "2", "--format", "json", "--", "sh", "-c", "exit 3"]);
    assert_eq!((done.code, done.stderr.lines().count()), (Some(3), 2), "{done:#?}");
    Outcome::Passed
}

/// A line that goes with the run, and no word of it in a file.
pub fn a_line_on_a_terminal() -> Outcome {
    if Terminal::open(80).is_err() {
        return Outcome::Skipped(Reason::NoPty);
    }
    for width in [20, 120] {
        let terminal = Terminal::open(width).expect("it could be made before");
        let mut command = rss_drift(&["run", "-i", "0.2", "--", "sh", "-c", "sleep 1"]);
        command.stderr(terminal.inside.try_clone().expect("a descriptor"));
        let child = command.spawn().expect("start this very program");
        drop(command);
        let shown = terminal.read_to_end().expect("read the terminal");
        let output = child.wait_with_output().expect("wait for a child");
        assert!(output.status.success(), "{output:?}: {shown}");
        let lines = shown.split('\r').filter_map(|line| line.strip_suffix("\x1b[K"));
        let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
        assert!(!lines.is_empty(), "{shown}");
        for line in &lines {
            assert!(line.chars().count() < width.into(), "wider than {width}: {line:?}");
        }
        assert!(width < 100 || lines.iter().any(|line| line.contains("page faults, RSS ")), "{shown}");
        assert!(shown.contains("\r\x1b[K"), "it is taken away: {shown}");
    }
    Outcome::Passed
}
