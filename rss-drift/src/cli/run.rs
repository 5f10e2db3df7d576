//! Options of `run`.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use super::{duration, full::FullMode, number, size, values};
use crate::{
    output::Target,
    probe::{FullOptions, Scope},
    run::{Format, Options, Until, User},
};

#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Exit: the command's status; 128 + n after signal n; 125: rss-drift failed.",
    after_long_help = "The command starts when everything is attached. The command and all its descendants are measured. The \
        report goes to standard error; docs/run.md explains it.\n\
        Exit: the command's status; 128 + n when signal n killed it; 126 when it cannot be executed; 127 when it is not found; \
        125 when rss-drift failed; 130 after Ctrl-C, with a report up to then. A second Ctrl-C does not wait for the command.\n\n\
        Examples:\n  rss-drift run -- make -j8                     what a build's processes really took\n  \
        rss-drift run -o run.csv -- pgbench -c 100    a row per run\n  \
        rss-drift run --wait -- service-that-forks    go on until the last of its processes ends\n  \
        rss-drift run --system -- sleep 10            every process of the host for ten seconds\n  \
        sudo rss-drift run --user sudo -- make        without root's privileges for the command"
)]
pub(super) struct Args {
    /// The command and its arguments
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true)]
    command: Vec<OsString>,
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    how: How,
    #[command(flatten)]
    full: FullMode,
}

/// Who is measured, and until when.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Selection")]
struct Selection {
    /// Measure every process of the host
    ///
    /// While the command runs, instead of only the command and its descendants.
    #[arg(short = 'a', long)]
    system: bool,
    /// Measure until the last descendant has ended
    ///
    /// Without this option: until the command itself has ended.
    #[arg(long)]
    wait: bool,
    /// Kill the command this long after a signal
    ///
    /// After SIGINT, SIGTERM, SIGHUP or SIGQUIT. Without this option rss-drift waits as long as the command needs. A second signal ends rss-drift without the command.
    #[arg(long, value_name = "TIME", allow_negative_numbers = true, value_parser = duration::parse)]
    kill_after: Option<Duration>,
}

/// What is written, and where to.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Output")]
struct Output {
    /// Format of the report
    ///
    /// By default the file's ending (.txt, .json, .csv) decides.
    #[arg(long, value_parser = values::run_format())]
    format: Option<Format>,
    /// Append the report to this file
    ///
    /// Instead of writing it to standard error. `-` is standard output.
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    file: Option<PathBuf>,
    /// How long to wait for another process's lock on an output
    ///
    /// A process that appends to the same file may hold a lock (flock(2)) on it. A bare number is seconds.
    #[arg(long, value_name = "TIME", default_value = "10", allow_negative_numbers = true, hide_short_help = true, value_parser = duration::parse)]
    lock_timeout: Duration,
    /// Print the N most frequent call chains of misses
    #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true, value_parser = number::within(0..=usize::MAX))]
    misses: usize,
    /// Write all call chains of misses to this file
    ///
    /// Those of the last run, one line each, as flame-graph tools read them.
    #[arg(long, value_name = "FILE")]
    folded: Option<PathBuf>,
    /// Count readings with a |drift| of this size or more
    ///
    /// In bytes, or with a unit: 64K, 1.5M, 1GiB.
    #[arg(long, value_name = "SIZE", default_value = "1M", allow_negative_numbers = true, value_parser = size::parse)]
    threshold: u64,
    /// Show no line on the terminal while the command runs
    #[arg(long)]
    no_progress: bool,
    /// No line and no warnings: only errors and the report
    #[arg(short, long, conflicts_with = "verbose")]
    quiet: bool,
}

/// How it is measured.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Mode")]
struct How {
    /// How often to sample drift
    ///
    /// While the command runs. A bare number is seconds.
    #[arg(short, long, value_name = "TIME", default_value = "0.5", allow_negative_numbers = true, value_parser = duration::parse_interval)]
    interval: Duration,
    /// Run the command as this user, or `sudo`
    ///
    /// A name or a number. With the user's groups, HOME, SHELL, USER and LOGNAME, and without rss-drift's privileges. `sudo` is who started rss-drift by
    /// sudo (`SUDO_UID` and `SUDO_GID`).
    #[arg(long, value_name = "USER", value_parser = parse_user)]
    user: Option<User>,
    /// CPU limit of the BPF programs, in percent
    ///
    /// When they take more of the host's CPU time than this, measuring ends and the command goes on: the report is of the time before. There
    /// is no limit by default.
    #[arg(long, help_heading = "Limits", value_name = "PERCENT", allow_negative_numbers = true, value_parser = number::percent)]
    max_overhead: Option<f64>,
    /// Run the command N times
    ///
    /// The report has the mean and the spread of the figures; CSV and JSON have a row for each run.
    #[arg(short, long, value_name = "N", default_value_t = 1, allow_negative_numbers = true, value_parser = number::within(1..=1000_u32))]
    repeat: u32,
}

impl Args {
    /// Whether only errors and the report are wanted on standard error.
    pub(super) const fn is_quiet(&self) -> bool {
        self.output.quiet
    }

    pub(super) fn options(self) -> Options {
        let Self { selection, output, how, full, command } = self;
        let scope = if selection.system { Scope::System } else { Scope::Command };
        Options {
            full: FullOptions { run: Some(scope), ..full.options() },
            scope,
            until: if selection.wait { Until::LastDescendant } else { Until::Command },
            user: how.user,
            max_overhead: how.max_overhead,
            no_progress: output.no_progress || output.quiet,
            kill_after: selection.kill_after,
            interval: how.interval,
            repeat: how.repeat,
            threshold: output.threshold,
            misses: output.misses,
            folded: output.folded,
            format: output.format.unwrap_or_else(|| of_ending(output.file.as_ref())),
            output: output.file.as_deref().map(Target::new),
            lock_timeout: output.lock_timeout,
            command,
        }
    }
}

/// The format that a file's ending stands for, else text.
fn of_ending(file: Option<&PathBuf>) -> Format {
    match file.and_then(|path| path.extension()?.to_str()) {
        Some("json" | "jsonl") => Format::Json,
        Some("csv") => Format::Csv,
        _ => Format::Text,
    }
}

fn parse_user(text: &str) -> Result<User, String> {
    match text {
        "" => Err("give a user's name or number, or `sudo`".to_owned()),
        "sudo" => Ok(User::Sudo),
        name => Ok(User::Named(name.to_owned())),
    }
}
