//! `rss-drift watch`: every interval, what the kernel reports beside what is exact.

mod guard;
mod options;
mod reporter;
mod select;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use nix::sys::signal::Signal;
pub(crate) use options::{Options, Sort};

use crate::{
    output::{ignore_file_size_signal, open_all},
    session::{Event, Signals, Startup, give_memory_back},
};
use reporter::Reporter;

pub(crate) fn run(options: Options) -> anyhow::Result<ExitCode> {
    ignore_file_size_signal();
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

/// Reports until the last report is made or a signal comes.
fn report(reporter: &mut Reporter) -> anyhow::Result<End> {
    // What lasts longer has no end: the clock cannot add it up.
    const FAR: Duration = Duration::from_secs(86400 * 365 * 30);
    let mut signals = Signals::block(&[Signal::SIGINT, Signal::SIGTERM]).context("cannot receive signals")?;
    let interval = reporter.interval().min(FAR);
    let mut next = Instant::now();
    let end = next + reporter.duration().unwrap_or(FAR).min(FAR);
    loop {
        let event = signals.wait(next.min(end).saturating_duration_since(Instant::now()));
        if let Some(Event::Signal { .. }) = event.context("cannot receive signals")? {
            return Ok(End::Signal);
        }
        let now = Instant::now();
        if now >= end {
            return Ok(End::AsAsked);
        }
        if now >= next {
            next = after(next, now, interval);
            reporter.interval_over()?;
            if reporter.is_over() {
                return Ok(End::AsAsked);
            }
        }
    }
}

/// When the report after that of `due` is due. After a stop (SIGSTOP, a busy host) it comes on the next full interval: not a burst of
/// late ones.
fn after(due: Instant, now: Instant, interval: Duration) -> Instant {
    let interval = interval.as_nanos();
    let wait = interval - now.duration_since(due).as_nanos() % interval;
    now + Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_reports_are_left_out() {
        let due = Instant::now();
        let ms = Duration::from_millis;
        for (late, next) in [(0, 100), (30, 100), (100, 200), (250, 300)] {
            assert_eq!(after(due, due + ms(late), ms(100)), due + ms(next));
        }
    }
}
