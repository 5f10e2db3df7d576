//! `rss-drift watch`: every interval, what the kernel reports beside what is exact.

mod options;
mod reporter;
mod schedule;
mod select;

use std::{process::ExitCode, time::Instant};

use anyhow::Context as _;
use nix::sys::signal::Signal;
pub(crate) use options::{Options, Sort};

use crate::{
    output::{ignore_file_size_signal, open_all},
    session::{Event, Signals, Startup, give_memory_back, hold},
};
use reporter::Reporter;
pub(crate) use schedule::{Due, Schedule};

/// The signal that asks for a report.
const REPORT_NOW: Signal = Signal::SIGUSR1;

pub(crate) fn run(options: Options) -> anyhow::Result<ExitCode> {
    ignore_file_size_signal();
    // Start-up takes a second: who asks for a report meanwhile gets the first one.
    hold(REPORT_NOW).context("cannot receive signals")?;
    // The fork of the start-up checks comes before anything that may start a thread.
    let session = Startup::check(options.mode).session()?;
    let sinks = open_all(&options.outputs, options.columns.as_deref())?;
    let mut reporter = Reporter::new(options, session, sinks)?;
    give_memory_back();
    // What an output could not take is not tried again with a summary.
    let end = report(&mut reporter)?;
    reporter.finish()?;
    // Who asked for reports of processes that never were has got none; a signal ends what went on.
    Ok(ExitCode::from(u8::from(end == End::AsAsked && !reporter.found_any())))
}

/// Why there are no more reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Signal,
    /// `-n`, `-d`, or the last process of `-p` is gone.
    AsAsked,
}

/// Reports until the last report is made or a signal ends it. SIGUSR1 asks for a report now; the next one stays when it is due.
fn report(reporter: &mut Reporter) -> anyhow::Result<End> {
    const ENDS: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];
    let signals = [&ENDS[..], &[REPORT_NOW]].concat();
    let mut signals = Signals::block(&signals).context("cannot receive signals")?;
    let mut schedule = Schedule::begin(Instant::now(), reporter.interval(), reporter.duration());
    loop {
        let event = signals.wait(schedule.wait(Instant::now())).context("cannot receive signals")?;
        let signal = match event {
            Some(Event::Signal { signal, .. }) => Some(signal),
            Some(Event::Child) | None => None,
        };
        if signal.is_some_and(|signal| ENDS.contains(&signal)) {
            return Ok(End::Signal);
        }
        match schedule.due(Instant::now(), signal == Some(REPORT_NOW)) {
            Due::Nothing => {}
            Due::End => return Ok(End::AsAsked),
            Due::Report => {
                reporter.interval_over()?;
                if reporter.is_over() {
                    return Ok(End::AsAsked);
                }
            }
        }
    }
}
