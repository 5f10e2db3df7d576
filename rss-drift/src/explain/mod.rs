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

use anyhow::{Context as _, bail};
use nix::sys::signal::{SigSet, Signal};

use crate::{
    drift::collect::{comm, reading},
    output::{ReportFormat, print, window_width},
    probe::{FullOptions, Mm, Snapshot},
    proc::{Source, Wanted},
    select::{Criteria, Filter},
    session::{Event, Mode, Session, Signals, Startup},
    table::Units,
};
use reading::Explanation;

/// The signals that end the time of `--duration`.
const ENDS: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// It is one of these. Empty: any.
    pub pids: Vec<u32>,
    /// What else selects it.
    pub criteria: Criteria,
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
    let mut filter = Filter::new(&options.criteria)?;
    let startup = Startup::check(mode);
    let mut session = if options.duration.is_some() { startup.full_session()? } else { startup.session()? };
    let snapshot = session.probe.snapshot()?;
    let pid = choose(&session, &snapshot, options, &mut filter)?;
    let since = options.duration.map(|_| snapshot.time);
    if let Some(duration) = options.duration {
        follow(&mut session, pid, duration)?;
    }
    let explanation = Explanation::take(&mut session, pid, since)?;
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

/// The selected process; of several the one with the largest drift, which is said.
fn choose(
    session: &Session,
    snapshot: &Snapshot,
    options: &Options,
    filter: &mut Filter,
) -> anyhow::Result<u32> {
    // Why they are not there, or have no memory.
    let missing: Vec<_> = options.pids.iter().filter_map(|&pid| reading::find(snapshot, pid).err()).collect();
    match (missing.first(), &options.pids[..]) {
        (Some(why), pids) if missing.len() == pids.len() => return Err(why.clone().into()),
        (None, &[pid]) if !filter.is_selective() => return Ok(pid),
        _ => missing.iter().for_each(|why| log::warn!("{why}; the other processes of -p are looked at")),
    }
    let among = |mm: &Mm| options.pids.is_empty() || options.pids.contains(&mm.tgid);
    let rules = session.rules(Source::Stat, Wanted::NOTHING);
    let chosen = filter.choose(snapshot, session.probe.cgroup_version(), &rules, &among, &|| false);
    let chosen = chosen.unwrap_or_default();
    let drift =
        |mm: &Mm| reading(mm, rules.precisions.stat).map_or(0, |reading| reading.drift().unsigned_abs());
    let mms = chosen.iter().filter_map(|&pid| snapshot.process(pid));
    let Some(largest) = mms.max_by_key(|mm| drift(mm)) else {
        filter.tell_unseen();
        bail!("no process with memory is selected")
    };
    if chosen.len() > 1 {
        let (count, pid, name) = (chosen.len(), largest.tgid, comm(largest));
        log::warn!("{count} processes are selected; this is the one with the largest drift: {pid} ({name})");
    }
    Ok(largest.tgid)
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
