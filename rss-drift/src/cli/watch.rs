//! Options of `watch`.

use std::{path::PathBuf, time::Duration};

use super::{Usage, duration, fail_if, full::FullMode, number, select::Select, size, valid, values};
use crate::{
    drift::{by::By, groups::Aggregate, sample::Row},
    output::{Columns, Detail, Format, Look, UsageError, check_table, plan_outputs},
    probe::{FaultPrograms, FullOptions},
    proc::Source,
    session::Mode,
    table::{Column, Record, Units, fields_help, parse_field, parse_fields},
    watch::{Condition, GroupShape, Options, Shape, Sort},
};

#[derive(Clone, Debug, clap::Args)]
#[command(next_line_help = false)]
pub(super) struct Args {
    /// Time between reports, as -i
    ///
    /// As vmstat(8) has it: rss-drift 1 5 is rss-drift -i 1 -n 5. Before -p or behind --, as -p takes several numbers.
    #[arg(value_name = "INTERVAL", help_heading = "Arguments", hide_short_help = true, allow_negative_numbers = true, conflicts_with = "interval", value_parser = interval_or_verb)]
    every: Option<Duration>,
    /// End after so many reports, as -n
    #[arg(value_name = "COUNT", help_heading = "Arguments", hide_short_help = true, allow_negative_numbers = true, conflicts_with = "count", value_parser = number::within(1..=u64::MAX))]
    times: Option<u64>,
    #[command(flatten)]
    select: Select,
    #[command(flatten)]
    rows: Rows,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    how: How,
    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    full: FullMode,
}

/// What the rows are; `None`: processes. By another name than `Option`, which clap would take for a value that need not be there.
type Grouping = Option<By>;

/// Which rows.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Selection")]
struct Rows {
    /// Rows: process, comm, cgroup, unit, container, user, host
    ///
    /// Sums over the selected processes, in which memory that several processes share as one (vfork) counts once; for control groups,
    /// units and containers beside what the group is charged, and its limit. --sort, --fields, --top, --min-rss, --min-drift and --near are
    /// then those of the groups (docs/aggregates.md).
    #[arg(long, value_name = "KIND", default_value = "process", hide_possible_values = true, hide_default_value = true, value_parser = values::by())]
    by: Grouping,
    /// Rows per report [default: table 10; csv, jsonl all]
    ///
    /// CSV and JSON lines have every selected process unless this is given.
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = number::within(0..=usize::MAX))]
    top: Option<usize>,
    /// Every process in every table
    #[arg(long, conflicts_with = "top")]
    all: bool,
    /// Sort by this field; -FIELD reverses
    ///
    /// Numbers: the largest first. Text: by the alphabet. A leading - reverses the order. `help` lists the fields.
    #[arg(long, value_name = "FIELD", default_value = "drift", allow_hyphen_values = true)]
    sort: String,
}

/// What is written, when and where to.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Output")]
struct Output {
    /// Time between reports
    ///
    /// A bare number is seconds; at least 10ms. SIGUSR1 prints a report at once.
    #[arg(short, long, value_name = "TIME", default_value = "1", allow_negative_numbers = true, value_parser = duration::parse_interval)]
    interval: Duration,
    /// Columns of the table; `help` lists them
    ///
    /// Separated by commas. A set stands for its columns: memory (of files, anonymous, shared, swapped), rfc (the shadow), kernel (each file
    /// and count), all. `all` walks the page tables too, as --resident does. Sets and columns can be mixed: cgroup,rfc.
    #[arg(long, value_name = "LIST")]
    fields: Option<String>,
    /// Units in the table: human, kib, mib or bytes
    ///
    /// human is the default on a terminal, kib elsewhere. With kib, mib and bytes, and by default wherever the table does not go to a terminal, sizes are bare numbers in this one unit, for
    /// awk and sort. The units are powers of 1,024.
    #[arg(long, value_name = "UNIT", hide_possible_values = true, ignore_case = true, value_parser = values::units())]
    units: Option<Units>,
    /// Say which processes a level parts, such as 512M
    ///
    /// The level of an alert or a limit: which processes, or with --by which groups, are below it by the reported figure and not by the exact
    /// one, or the other way round.
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true, value_parser = size::parse)]
    near: Option<u64>,
    /// Show which CPUs or threads hold the missing pages
    ///
    /// Below the table, with bars: the holders of the pages that the global count of each row does not have yet.
    #[arg(long = "where")]
    holders: bool,
    /// Append every process to this CSV file too
    ///
    /// Every column of every selected process, or with --by of every group, beside the other output (docs/csv.md, docs/aggregates.md).
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Format if no ending decides: table, csv or jsonl
    ///
    /// For standard output, and for files with another ending than .csv, .jsonl and .txt.
    #[arg(long, hide_possible_values = true, value_parser = values::format())]
    format: Option<Format>,
    /// Write here instead of standard output
    ///
    /// `-` is standard output. Several are allowed; the ending decides the format: .csv, .jsonl, .txt
    #[arg(short, long = "output", value_name = "FILE")]
    outputs: Vec<PathBuf>,
    /// How long to wait for another process's lock on an output
    ///
    /// A process that appends to the same file may hold a lock (flock(2)) on it. A bare number is seconds.
    #[arg(long, value_name = "TIME", default_value = "10", allow_negative_numbers = true, hide_short_help = true, value_parser = duration::parse)]
    lock_timeout: Duration,
}

/// What is measured, and how.
#[derive(Clone, Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[command(next_help_heading = "Mode")]
struct How {
    /// The /proc file whose RSS is the reported one
    #[arg(long, default_value = Source::Stat.name(), value_parser = values::source())]
    source: Source,
    /// Also walk the page tables: exact, costly
    ///
    /// Of the processes in the report (`smaps_rollup`): the ground truth.
    #[arg(long)]
    resident: bool,
    /// Attach nothing to a hot path: no shadow
    ///
    /// Only the iterator runs: no shadow, no peaks, no hits and misses.
    #[arg(long, conflicts_with_all = ["max_mms", "max_memory", "precise_peaks", "faults", "no_faults", "max_overhead"])]
    passive: bool,
    /// Count page faults with BPF programs
    ///
    /// Even where full mode does not need them (per-cpu accounting): it then adds half as much again to a page fault. The count begins
    /// when rss-drift first sees the process. Without this option `faults` is the kernel's count since the process began.
    #[arg(long, conflicts_with = "no_faults", hide_short_help = true)]
    faults: bool,
    /// Attach no BPF programs to page faults
    ///
    /// Even where full mode needs them (per-task accounting): full mode then sees what a thread changed only when the thread
    /// stops running.
    #[arg(long, hide_short_help = true)]
    no_faults: bool,
}

/// When it ends, and what it may cost.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
struct Limits {
    /// End after this many reports
    #[arg(short = 'n', long, value_name = "N", allow_negative_numbers = true, value_parser = number::within(1..=u64::MAX))]
    count: Option<u64>,
    /// End after this time
    #[arg(short, long, value_name = "TIME", allow_negative_numbers = true, value_parser = duration::parse)]
    duration: Option<Duration>,
    /// End with exit status 3 when this comes true
    ///
    /// FIGURE OPERATOR AMOUNT, and `for N` where it has to be so in N reports in a row: 'drift > 64MiB for 3', 'percent >= 5%', 'near 512MiB'.
    /// Figures are exact, reported, drift (too much or too little), percent (of exact), and with --by cgroup, unit or container
    /// `charge_percent` and `charged_exact_percent`. It judges every selected process, or with --by every group, whatever --top is. Of a drift counts what
    /// is certain. May be given several times; a line on standard error says which came true, and for whom (docs/alerts.md).
    #[arg(long, value_name = "CONDITION", value_parser = fail_if::parse)]
    fail_if: Vec<Condition>,
    /// CPU limit of the BPF programs
    ///
    /// In percent. When they take more of the host's CPU time than this, rss-drift goes on in passive mode.
    #[arg(long, value_name = "PERCENT", default_value = "2", hide_short_help = true, allow_negative_numbers = true, value_parser = number::percent)]
    max_overhead: f64,
}

/// Rows of the table where `--top` does not say how many.
const DEFAULT_ROWS: usize = 10;

/// What the command line asks for.
#[derive(Debug)]
pub(super) enum Asked {
    /// Print this list of fields, and nothing else.
    ListFields(String),
    Watch(Box<Options>),
}

/// The word of `--sort` and `--fields` that lists the fields.
const HELP: &str = "help";

impl Args {
    /// What is asked for.
    ///
    /// # Errors
    /// Words that do not go together.
    pub(super) fn asked(self) -> Result<Asked, Usage> {
        let Self { every, times, select, rows, output, ref how, full, limits } = self;
        let mut criteria = select.criteria();
        let (sort, list) = (rows.sort.as_str(), output.fields.as_deref());
        if sort == HELP || list == Some(HELP) {
            return Ok(Asked::ListFields(match rows.by {
                None => fields_help::<Row>(),
                Some(_) => fields_help::<Aggregate>(),
            }));
        }
        let (shape, columns) = match rows.by {
            None => (
                Shape::Processes(parse_sort(sort)?),
                Columns::Processes(list.map(parse_columns).transpose()?),
            ),
            Some(by) => {
                // Of the groups: each of their processes may be small.
                let (min_rss, min_drift) = (criteria.min_rss.take(), criteria.min_drift.take());
                let shape = GroupShape { by, sort: parse_sort(sort)?, min_rss, min_drift };
                (Shape::Groups(shape), Columns::Groups(list.map(parse_columns).transpose()?))
            }
        };
        let outputs = plan_outputs(output.format, &output.outputs, output.csv.as_deref())?;
        if list.is_some() {
            check_table(&outputs, UsageError::FieldsWithoutTable)?;
        }
        if output.holders {
            check_table(&outputs, UsageError::WhereWithoutTable)?;
            if rows.by.is_some() {
                return Err(UsageError::WhereOfGroups.into());
            }
        }
        if output.units.is_some() {
            check_table(&outputs, UsageError::UnitsWithoutTable)?;
        }
        if output.near.is_some() {
            check_table(&outputs, UsageError::NearWithoutTable)?;
        }
        let count = times.or(limits.count);
        check_conditions(&limits.fail_if, rows.by, count)?;
        // Whoever names processes wants to see each of them.
        let limit = match rows.top {
            None if rows.all || !select.pids.is_empty() => None,
            top => Some(top.unwrap_or(DEFAULT_ROWS)),
        };
        Ok(Asked::Watch(Box::new(Options {
            mode: mode(how, full),
            criteria,
            pids: select.pids,
            limit,
            machine_limit: rows.top,
            shape,
            interval: every.unwrap_or(output.interval),
            count,
            duration: limits.duration,
            source: how.source,
            resident: how.resident,
            holders: output.holders,
            columns,
            look: Look { units: output.units, detail: Detail::wanted() },
            near: output.near,
            fail_if: limits.fail_if,
            outputs,
            lock_timeout: output.lock_timeout,
            max_overhead: limits.max_overhead,
        })))
    }
}

/// Whether each condition can come true, of these rows and in so many reports.
fn check_conditions(conditions: &[Condition], by: Grouping, count: Option<u64>) -> Result<(), Usage> {
    let has_charge = by.is_some_and(By::is_control_group);
    for condition in conditions {
        let text = || condition.text.clone();
        if let Some(figure) = condition.figure().filter(|figure| figure.is_of_charge() && !has_charge) {
            let valid = fail_if::names(false).collect::<Vec<_>>().join(", ");
            return Err(Usage::NoCharge { text: text(), figure: figure.name(), valid });
        }
        if let Some(count) = count.filter(|&count| count < condition.reports) {
            return Err(Usage::TooFewReports { text: text(), reports: condition.reports, count });
        }
    }
    Ok(())
}

fn mode(how: &How, full: FullMode) -> Mode {
    if how.passive {
        return Mode::Passive;
    }
    let faults = match (how.faults, how.no_faults) {
        (true, _) => FaultPrograms::Always,
        (_, true) => FaultPrograms::Never,
        _ => FaultPrograms::Needed,
    };
    Mode::Full(FullOptions { faults, ..full.options() })
}

/// The order that `--sort` asks for.
fn parse_sort<R: Record>(text: &str) -> Result<Sort<R>, Usage> {
    let (name, reverse) = text.strip_prefix('-').map_or((text, false), |name| (name, true));
    let field = parse_field(name).map_err(|error| Usage::field("--sort", text, error))?;
    Ok(Sort { field, reverse })
}

/// An interval; any other word in its place may be a verb.
fn interval_or_verb(text: &str) -> Result<Duration, String> {
    let starts_like_a_number =
        text.trim().starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first));
    if starts_like_a_number { duration::parse_interval(text) } else { Err(valid::verbs(text)) }
}

/// The columns that `--fields` asks for.
fn parse_columns<R: Record>(text: &str) -> Result<Vec<&'static Column<R>>, Usage> {
    parse_fields(text).map_err(|error| Usage::field("--fields", text, error))
}
