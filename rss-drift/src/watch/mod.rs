//! `rss-drift watch`: every interval, what the kernel reports beside what is exact.

mod guard;
mod options;
mod run;
mod select;

use std::{process::ExitCode, time::Duration};

use anyhow::Context as _;
pub use options::{Options, Sort};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, MissedTickBehavior},
};

use crate::{
    output::{ignore_file_size_signal, open_all},
    session::{Startup, give_memory_back},
};
use run::Run;

/// Runs `watch`.
pub fn run(options: Options) -> anyhow::Result<ExitCode> {
    ignore_file_size_signal();
    // The fork of the start-up checks comes before anything that may start a thread.
    let session = Startup::run(options.mode).session()?;
    let sinks = open_all(&options.outputs, options.columns.as_deref())?;
    let mut run = Run::new(options, session, sinks)?;
    give_memory_back();
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .context("cannot start the event loop")?
        .block_on(report(&mut run));
    // What an output could not take is not tried again with a summary.
    outcome?;
    run.finish()?;
    Ok(ExitCode::SUCCESS)
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
