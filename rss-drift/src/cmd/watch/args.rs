//! Options of `watch`.

use std::{path::PathBuf, time::Duration};

use crate::{
    cmd::duration,
    drift::sample::Source,
    field::{self, Field},
    output::Format,
};

/// Options of `watch`.
#[derive(Clone, Debug, clap::Args)]
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
    #[arg(long, value_enum, default_value_t = Source::Stat)]
    pub source: Source,
    /// Columns of the table, separated by commas; `help` lists them
    #[arg(long, value_name = "LIST", value_parser = parse_columns)]
    pub fields: Option<Columns>,
    /// Also walk the page tables of the processes shown (smaps_rollup): the ground truth, costly
    #[arg(long)]
    pub resident: bool,
    /// Below the table: which CPUs' or threads' caches hold what the global count of each row lacks, as bars
    #[arg(long = "where")]
    pub holders: bool,
    /// Append every column of every row to this CSV file, beside the other output (docs/csv.md)
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// How to write to standard output, and to files whose ending does not say
    #[arg(long, value_enum)]
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
