//! `rss-drift watch`: every interval, what the kernel reports beside what is exact.

mod condition;
mod fail_if;
mod groups;
mod made;
mod options;
mod processes;
mod reporter;
mod schedule;
mod select;
mod sort;

use std::{process::ExitCode, time::Instant};

use anyhow::Context as _;
pub(crate) use condition::{Condition, Figure, Operator, Test};
use nix::sys::signal::Signal;
pub(crate) use options::{GroupShape, Options, Shape};

use crate::{
    output::{OutputError, Outputs, ignore_file_size_signal, patience},
    select::Filter,
    session::{Event, Grace, Signals, Startup, give_memory_back, hold},
};
use reporter::Reporter;
pub(crate) use schedule::{Due, Schedule};
pub(crate) use sort::Sort;

/// The signals that end it.
const ENDS: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];
/// The signal that asks for a report.
const REPORT_NOW: Signal = Signal::SIGUSR1;
/// Exit status when a condition of `--fail-if` came true.
const CAME_TRUE: u8 = 3;

pub(crate) fn run(options: Options) -> anyhow::Result<ExitCode> {
    ignore_file_size_signal();
    // Start-up takes a second: who asks for a report meanwhile gets the first one.
    hold(REPORT_NOW).context("cannot receive signals")?;
    // What is not there is said at once, before the host is looked at.
    let filter = Filter::new(&options.criteria)?;
    // The fork of the start-up checks comes before anything that may start a thread.
    let session = Startup::check(options.mode).session()?;
    let outputs = Outputs::open(&options.outputs, &options.columns, options.look, options.lock_timeout)?;
    let mut reporter = Reporter::new(options, filter, session, outputs)?;
    give_memory_back();
    let signals = [&ENDS[..], &[REPORT_NOW]].concat();
    let mut signals = Signals::block(&signals).context("cannot receive signals")?;
    let outcome = report(&mut reporter, &mut signals);
    let (found_any, asked_for_some) = (reporter.found_any(), reporter.asked_for_some());
    let (came_true, judges) = (reporter.came_true(), !reporter.conditions.is_empty());
    let hurry = !matches!(outcome, Ok(End::AsAsked | End::Condition));
    if matches!(outcome, Ok(End::Signal)) {
        patience::hurry();
    }
    // What an output could not take is not tried again with a summary; the others have a moment for what they were given.
    let mut outputs = if outcome.is_ok() { reporter.finish() } else { reporter.abandon() };
    signals.wait_for_outputs(hurry, || outputs.are_drained()).context("cannot receive signals")?;
    outputs.say_skipped();
    let end = outcome.and_then(|end| outputs.check().map(|()| end).map_err(Into::into));
    let nobody_reads = |error: &anyhow::Error| matches!(error.downcast_ref(), Some(OutputError::ClosedPipe));
    // Who asked for reports of processes that never were has got none, also where nobody reads them; a signal ends what went on.
    Ok(match end {
        // Also where nobody reads the report.
        Ok(_) if came_true => ExitCode::from(CAME_TRUE),
        Err(error) if nobody_reads(&error) && came_true => ExitCode::from(CAME_TRUE),
        // A pipe's reader that goes is a quiet end, but not of a watch that is to say whether something came true.
        Err(error) if nobody_reads(&error) && judges => {
            log::warn!("nobody reads the output any more, and no condition was true until then");
            ExitCode::FAILURE
        }
        Ok(End::AsAsked) if !found_any => {
            log::warn!("no process was selected in any report");
            ExitCode::FAILURE
        }
        Err(error) if nobody_reads(&error) && asked_for_some && !found_any => ExitCode::FAILURE,
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => return Err(error),
    })
}

/// Why there are no more reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Signal,
    /// `-n`, `-d`, or the last process of `-p` is gone.
    AsAsked,
    /// One of `--fail-if` came true.
    Condition,
}

/// Reports until the last report is made or a signal ends it. SIGUSR1 asks for a report now; the next one stays when it is due.
fn report(reporter: &mut Reporter, signals: &mut Signals) -> anyhow::Result<End> {
    let mut schedule = Schedule::begin(Instant::now(), reporter.interval(), reporter.duration());
    // One for all reports: a signal that ends us may be behind one that asks for another.
    let grace = Grace::new(&ENDS);
    loop {
        let event = signals.wait(schedule.wait(Instant::now())).context("cannot receive signals")?;
        let signal = match event {
            Some(Event::Signal { signal, .. }) => Some(signal),
            Some(Event::Output) => {
                reporter.check_outputs()?;
                None
            }
            Some(Event::Child) | None => None,
        };
        if signal.is_some_and(|signal| ENDS.contains(&signal)) {
            return Ok(End::Signal);
        }
        match schedule.due(Instant::now(), signal == Some(REPORT_NOW)) {
            Due::Nothing => {}
            Due::End => return Ok(End::AsAsked),
            Due::Report if grace.is_over() => {}
            Due::Report => {
                reporter.interval_over(&|| grace.is_over())?;
                if reporter.came_true() {
                    return Ok(End::Condition);
                }
                if reporter.is_over() {
                    return Ok(End::AsAsked);
                }
            }
        }
    }
}
