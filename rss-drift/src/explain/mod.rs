//! `rss-drift explain`: one process, every reader's figure of its memory, and where the differences are.

#[cfg(test)]
mod doc;
mod figures;
mod reading;
mod text;

use std::{
    io::{self, IsTerminal as _},
    os::fd::AsRawFd as _,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use nix::sys::signal::{SigSet, Signal};

use crate::{
    output::{ReportFormat, print, window_width},
    probe::FullOptions,
    session::{Event, Mode, Session, Signals, Startup},
    table::Units,
};
use reading::Explanation;

/// The signals that end the time of `--duration`.
const ENDS: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub pid: u32,
    /// How long to follow its peaks first, in full mode; `None`: read at once, in passive mode.
    pub duration: Option<Duration>,
    /// Units of the text; `None`: for people on a terminal, else bare KiB.
    pub units: Option<Units>,
    pub format: ReportFormat,
}

/// Reads the process and prints what was found.
///
/// # Errors
/// Where it cannot be measured, or is not there.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let mode = match options.duration {
        None => Mode::Passive,
        Some(_) => Mode::Full(FullOptions::default()),
    };
    let startup = Startup::check(mode);
    let mut session = if options.duration.is_some() { startup.full_session()? } else { startup.session()? };
    let snapshot = session.probe.snapshot()?;
    reading::find(&snapshot, options.pid)?;
    let since = options.duration.map(|_| snapshot.time);
    if let Some(duration) = options.duration {
        follow(&mut session, options.pid, duration)?;
    }
    let explanation = Explanation::take(&mut session, options.pid, since)?;
    let text = match options.format {
        ReportFormat::Json => figures::json(&explanation),
        ReportFormat::Text => {
            let stdout = io::stdout();
            let width = window_width(stdout.as_raw_fd()).filter(|_| stdout.is_terminal());
            let usual = if stdout.is_terminal() { Units::Human } else { Units::Kib };
            text::text(&explanation, options.units.unwrap_or(usual), width)
        }
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Waits until the time is over, a signal comes or the process is gone.
fn follow(session: &mut Session, pid: u32, duration: Duration) -> anyhow::Result<()> {
    /// How often it is asked whether the process is still there.
    const ASK: Duration = Duration::from_secs(1);
    let before = SigSet::thread_get_mask().context("cannot receive signals")?;
    let mut signals = Signals::block(&ENDS).context("cannot receive signals")?;
    let end = Instant::now() + duration;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let event = signals.wait(left.min(ASK)).context("cannot receive signals")?;
        if left.is_zero() || matches!(event, Some(Event::Signal { .. })) {
            // The walk of page tables that follows may be long: a second signal ends it.
            before.thread_set_mask().context("cannot receive signals")?;
            return Ok(());
        }
        reading::find(&session.probe.snapshot()?, pid)?;
    }
}
