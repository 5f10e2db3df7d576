//! Options of `watch`.

use std::{path::PathBuf, time::Duration};

use crate::{
    cmd::{duration, values},
    field::{self, Field},
    output::Format,
    probe::{FaultPrograms, FullOptions},
    proc::Source,
    session::Mode,
};

/// Options of `watch`.
#[derive(Clone, Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[command(next_line_help = false)]
pub struct Args {
    /// Only these processes (several: -p 1,2 or -p 1 -p 2); the run ends when the last of them does
    #[arg(short, long = "pid", value_name = "PID", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..))]
    pub pids: Vec<u32>,
    /// Only processes of this name, as `ps -C` takes it (several: --comm a,b)
    #[arg(long = "comm", value_name = "NAME", value_delimiter = ',')]
    pub comms: Vec<String>,
    /// Time from one report to the next; a bare number is seconds
    #[arg(short, long, value_name = "TIME", default_value = "1", allow_negative_numbers = true, value_parser = duration::parse)]
    pub interval: Duration,
    /// End after this many reports
    #[arg(short = 'n', long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// End after this time
    #[arg(short, long, value_name = "TIME", allow_negative_numbers = true, value_parser = duration::parse)]
    pub duration: Option<Duration>,
    /// Rows per report
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub top: usize,
    /// Every process in every report
    #[arg(long, conflicts_with = "top")]
    pub all: bool,
    /// Sort by this field, the largest first, text by the alphabet; a leading - turns it round
    #[arg(long, value_name = "FIELD", default_value = "drift", allow_hyphen_values = true, value_parser = parse_sort)]
    pub sort: Sort,
    /// The /proc file whose figure is the reported one
    #[arg(long, default_value = Source::Stat.name(), value_parser = values::source())]
    pub source: Source,
    /// Columns of the table, separated by commas; `help` lists them
    #[arg(long, value_name = "LIST", value_parser = parse_columns)]
    pub fields: Option<Columns>,
    /// Also walk the page tables of the processes shown (`smaps_rollup`): the ground truth, costly
    #[arg(long)]
    pub resident: bool,
    /// The iterator only, nothing attached to a hot path: no shadow, no peaks, no hits and misses
    #[arg(long)]
    pub passive: bool,
    /// Memory maps that full mode can follow at once (default: twice as many as live now, at least 4096)
    #[arg(long, value_name = "N", conflicts_with = "passive", value_parser = clap::value_parser!(u32).range(1..=1 << 22))]
    pub max_mms: Option<u32>,
    /// The most memory for what full mode keeps per CPU and memory map, in MiB [default: 64]
    #[arg(long, value_name = "MIB", conflicts_with = "passive", value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pub max_memory: Option<u64>,
    /// Publish every update, by an atomic operation instead of one per batch: where several CPUs change one process at once its peak may
    /// then differ by a page less than the kernel's batch for each other CPU, instead of by three times that (per-cpu accounting)
    #[arg(long, conflicts_with = "passive")]
    pub precise_peaks: bool,
    /// Count page faults by programs of our own, from when we know a process, also where the shadow does not need them
    /// (per-cpu accounting): full mode then adds half as much again to a page fault. Else `faults` is the kernel's count since the process began
    #[arg(long, conflicts_with_all = ["passive", "no_faults"])]
    pub faults: bool,
    /// Full mode without programs on page faults, also where the shadow needs them (per-task accounting): it then sees what
    /// a thread did when the thread stops running
    #[arg(long, conflicts_with = "passive")]
    pub no_faults: bool,
    /// Step down to passive mode when our programs take more than this share of the host's CPU time, in percent
    #[arg(long, value_name = "PERCENT", default_value = "2", conflicts_with = "passive", value_parser = parse_percent)]
    pub max_overhead: f64,
    /// Below the table: which CPUs' or threads' caches hold what the global count of each row lacks, as bars
    #[arg(long = "where")]
    pub holders: bool,
    /// Append every column of every row to this CSV file, beside the other output (docs/csv.md)
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// How to write to standard output, and to files whose ending does not say
    #[arg(long, value_parser = values::format())]
    pub format: Option<Format>,
    /// Write here instead of standard output (`-`); several allowed, format by the ending: .csv, .jsonl, .txt
    #[arg(short, long = "output", value_name = "FILE")]
    pub outputs: Vec<PathBuf>,
}

/// What `--sort` says.
#[derive(Clone, Copy, Debug)]
pub struct Sort {
    /// By which field.
    pub field: &'static Field,
    /// The other way round.
    pub reverse: bool,
}

/// What `--fields` says.
#[derive(Clone, Debug)]
pub enum Columns {
    /// List the fields and end.
    Help,
    /// These columns.
    Fields(Vec<&'static Field>),
}

impl Args {
    /// What to measure with.
    #[must_use]
    pub fn mode(&self) -> Mode {
        if self.passive {
            return Mode::Passive;
        }
        Mode::Full(FullOptions {
            max_mms: self.max_mms,
            max_memory: self.max_memory.map(|mib| mib << 20),
            precise_peaks: self.precise_peaks,
            faults: match (self.faults, self.no_faults) {
                (true, _) => FaultPrograms::Always,
                (_, true) => FaultPrograms::Never,
                _ => FaultPrograms::Needed,
            },
            ..FullOptions::default()
        })
    }
}

/// A share above 0 and up to 100, with or without the sign.
fn parse_percent(text: &str) -> Result<f64, String> {
    let number = text.trim().trim_end_matches('%').parse().ok();
    number
        .filter(|percent| *percent > 0.0 && *percent <= 100.0)
        .ok_or_else(|| "give a percentage above 0 and up to 100, such as 2 or 0.5%".to_owned())
}

fn parse_sort(text: &str) -> Result<Sort, String> {
    let (name, reverse) = text.strip_prefix('-').map_or((text, false), |name| (name, true));
    match field::parse_fields(name) {
        Ok(fields) if fields.len() == 1 => Ok(Sort { field: fields[0], reverse }),
        Ok(_) => Err("give one field".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn parse_columns(text: &str) -> Result<Columns, field::FieldError> {
    if text == "help" {
        return Ok(Columns::Help);
    }
    field::parse_fields(text).map(Columns::Fields)
}
