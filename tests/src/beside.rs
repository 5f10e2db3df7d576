//! `--beside SECONDS`: rss-drift beside whatever runs on this host; every row is checked, and its own memory.
//!
//! A row is wrong when it is not marked as uncertain and nothing moved while it was read, yet
//! - a file of /proc that is exact here says something else than exact, or
//! - drift is beyond its bound, or
//! - the process ran not at all from one report to the next, its figures are the same, and the shadow (full mode) is not what
//!   exact is, or, of a process that sleeps, exact is not what its page tables hold.
//!
//! A process that took and gave back memory within one reading shows no movement: whether it ran at all is taken from its
//! CPU time and its page faults, which this program reads by itself. One that waits for a CPU can be in the middle of
//! munmap(2), whose pages still count when their mapping is gone (docs/limitations.md).

use std::{
    collections::HashMap,
    ffi::OsString,
    fs,
    io::BufReader,
    process::{ExitCode, Stdio},
    time::{Duration, Instant},
};

use crate::{
    command::rss_drift,
    records::{Record, Stream},
    truth::{Printed, page_size, stat_field},
};

/// First argument of this mode.
pub const BESIDE: &str = "--beside";

/// Growth of rss-drift's own memory that is no leak: buffers grow with the number of processes.
const GROWTH: i64 = 1 << 20;

/// Time between two looks at rss-drift's own memory.
const LOOK: Duration = Duration::from_secs(2);

/// Watches for as long as `arguments` say.
pub fn main(arguments: &[OsString]) -> ExitCode {
    let seconds =
        arguments.first().and_then(|word| word.to_str()?.parse().ok()).filter(|&seconds: &u64| seconds > 0);
    let Some(seconds) = seconds else {
        eprintln!("live-tests: {BESIDE} needs a number of seconds");
        return ExitCode::from(2);
    };
    let exact_sources = exact_sources();
    let seconds_word = seconds.to_string();
    // Whatever it costs: this is about right or wrong, and the shadow is part of it.
    let mut command = rss_drift(&["--all", "--resident", "-i", "1", "-d", &seconds_word, "--format", "csv"]);
    let mut child = command.stderr(Stdio::inherit()).spawn().expect("start this very program");
    let mut own = OwnMemory::new(child.id(), Duration::from_secs(seconds));
    let mut watch = Watch { exact_sources, ..Watch::default() };
    let output = child.stdout.take().expect("it has a pipe");
    for row in Stream::new(BufReader::new(output)) {
        watch.check(row);
        own.look();
    }
    let status = child.wait().expect("wait for a child");
    println!("{watch}");
    println!("own memory: {own}");
    let fine = watch.wrong == 0 && watch.rows > 0 && own.is_flat() && status.success();
    println!("{}", if fine { "no wrong row, memory flat" } else { "FAILED" });
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The columns of the files that are exact on this kernel.
fn exact_sources() -> Vec<String> {
    use rss_drift::{
        proc::{Precision, Source},
        session::Startup,
    };
    let session = Startup::check(rss_drift::session::Mode::Passive).session().expect("measuring works here");
    let exact = Source::ALL.into_iter().filter(|&source| session.precisions.of(source) == Precision::Exact);
    exact.map(|source| format!("{}_bytes", source.name())).collect()
}

/// What a process has done so far: page faults, and CPU time in ticks; and whether it sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Activity {
    done: [i64; 4],
    sleeps: bool,
}

impl Activity {
    fn of(pid: i64) -> Option<Self> {
        let stat = String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/stat")).ok()?).into_owned();
        let field = |number| stat_field(&stat, number);
        let done = [field(10)?, field(12)?, field(14)?, field(15)?];
        // Behind the name, which can hold anything.
        let state = stat.rsplit_once(") ")?.1.chars().next()?;
        Some(Self { done, sleeps: matches!(state, 'S' | 'T') })
    }
}

/// The last row of a process, and what it had done when that came.
struct Seen {
    row: Record,
    activity: Option<Activity>,
    report: u64,
}

/// What was found so far.
#[derive(Default)]
struct Watch {
    exact_sources: Vec<String>,
    seen: HashMap<(i64, i64, i64), Seen>,
    rows: u64,
    uncertain: u64,
    idle: u64,
    /// Those idle that have a shadow (full mode).
    shadows: u64,
    /// Events that full mode missed.
    missed: i64,
    /// Rows in which figures contradict each other, of processes that ran meanwhile: up and down within the reading.
    up_and_down: u64,
    wrong: u64,
    report: u64,
}

impl Watch {
    fn check(&mut self, row: Record) {
        // Rows of one report have rising ranks of |drift|, not pids: a process that comes again begins a new report.
        let identity = row.identity();
        if self.seen.get(&identity).is_some_and(|seen| seen.report == self.report) {
            self.report += 1;
            let report = self.report;
            self.seen.retain(|_, seen| seen.report + 3 > report);
        }
        self.rows += 1;
        self.missed = self.missed.max(row.number("missed_events").unwrap_or(0));
        let activity = Activity::of(row.pid());
        let before = self.seen.remove(&identity);
        let still = activity.is_some() && before.as_ref().is_some_and(|before| before.activity == activity);
        let sleeps = activity.is_some_and(|activity| activity.sleeps);
        if row.has_note("uncertain") {
            self.uncertain += 1;
        } else if row.must("moved_bytes") == 0 {
            if let Some(complaint) = self.contradiction(&row) {
                if still {
                    self.complain(&complaint, &row);
                } else {
                    self.up_and_down += 1;
                }
            }
            if still && before.is_some_and(|before| same_figures(&before.row, &row)) {
                self.idle += 1;
                if sleeps && row.must("exact_bytes") != row.must("resident_bytes") {
                    self.complain("while idle, exact is not what the page tables hold", &row);
                }
                if let Some(shadow) = row.number("shadow_bytes") {
                    self.shadows += 1;
                    if shadow != row.must("exact_bytes") {
                        self.complain("while idle, the shadow is not what exact is", &row);
                    }
                }
            }
        }
        self.seen.insert(identity, Seen { row, activity, report: self.report });
    }

    /// What contradicts what in a row of one instant.
    fn contradiction(&self, row: &Record) -> Option<String> {
        let exact = row.must("exact_bytes");
        if let Some(source) =
            self.exact_sources.iter().find(|source| row.number(source).is_some_and(|it| it != exact))
        {
            return Some(format!("{source} is exact here and not what exact is"));
        }
        let drift = row.number("drift_bytes")?;
        (drift.abs() > row.must("bound_bytes")).then(|| "drift is beyond its bound".to_owned())
    }

    fn complain(&mut self, complaint: &str, row: &Record) {
        self.wrong += 1;
        println!("WRONG: {complaint}: {row:?}");
    }
}

/// Whether two rows have the same counters, and page tables that could be read and hold the same.
fn same_figures(one: &Record, two: &Record) -> bool {
    one.exact_members() == two.exact_members()
        && two.number("resident_bytes").is_some()
        && one.text("resident_bytes") == two.text("resident_bytes")
}

impl std::fmt::Display for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} rows in {} reports: {} idle ({} with a shadow, {} events missed), {} uncertain, {} of processes that moved up and down, {} wrong",
            self.rows,
            self.report + 1,
            self.idle,
            self.shadows,
            self.missed,
            self.uncertain,
            self.up_and_down,
            self.wrong,
        )
    }
}

/// rss-drift's own resident memory over time, by the page tables.
struct OwnMemory {
    pid: u32,
    began: Instant,
    warm_up: Duration,
    last_look: Instant,
    /// The largest in the warm-up, and after it.
    warm: i64,
    later: i64,
}

impl OwnMemory {
    fn new(pid: u32, length: Duration) -> Self {
        let now = Instant::now();
        Self { pid, began: now, warm_up: length / 4, last_look: now, warm: 0, later: 0 }
    }

    fn look(&mut self) {
        if self.last_look.elapsed() < LOOK {
            return;
        }
        self.last_look = Instant::now();
        // It may have ended by now.
        let Ok(printed) = Printed::of(self.pid) else { return };
        let largest = if self.began.elapsed() < self.warm_up { &mut self.warm } else { &mut self.later };
        *largest = (*largest).max(printed.rollup * page_size());
    }

    fn is_flat(&self) -> bool {
        self.later - self.warm <= GROWTH
    }
}

impl std::fmt::Display for OwnMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "at most {} KiB in the first quarter, {} KiB after it", self.warm / 1024, self.later / 1024)
    }
}
