//! `rss-drift watch`: every interval, what the kernel reports beside what is exact.

mod args;
mod cost;
mod guard;
mod run;
mod select;

use std::{process::ExitCode, time::Duration};

use anyhow::Context as _;
pub use args::Args;
pub use cost::CpuClock;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, MissedTickBehavior},
};

use crate::{
    cmd::{Usage, ignore_file_size_signal, print},
    field::fields_help,
    output::{UsageError, check_table, open_all, plan_outputs},
    session::Startup,
};
use args::Columns;
use run::Run;

/// Runs `watch`.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    if matches!(args.fields, Some(Columns::Help)) {
        print(&fields_help())?;
        return Ok(ExitCode::SUCCESS);
    }
    ignore_file_size_signal();
    let specs = plan_outputs(args.format, &args.outputs, args.csv.as_deref())
        .map_err(|error| Usage(error.to_string()))?;
    let columns = match &args.fields {
        Some(Columns::Fields(fields)) => {
            check_table(&specs, UsageError::FieldsWithoutTable).map_err(|error| Usage(error.to_string()))?;
            Some(fields.as_slice())
        }
        _ => None,
    };
    if args.holders {
        check_table(&specs, UsageError::WhereWithoutTable).map_err(|error| Usage(error.to_string()))?;
    }
    // The fork of the start-up checks comes before anything that may start a thread.
    let session = Startup::run(args.mode()).session()?;
    let sinks = open_all(&specs, columns)?;
    let mut run = Run::new(args, session, sinks)?;
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

/// Start-up reads the kernel's type information, megabytes in many small pieces, and needs none of it later: the allocator
/// would keep them for as long as we run.
pub fn give_memory_back() {
    // SAFETY: gives back pages that nothing uses; it has no other effect.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}
