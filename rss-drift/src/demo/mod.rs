//! `rss-drift demo`: the program of Kairui Song's RFC (28 July 2022), run in a child, and what each source says of it.

mod child;
mod limits;
mod need;
mod report;

use std::{process::ExitCode, thread::sleep, time::Duration};

use anyhow::Context as _;

use crate::{
    drift::{
        collect::{self, Earlier, Rules},
        sample::{Note, Row},
    },
    kernel::tunables::Cpus,
    output::{ReportFormat, print},
    probe::Probe,
    proc::{Source, Wanted},
    session::{Mode, Startup},
};
pub(crate) use child::Placement;

use child::Child;
use limits::NoMemory;
use need::Need;
use report::Report;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub threads: u32,
    /// Pages that each of them touches.
    pub pages: u32,
    pub placement: Placement,
    pub format: ReportFormat,
}

impl Options {
    /// What that takes.
    ///
    /// # Errors
    /// Where the host has less.
    pub(crate) fn need(&self, page_size: u64) -> Result<Need, NoMemory> {
        let need = Need { threads: self.threads.into(), pages: self.pages.into(), page_size };
        limits::check_memory(&need).map(|()| need)
    }
}

/// How often the child is read until two readings are equal.
const READINGS: usize = 100;
/// Time between two of them.
const PAUSE: Duration = Duration::from_millis(20);

/// Runs the demo and prints its report.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    // The forks of the start-up checks and of the child come before anything that may start a thread.
    let mut session = Startup::check(Mode::Passive).session()?;
    let need = options.need(session.kernel.page_size)?;
    let mut child = Child::start(&need, options.placement)?;
    child.wait_until_touched()?;
    let rules = session.rules(Source::Stat, Wanted { resident: true, ..Wanted::default() });
    let (row, idle) = measure(&mut session.probe, child.pid(), &rules)?;
    let report = Report {
        need,
        spread: options.placement == Placement::Spread,
        host: session.host(),
        cpus: Cpus::read()?,
        rules,
        row,
        idle,
    };
    let text = match options.format {
        ReportFormat::Text => report.text(),
        ReportFormat::Json => report.json()?,
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Reads the child until it is idle: two readings are equal and nothing moved around the second. After too many
/// readings the last one, and that it was not.
fn measure(probe: &mut Probe, pid: u32, rules: &Rules) -> anyhow::Result<(Row, bool)> {
    let mut last: Option<Row> = None;
    for _ in 0..READINGS {
        let before = probe.snapshot()?;
        let (mut earlier, mut problems) = (Earlier::default(), collect::Problems::default());
        let rows = collect::rows(probe, before, &[pid], rules, &mut earlier, &mut problems, &|| false)?;
        let row = rows.and_then(|mut rows| rows.pop());
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
