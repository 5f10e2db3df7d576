//! The command line: one file per verb. Each composes the parts; nothing below knows of it.

mod demo;
mod doctor;
mod duration;
mod run;
mod valid;
mod values;
mod watch;

use std::{
    ffi::OsString,
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser, Subcommand, error::ErrorKind};

use crate::output::OutputError;

/// The exact resident set of every process beside what the kernel reports.
#[derive(Debug, Parser)]
#[command(
    name = "rss-drift",
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Without a command: watch. Needs root, or CAP_BPF and CAP_PERFMON; try `rss-drift doctor`.\n\n\
        Examples:\n  rss-drift                              the ten processes that drift most, every second\n  \
        rss-drift -p 1234 -i 0.5 -n 20         one process, twenty times\n  \
        rss-drift --all --resident -n 1        every process beside a walk of its page tables\n  \
        rss-drift -p 1234 --where              which CPUs or threads hold the missing pages\n  \
        rss-drift watch --csv drift.csv        the table, and every column into a file\n  \
        rss-drift run -- make -j8              true peaks of a command, and the RFC's cache\n  \
        rss-drift demo                         10,000 threads: how wrong this kernel is\n  \
        rss-drift doctor                       what this host has for measuring, and what is missing"
)]
struct Cli {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    watch: watch::Args,
    /// Say more on standard error (-vv: even more)
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Every interval: what the kernel reports and what is exact, the largest drift first (the default)
    Watch(Box<watch::Args>),
    /// A command and all that descends from it: true peaks, drift, and what the RFC's cache would make of its updates
    Run(Box<run::Args>),
    /// The RFC's program, thousands of threads that touch memory and sleep: what each source says of it
    Demo(demo::Args),
    /// What this host has for measuring: found, missing, remedy
    Doctor(doctor::Args),
}

/// Runs the command line `args`, of which the first is the program's name. Exit: 0 done, 1 cannot measure or cannot
/// write, 2 usage.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) => {
            // clap knows where its text goes: help to standard output, errors to standard error. A closed pipe ends us.
            let _ = error.print();
            if error.kind() == ErrorKind::UnknownArgument {
                let _ = writeln!(io::stderr(), "{}", valid::options(Cli::command(), &args));
            }
            return ExitCode::from(match (error.use_stderr(), is_run(&args)) {
                (false, _) => 0,
                (true, true) => run::FAILURE,
                (true, false) => 2,
            });
        }
    };
    let level = match cli.verbose {
        0 => log::LevelFilter::Warn,
        1 => log::LevelFilter::Info,
        _ => log::LevelFilter::Debug,
    };
    // A second call in one process (tests) keeps the first logger.
    let _ = env_logger::Builder::new().filter_level(level).format_timestamp(None).try_init();
    let outcome = match cli.verb {
        None => watch::run(cli.watch),
        Some(Verb::Watch(args)) => watch::run(*args),
        Some(Verb::Run(args)) => return run::run(&args),
        Some(Verb::Demo(args)) => demo::run(&args),
        Some(Verb::Doctor(args)) => doctor::run(&args),
    };
    match outcome {
        Ok(code) => code,
        Err(error) if matches!(error.downcast_ref(), Some(OutputError::ClosedPipe)) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell when standard error is closed too.
            let _ = writeln!(io::stderr(), "rss-drift: {error:#}");
            ExitCode::from(if error.is::<Usage>() { 2 } else { 1 })
        }
    }
}

/// Whether the verb is `run`, whose exit statuses are the command's.
fn is_run(args: &[OsString]) -> bool {
    let verb = args.iter().skip(1).find(|word| !word.to_string_lossy().starts_with('-'));
    verb.is_some_and(|verb| verb == "run")
}

/// Words of the command line that do not go together: exit 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

/// Prints a text that is no report of an interval to standard output.
fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(OutputError::ClosedPipe.into()),
        Err(error) => Err(error).context("cannot write to standard output"),
    }
}

/// A write beyond `RLIMIT_FSIZE` is to fail with an error that we can tell, not to kill us.
fn ignore_file_size_signal() {
    // SAFETY: ignoring a signal runs no handler.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}
