//! Outputs whose reader stalls: they hold up nothing but themselves, and a signal ends the run all the same.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{Read as _, Write as _},
    os::fd::{AsRawFd as _, OwnedFd},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::{
        signal::{Signal, kill},
        stat::Mode,
    },
    unistd::{Pid, mkfifo, pipe},
};

use crate::{
    command::rss_drift,
    harness::{Outcome, Reason},
    helper::AS_HELPER,
    live::{
        labels::{NO_THREAD, filtered},
        run::SELF,
    },
    measure::wait_until,
    records::{Record, parse},
    scratch::{Scratch, text},
    terminal::Terminal,
};

/// How soon after a signal rss-drift ends, beside what its end takes here with outputs that take everything.
const SOON: Duration = Duration::from_secs(1);

/// rss-drift with what it says in a file, so that nobody has to read it.
pub(super) struct Running {
    child: Child,
    said: PathBuf,
}

impl Running {
    pub(super) fn start(command: &mut Command, scratch: &Scratch) -> Self {
        let said = scratch.file("said");
        command.stderr(File::create(&said).expect("make a file of ours"));
        Self { child: command.spawn().expect("start this very program"), said }
    }

    pub(super) fn said(&self) -> String {
        fs::read_to_string(&self.said).expect("read a file of ours")
    }

    /// Sends a signal.
    pub(super) fn send(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).expect("signal a child of ours");
    }

    /// Sends a signal; how it ended, and how long that took.
    pub(super) fn end(&mut self, signal: Signal) -> (ExitStatus, Duration) {
        let began = Instant::now();
        self.send(signal);
        loop {
            if let Some(status) = self.child.try_wait().expect("wait for a child") {
                return (status, began.elapsed());
            }
            assert!(began.elapsed() < Duration::from_secs(30), "{signal} does not end it: {}", self.said());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends a signal, which must end it as soon as it ends where nothing stalls.
    pub(super) fn must_end(&mut self, signal: Signal, code: i32, usual: Duration) -> Duration {
        let (status, took) = self.end(signal);
        assert_eq!(status.code(), Some(code), "{status:?}: {}", self.said());
        assert!(took < usual + SOON, "{signal} took {took:?}, usual are {usual:?}: {}", self.said());
        took
    }

    /// Its pid.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until some more reports are in a CSV file.
    pub(super) fn must_go_on(&self, csv: &Path) {
        let pid = i64::from(self.child.id());
        let before = own_rows(csv, pid);
        wait_until("more reports come into the file beside", || own_rows(csv, pid) >= before + 5);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A test that failed leaves nothing behind; one that did not has ended it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The rows of a file that are written as a whole.
pub(super) fn whole_rows(csv: &Path) -> Vec<Record> {
    // The last row may be written just now, or the file not be there yet.
    let text = fs::read_to_string(csv).unwrap_or_default();
    text.rfind("\r\n").map_or_else(Vec::new, |end| parse(&text[..end + 2]))
}

/// Rows of rss-drift itself: one for each report.
pub(super) fn own_rows(csv: &Path, pid: i64) -> usize {
    whole_rows(csv).iter().filter(|row| row.pid() == pid).count()
}

/// Every interval is in the file, from the first to the last.
pub(super) fn must_have_no_gap(csv: &Path) {
    let mut intervals: Vec<i64> = whole_rows(csv).iter().map(|row| row.must("interval")).collect();
    intervals.dedup();
    let expected: Vec<i64> = (1..).take(intervals.len()).collect();
    assert_eq!(intervals, expected, "no interval is missing");
}

/// A pipe that holds a page, so that it is soon full.
fn small_pipe() -> (OwnedFd, OwnedFd) {
    let (read, write) = pipe().expect("a pipe");
    fcntl(&write, FcntlArg::F_SETPIPE_SZ(4096)).expect("make a pipe small");
    (read, write)
}

/// All that is left in a pipe.
fn drained(read: OwnedFd) -> String {
    let mut left = String::new();
    File::from(read).read_to_string(&mut left).expect("read what is left");
    left
}

/// How long the end takes where every output takes everything.
pub(super) fn usual_end(scratch: &Scratch) -> Duration {
    let csv = scratch.file("usual.csv");
    let mut command = rss_drift(&["--all", "-i", "0.02", "--csv", text(&csv)]);
    let mut running = Running::start(command.stdout(Stdio::null()), scratch);
    running.must_go_on(&csv);
    running.end(Signal::SIGTERM).1
}

/// What came through a stalled pipe are whole reports: each has a row for every process that the file beside has in this interval.
fn must_be_whole(rows: &[(i64, i64)], csv: &Path) {
    let rows_of = |rows: &[(i64, i64)]| {
        let mut of = BTreeMap::<i64, Vec<i64>>::new();
        for &(interval, pid) in rows {
            of.entry(interval).or_default().push(pid);
        }
        of
    };
    let beside: Vec<_> = whole_rows(csv).iter().map(|row| (row.must("interval"), row.pid())).collect();
    let beside = rows_of(&beside);
    let through = rows_of(rows);
    assert!(!through.is_empty(), "a report came before the reader stalled");
    for (interval, pids) in through {
        assert_eq!(Some(&pids), beside.get(&interval), "interval {interval} is there as a whole");
    }
}

/// Standard output is a pipe that nobody reads, in each format: the file beside it has every interval, what is left out is
/// counted, and signals work.
pub fn a_pipe_that_nobody_reads() -> Outcome {
    let scratch = Scratch::new();
    let usual = usual_end(&scratch);
    for (format, signal) in [("table", Signal::SIGINT), ("csv", Signal::SIGTERM), ("jsonl", Signal::SIGTERM)]
    {
        let csv = scratch.file(&format!("{format}.csv"));
        // As large as pipes are: a report fits.
        let (read, write) = pipe().expect("a pipe");
        let arguments = ["--all", "-i", "0.01", "-o", "-", "--format", format, "--csv", text(&csv)];
        let mut running = Running::start(rss_drift(&arguments).stdout(write), &scratch);
        running.must_go_on(&csv);
        wait_until("it says that reports are skipped", || running.said().contains("skipped"));
        running.must_go_on(&csv);
        running.must_end(signal, 0, usual);
        let said = running.said();
        let last = said.lines().last().unwrap_or_default();
        assert!(last.contains("standard output: ") && last.contains("reports skipped"), "{said}");
        assert_eq!(said.lines().count(), 2, "once while it goes on, once at the end: {said}");
        let left = drained(read);
        if format == "csv" {
            let rows: Vec<_> = parse(&left).iter().map(|row| (row.must("interval"), row.pid())).collect();
            must_be_whole(&rows, &csv);
        } else if format == "jsonl" {
            assert!(left.ends_with('\n'), "{left}");
            let row = |line| serde_json::from_str::<serde_json::Value>(line).expect("a whole object");
            let rows = left.lines().map(row);
            let rows: Vec<_> =
                rows.filter_map(|row| Some((row["interval"].as_i64()?, row["pid"].as_i64()?))).collect();
            must_be_whole(&rows, &csv);
        }
        must_have_no_gap(&csv);
    }
    Outcome::Passed
}

/// A FIFO that nobody opens, one that somebody opens and does not read, one whose reader goes: the output beside goes on.
pub fn fifos_without_a_reader() -> Outcome {
    let scratch = Scratch::new();
    let usual = usual_end(&scratch);
    let [unopened, unread, left] = ["unopened.csv", "unread.jsonl", "left.csv"].map(|name| {
        let path = scratch.file(name);
        mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).expect("make a FIFO");
        path
    });
    let csv = scratch.file("beside.csv");
    let outputs = [&unopened, &unread, &left].map(|path| text(path));
    let mut arguments = vec!["--all", "-i", "0.02", "-o", text(&csv)];
    arguments.extend(outputs.iter().flat_map(|output| ["-o", output]));
    let mut running = Running::start(rss_drift(&arguments).stdout(Stdio::null()), &scratch);
    running.must_go_on(&csv);
    let _stalls = File::open(&unread).expect("open a FIFO to read");
    let mut goes = File::open(&left).expect("open a FIFO to read");
    let mut first = [0; 10];
    goes.read_exact(&mut first).expect("read a FIFO");
    assert_eq!(&first, b"timestamp,", "the header comes first");
    drop(goes);
    wait_until("it says whose reader has gone", || running.said().contains(text(&left)));
    running.must_go_on(&csv);
    running.must_end(Signal::SIGTERM, 0, usual);
    let said = running.said();
    assert!(said.contains("has closed it; the other outputs go on"), "{said}");
    must_have_no_gap(&csv);
    Outcome::Passed
}

/// Where no thread can be made, whoever has a report writes it: measuring waits for a reader that stalls, and a signal ends it all the
/// same, with a full pipe, a stopped terminal and a FIFO.
pub fn without_a_thread_signals_work() -> Outcome {
    if Reason::NoSeccomp.holds() {
        return Outcome::Skipped(Reason::NoSeccomp);
    }
    let scratch = Scratch::new();
    let usual = usual_end(&scratch);
    let stuck = |running: &mut Running| {
        // Until nobody has taken anything for long.
        thread::sleep(Duration::from_secs(3));
        assert!(running.child.try_wait().expect("wait for a child").is_none(), "{}", running.said());
        let threads = fs::read_dir(format!("/proc/{}/task", running.pid())).expect("read /proc").count();
        assert_eq!(threads, 1, "no thread could be made");
    };
    // Reports that take many pieces, which wait until there is room for all, and reports that go in one.
    let own = std::process::id().to_string();
    for (format, which, signal) in [
        ("table", &["--all"][..], Signal::SIGINT),
        ("csv", &["-p", &own], Signal::SIGTERM),
        ("jsonl", &["--all"], Signal::SIGHUP),
    ] {
        let (read, write) = pipe().expect("a pipe");
        let mut command = rss_drift(&[&["-i", "0.01", "--format", format], which].concat());
        let mut running = Running::start(filtered(command.stdout(write), &NO_THREAD), &scratch);
        drop(command);
        stuck(&mut running);
        let took = running.must_end(signal, 0, usual);
        println!("report: {format}={took:?}");
        let (said, left) = (running.said(), drained(read));
        assert!(said.contains("standard output: 1 of "), "what is left out is counted: {said}");
        match format {
            "table" => {}
            // Whole rows, of whole reports but for the last.
            "csv" => assert!(left.ends_with("\r\n") && !parse(&left).is_empty(), "{left}"),
            _ => assert!(left.lines().all(|line| line.ends_with('}')), "{left}"),
        }
    }
    let (mut running, _read) = full_standard_error(&["sleep", "100"], &scratch, Some(&NO_THREAD));
    wait_until("the command runs", || runs(running.child.id(), "sleep"));
    running.must_end(Signal::SIGTERM, 143, usual);
    // Its report is on its way, and nobody takes it.
    let (mut running, _read) = full_standard_error(&["true"], &scratch, Some(&NO_THREAD));
    stuck(&mut running);
    running.must_end(Signal::SIGINT, 130, usual);

    let Ok(terminal) = Terminal::open(80) else { return Outcome::Skipped(Reason::NoPty) };
    // SAFETY: stops the output of a terminal of ours.
    assert_eq!(unsafe { libc::tcflow(terminal.inside.as_raw_fd(), libc::TCOOFF) }, 0, "stop a terminal");
    let mut command = rss_drift(&["--all", "-i", "0.02"]);
    command.stdout(terminal.inside.try_clone().expect("a descriptor"));
    let mut running = Running::start(filtered(&mut command, &NO_THREAD), &scratch);
    stuck(&mut running);
    running.must_end(Signal::SIGINT, 0, usual);
    Outcome::Passed
}

/// A terminal that was stopped by ^S, as standard output and standard error.
pub fn a_stopped_terminal() -> Outcome {
    let Ok(terminal) = Terminal::open(80) else { return Outcome::Skipped(Reason::NoPty) };
    let scratch = Scratch::new();
    let usual = usual_end(&scratch);
    // SAFETY: stops the output of a terminal of ours.
    assert_eq!(unsafe { libc::tcflow(terminal.inside.as_raw_fd(), libc::TCOOFF) }, 0, "stop a terminal");
    let inside = || terminal.inside.try_clone().expect("a descriptor");
    let csv = scratch.file("beside.csv");
    let mut command = rss_drift(&["--all", "-i", "0.02", "--csv", text(&csv)]);
    let child = command.stdout(inside()).stderr(inside()).spawn().expect("start this very program");
    let mut running = Running { child, said: scratch.file("nothing") };
    fs::write(&running.said, "").expect("make a file of ours");
    running.must_go_on(&csv);
    running.must_end(Signal::SIGINT, 0, usual);

    let mut command = rss_drift(&["run", "-i", "0.1", "--", "sleep", "100"]);
    let child = command.stdout(inside()).stderr(inside()).spawn().expect("start this very program");
    running = Running { child, said: scratch.file("nothing") };
    wait_until("the command runs", || runs(running.child.id(), "sleep"));
    running.must_end(Signal::SIGTERM, 143, usual);
    Outcome::Passed
}

/// Whether a process has a child of this name.
fn runs(pid: u32, name: &str) -> bool {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.split_whitespace().any(|child| {
        fs::read_to_string(format!("/proc/{child}/comm")).is_ok_and(|comm| comm.trim_end() == name)
    })
}

/// `run` whose standard error is a full pipe, and the end that nobody reads.
fn full_standard_error(
    command: &[&str],
    scratch: &Scratch,
    filter: Option<&'static [libc::sock_filter]>,
) -> (Running, OwnedFd) {
    let (read, mut write) = {
        let (read, write) = small_pipe();
        (read, File::from(write))
    };
    fcntl(&write, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).expect("a flag of a pipe of ours");
    while write.write(b"x").is_ok() {}
    fcntl(&write, FcntlArg::F_SETFL(OFlag::empty())).expect("a flag of a pipe of ours");
    let mut command = rss_drift(&[&["run", "--"], command].concat());
    command.stderr(write);
    if let Some(filter) = filter {
        filtered(&mut command, filter);
    }
    let child = command.spawn().expect("start this very program");
    let said = scratch.file("nothing");
    fs::write(&said, "").expect("make a file of ours");
    (Running { child, said }, read)
}

/// `run` whose standard error is a full pipe: a signal ends it with the status that it has otherwise, also when the command has
/// ended and only the report is left to be written.
pub fn run_with_a_blocked_standard_error() -> Outcome {
    let scratch = Scratch::new();
    let usual = usual_end(&scratch);
    let start = |command: &[&str]| full_standard_error(command, &scratch, None);
    let (mut running, _read) = start(&["sleep", "100"]);
    wait_until("the command runs", || runs(running.child.id(), "sleep"));
    running.must_end(Signal::SIGTERM, 143, usual);

    for (signal, code) in [(Signal::SIGTERM, 3), (Signal::SIGINT, 130)] {
        let done = scratch.file(&format!("{signal}"));
        let script = format!("echo > {}; exit 3", text(&done));
        let (mut running, _read) = start(&["sh", "-c", &script]);
        wait_until("the command has ended", || done.exists() && !runs(running.child.id(), "sh"));
        // Its report is on its way, and nobody takes it.
        thread::sleep(Duration::from_secs(3));
        assert!(running.child.try_wait().expect("wait for a child").is_none(), "it waits for its reader");
        running.must_end(signal, code, usual);
    }

    // A reader that is only slow gets the whole report.
    let (mut running, read) = start(&[SELF, AS_HELPER, "grow", "100", "0"]);
    thread::sleep(Duration::from_secs(2));
    let said = thread::spawn(move || drained(read));
    assert!(running.child.wait().expect("wait for a child").success());
    let said = said.join().expect("the reader ends");
    assert!(said.contains(" self-check: ") && said.ends_with("\n\n"), "{said}");
    Outcome::Passed
}

/// Standard output does not block (`O_NONBLOCK`, as some parents leave it): full is not failed, and a slow reader gets everything.
pub fn an_output_that_does_not_block() -> Outcome {
    let scratch = Scratch::new();
    for format in ["table", "csv", "jsonl"] {
        let (read, write) = small_pipe();
        fcntl(&write, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).expect("a flag of a pipe of ours");
        let arguments = ["--all", "-n", "5", "-i", "0.02", "--format", format];
        let mut running = Running::start(rss_drift(&arguments).stdout(write), &scratch);
        // Until the pipe is full, and all is measured.
        thread::sleep(Duration::from_secs(2));
        assert!(running.child.try_wait().expect("wait for a child").is_none(), "it waits for its reader");
        let all = drained(read);
        let status = running.child.wait().expect("wait for a child");
        assert!(status.success() && running.said().is_empty(), "{status:?}: {}", running.said());
        let pid = i64::from(running.child.id());
        let reports = match format {
            "table" => all.matches(" accounting, ").count(),
            "csv" => parse(&all).iter().filter(|row| row.pid() == pid).count(),
            _ => all
                .lines()
                .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a whole object"))
                .filter(|row| row["pid"] == pid)
                .count(),
        };
        assert_eq!(reports, 5, "{format}: {all}");
    }
    Outcome::Passed
}
