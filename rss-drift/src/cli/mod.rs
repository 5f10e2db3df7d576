//! The command line: parsed, and handed to the verb. One file per verb, which knows its options; only here is clap known.

mod demo;
mod doctor;
mod duration;
mod explain;
mod fail_if;
mod full;
#[cfg(test)]
mod fuzz;
mod number;
mod oom;
mod run;
mod select;
mod size;
mod valid;
mod values;
mod watch;

use std::{
    ffi::OsString,
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::{CommandFactory as _, Parser, Subcommand, error::ErrorKind};

use crate::{
    kernel::btf,
    output::{OutputError, UsageError, print, stderr, with_causes},
    session::Inherited,
    table::{FieldError, clean_lines},
};

/// Show how far the RSS that Linux reports is from the exact value, for every process.
#[derive(Debug, Parser)]
#[command(
    name = "rss-drift",
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Without a command: watch. Needs root, or CAP_BPF and CAP_PERFMON; try `rss-drift doctor`.",
    after_long_help = "Without a command: watch. Needs root, or CAP_BPF and CAP_PERFMON; try `rss-drift doctor`.\n\n\
        Examples:\n  rss-drift                              the ten processes with the largest drift, every second\n  \
        rss-drift -p 1234 -i 0.5 -n 20         one process, twenty times\n  \
        rss-drift 1 5 --unit nginx             the processes of a service, five times\n  \
        rss-drift --min-drift 1M               who is off by 1 MiB or more\n  \
        rss-drift --by unit --near 512M        which services cross a level, and how near each is its limit\n  \
        rss-drift --fail-if 'drift > 64M'      end with status 3 when a process is off by more\n  \
        rss-drift --all --resident -n 1        every process beside a walk of its page tables\n  \
        rss-drift -p 1234 --where              which CPUs or threads hold the missing pages\n  \
        rss-drift explain 1234                 what each tool says of a process, and why they differ\n  \
        rss-drift oom                          whom the OOM killer would take, and whom by exact RSS\n  \
        rss-drift watch --csv drift.csv        the table, and every process and column into a file\n  \
        rss-drift run -- make -j8              true peaks of a command, and the RFC's cache\n  \
        rss-drift demo                         10,000 threads: how far off this kernel is\n  \
        rss-drift doctor                       what measuring needs, and what is missing\n\n\
        Exit status:\n  \
        0  done, or ended by Ctrl-C, SIGTERM or SIGHUP\n  \
        1  cannot measure, or cannot write\n  \
        2  the command line is wrong\n  \
        3  a condition of --fail-if came true\n  \
        run: the command's own, 126, 127 or 128 + N as shells give it, and 125 when rss-drift itself fails"
)]
struct Cli {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// Log more to standard error (-vv: even more)
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
    /// Read the kernel's types from this file: a vmlinux, or BTF as it is
    ///
    /// For hosts whose /sys/kernel/btf/vmlinux cannot be read. The file must be of the running kernel: it holds what that file holds, or
    /// has the build ID of /sys/kernel/notes. Without this option the kernel's own file is read, else a vmlinux in /boot, /lib/modules or
    /// /usr/lib/debug.
    #[arg(long, value_name = "FILE", global = true, hide_short_help = true)]
    btf: Option<PathBuf>,
    #[command(flatten)]
    watch: watch::Args,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show the reported and the exact RSS at every interval (the default)
    ///
    /// The processes with the largest drift come first.
    Watch(Box<watch::Args>),
    /// Measure a command and its descendants: true peaks and drift
    ///
    /// Also shows the hits and misses that the RFC's cache would have had.
    Run(Box<run::Args>),
    /// Show what each reader says of one process, and why
    ///
    /// Every tool's figure with its file, exact or not here, where the difference is, and what RSS does not say.
    Explain(Box<explain::Args>),
    /// Show whom the OOM killer would take, and whom by exact RSS
    ///
    /// All candidates in the order in which this kernel ranks them, of the host or of a control group, beside the order by exact RSS.
    Oom(oom::Args),
    /// Run the RFC's program and compare what each source reports
    ///
    /// The program has thousands of threads that touch memory and sleep.
    Demo(demo::Args),
    /// Check what measuring needs on this host, and name remedies
    Doctor(doctor::Args),
}

/// Runs the command line `args`, of which the first is the program's name. Exit: 0 done, 1 cannot measure or cannot
/// write, 2 usage, 3 a condition of `--fail-if` came true.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let code = dispatch(args);
    stderr::flush();
    code
}

fn dispatch(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let inherited = match Inherited::note() {
        Ok(inherited) => inherited,
        Err(error) => {
            let _ = writeln!(io::stderr(), "rss-drift: cannot ask which signals are blocked: {error}");
            return ExitCode::from(if is_run(&args) { crate::run::FAILURE } else { 1 });
        }
    };
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) => {
            // clap knows where its text goes: help to standard output, errors to standard error. A closed pipe ends us.
            if error.use_stderr() && args.iter().any(moves_the_cursor) {
                // clap repeats the words that it refuses as they are.
                let _ = write!(io::stderr(), "{}", clean_lines(&error.render().to_string()));
            } else {
                let _ = error.print();
            }
            if error.kind() == ErrorKind::UnknownArgument {
                let _ = writeln!(io::stderr(), "{}", valid::options(Cli::command(), &args));
            }
            return ExitCode::from(match (error.use_stderr(), is_run(&args)) {
                (false, _) => 0,
                (true, true) => crate::run::FAILURE,
                (true, false) => 2,
            });
        }
    };
    if let Some(file) = cli.btf {
        btf::choose(file);
    }
    let level = match cli.verbose {
        0 => log::LevelFilter::Warn,
        1 => log::LevelFilter::Info,
        _ => log::LevelFilter::Debug,
    };
    // A second call in one process (tests) keeps the first logger.
    let log = env_logger::Target::Pipe(Box::new(stderr::Log));
    let _ = env_logger::Builder::new()
        .filter_level(level)
        // aya warns of a release that is no three numbers (`7.3-amd64`), and goes on: nothing that we use asks for the number.
        .filter_module(
            "aya::util",
            if level > log::LevelFilter::Warn { level } else { log::LevelFilter::Error },
        )
        .format(|out, record| {
            let text = clean_lines(&record.args().to_string());
            writeln!(out, "[{:<5} {}] {text}", record.level(), record.target())
        })
        .target(log)
        .try_init();
    let outcome = match cli.verb {
        None => watch(cli.watch),
        Some(Verb::Watch(args)) => watch(*args),
        Some(Verb::Run(args)) if args.is_quiet() => {
            log::set_max_level(log::LevelFilter::Error);
            return crate::run::run(&args.options(), &inherited);
        }
        Some(Verb::Run(args)) => return crate::run::run(&args.options(), &inherited),
        Some(Verb::Explain(args)) => crate::explain::run(&args.options()),
        Some(Verb::Oom(args)) => {
            args.options().map_err(Into::into).and_then(|options| crate::oom::run(&options))
        }
        Some(Verb::Demo(args)) => crate::demo::run(&args.options()),
        Some(Verb::Doctor(args)) => crate::doctor::run(args.format()),
    };
    match outcome {
        Ok(code) => code,
        Err(error) if matches!(error.downcast_ref(), Some(OutputError::ClosedPipe)) => ExitCode::SUCCESS,
        Err(error) => {
            stderr::say(&format!("rss-drift: {}\n", clean_lines(&with_causes(&error))));
            ExitCode::from(if error.is::<Usage>() { 2 } else { 1 })
        }
    }
}

/// Whether a word of the command line has something that a terminal does not show as it is.
fn moves_the_cursor(word: &OsString) -> bool {
    let word = word.to_string_lossy();
    clean_lines(&word) != word
}

/// `watch`, or the list of its fields.
fn watch(args: watch::Args) -> anyhow::Result<ExitCode> {
    match args.asked()? {
        watch::Asked::ListFields(list) => {
            print(&list)?;
            Ok(ExitCode::SUCCESS)
        }
        watch::Asked::Watch(options) => crate::watch::run(*options),
    }
}

/// Whether the verb is `run`, whose exit statuses are the command's: of a line that clap refuses too.
fn is_run(args: &[OsString]) -> bool {
    valid::first_word(&Cli::command(), args).is_some_and(|word| word == "run")
}

/// Words of the command line that do not go together: exit 2.
#[derive(Debug, thiserror::Error)]
enum Usage {
    #[error(transparent)]
    Outputs(#[from] UsageError),
    #[error("give one --cgroup, --unit or --container: an OOM is of one control group, or of the host")]
    SeveralGroups,
    /// Which fields there are depends on what the rows are, so that clap cannot look at a field by itself.
    #[error("invalid value '{value}' for '{option}': {error}")]
    Field { option: &'static str, value: String, error: FieldError },
    /// Only control groups have a charge.
    #[error(
        "invalid value '{text}' for '--fail-if': {figure} is a figure of --by cgroup, unit and container; here valid are: {valid}"
    )]
    NoCharge { text: String, figure: &'static str, valid: String },
    #[error("invalid value '{text}' for '--fail-if': it takes {reports} reports, and -n {count} ends before")]
    TooFewReports { text: String, reports: u64, count: u64 },
}

impl Usage {
    fn field(option: &'static str, value: &str, error: FieldError) -> Self {
        Self::Field { option, value: value.to_owned(), error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_do_not_contradict_each_other() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_verb_is_no_value_of_an_option() {
        let is_run = |line: &str| is_run(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        for line in [
            "rss-drift run",
            "rss-drift run --bad",
            "rss-drift run --bad -- true",
            "rss-drift run -i x -- true",
            "rss-drift run -n 3 -- watch",
            "rss-drift --btf /x run --bad -- true",
            "rss-drift --btf=/x -vv run -i 0 -- true",
            // What clap refuses, and somebody means `run`.
            "rss-drift -i1 -vi 1 -p 1 --where run -- true",
            "rss-drift --bad run -- true",
            "rss-drift run --btf",
        ] {
            assert!(is_run(line), "{line}");
        }
        for line in [
            "rss-drift",
            "rss-drift --bad",
            "rss-drift --comm run --bad",
            "rss-drift watch --comm run --bad",
            "rss-drift -i 1 --unit run -n x",
            "rss-drift --btf run watch --bad",
            "rss-drift wacht run",
            "rss-drift -vp 1 run",
            "rss-drift -- run",
            "rss-drift explain run",
        ] {
            assert!(!is_run(line), "{line}");
        }
    }

    #[test]
    fn the_short_help_of_a_verb_fits_a_screen() {
        for verb in ["watch", "run", "explain", "oom", "demo", "doctor"] {
            let mut command = Cli::command();
            command.build();
            let command = command.find_subcommand(verb).expect(verb).clone();
            let help = command.term_width(80).render_help().to_string();
            assert!(help.lines().count() <= 40, "{help}");
        }
    }
}
