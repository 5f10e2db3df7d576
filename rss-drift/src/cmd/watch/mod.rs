//! `rss-drift watch`: every interval, what the kernel reports beside what is exact.

mod args;
mod cost;
mod run;
mod select;

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
pub use args::Args;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, MissedTickBehavior},
};

use crate::{
    cmd::{Usage, ignore_file_size_signal},
    field::fields_help,
    output::{OutputError, check_fields, open_all, plan_outputs},
    session::Startup,
};
use args::Columns;
use run::Run;

/// Runs `watch`.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    if matches!(args.fields, Some(Columns::Help)) {
        return print(&fields_help());
    }
    ignore_file_size_signal();
    let specs = plan_outputs(args.format, &args.outputs, args.csv.as_deref())
        .map_err(|error| Usage(error.to_string()))?;
    let columns = match &args.fields {
        Some(Columns::Fields(fields)) => {
            check_fields(&specs).map_err(|error| Usage(error.to_string()))?;
            Some(fields.as_slice())
        }
        _ => None,
    };
    // The fork of the start-up checks comes before anything that may start a thread.
    let session = Startup::run().session()?;
    let sinks = open_all(&specs, columns)?;
    let mut run = Run::new(args, session, sinks)?;
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .context("cannot start the event loop")?
        .block_on(report(&mut run));
    match outcome {
        // What an output could not take is not tried again with a summary.
        Err(error) => Err(error),
        Ok(()) => {
            run.finish()?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Reports until the run is over or a signal ends it.
async fn report(run: &mut Run) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot catch SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot catch SIGTERM")?;
    let mut ticks = tokio::time::interval(run.interval());
    // After a stop (SIGSTOP, a busy host) the next report comes on the next full interval, not a burst of late ones.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    // A duration beyond what the clock can add up to has no end.
    let far = Duration::from_secs(86400 * 365 * 30);
    let end = tokio::time::sleep_until(Instant::now() + run.duration().unwrap_or(far).min(far));
    tokio::pin!(end);
    loop {
        tokio::select! {
            biased;
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            () = &mut end => return Ok(()),
            _ = ticks.tick() => {
                run.interval_over()?;
                if run.is_over() {
                    return Ok(());
                }
            }
        }
    }
}

/// Prints a text that is no report.
fn print(text: &str) -> anyhow::Result<ExitCode> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(OutputError::ClosedPipe.into()),
        Err(error) => Err(error).context("cannot write to standard output"),
    }
}
