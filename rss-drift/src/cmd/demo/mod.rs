//! `rss-drift demo`: the program of Kairui Song's RFC (28 July 2022), run in a child, and what each source says of it.

mod child;
mod limits;
mod need;
mod report;

use std::{process::ExitCode, thread::sleep, time::Duration};

use anyhow::Context as _;

use crate::{
    cmd::{demo::child::Child, print},
    drift::{
        collect::{self, Rules},
        sample::{Note, Row},
    },
    kernel::tunables::Cpus,
    probe::Probe,
    proc::{Source, Wanted},
    session::{Mode, Startup},
};
use limits::{check, host};
use need::Need;
use report::Report;

/// Options of `demo`.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Every thread touches memory of its own and sleeps; then all figures are read beside each other.\n\
        Exit: 0 done; 1 when it cannot be measured or a limit forbids it (which one, and the number that fits).\n\n\
        Examples:\n  rss-drift demo                         the RFC's size: 10,000 threads, 1.4 GiB\n  \
        rss-drift demo --spread                the pages in the slots of all CPUs\n  \
        rss-drift demo --threads 500 --json | jq .sources.stat.missing_percent"
)]
pub struct Args {
    /// Threads that touch memory
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    threads: u32,
    /// Pages of 4 KiB that each of them touches, once
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    pages: u32,
    /// Bind each thread to a CPU, round and round over all that may be used
    #[arg(long)]
    spread: bool,
    /// One JSON object instead of text, sizes in bytes
    #[arg(long)]
    json: bool,
}

/// How often the child is read until two readings are equal.
const READINGS: usize = 100;
/// Time between two of them.
const PAUSE: Duration = Duration::from_millis(20);

/// Runs the demo and prints its report.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    // The forks of the start-up checks and of the child come before anything that may start a thread.
    let mut session = Startup::run(Mode::Passive).session()?;
    let need =
        Need { threads: args.threads.into(), pages: args.pages.into(), page_size: session.kernel.page_size };
    check(&host::figures(), &need)?;
    let mut child = Child::start(&need, args.spread)?;
    child.wait_until_touched()?;
    let rules = session.rules(Source::Stat, Wanted { resident: true, cgroup: false });
    let (row, at_rest) = measure(&mut session.probe, child.pid(), &rules)?;
    let cpus = Cpus::read()?;
    let report = Report {
        need: &need,
        spread: args.spread,
        host: &session.host(),
        cpus: &cpus,
        rules: &rules,
        row: &row,
        at_rest,
    };
    let text = if args.json { report.json()? } else { report.text() };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Reads the child until it is at rest: two readings are equal and nothing moved around the second. After too many
/// readings the last one, and that it was not.
fn measure(probe: &mut Probe, pid: u32, rules: &Rules) -> anyhow::Result<(Row, bool)> {
    let mut last: Option<Row> = None;
    for _ in 0..READINGS {
        let before = probe.snapshot()?;
        let row = collect::rows(probe, before, &[pid], rules, &mut collect::Faults::default())?.pop();
        let row = row.with_context(|| format!("the demo's child {pid} ended while it was read"))?;
        let still = row.moved == Some(0) && !row.notes.contains(&Note::Uncertain);
        if still && last.as_ref().is_some_and(|last| last.exact == row.exact) {
            return Ok((row, true));
        }
        last = Some(row);
        sleep(PAUSE);
    }
    last.map(|row| (row, false)).context("the demo's child was not read even once")
}
