//! Options of `run`.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use crate::{
    cmd::duration,
    probe::{FaultPrograms, FullOptions, Scope},
    session::Mode,
};

/// Options of `run`.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "The command begins when everything is attached; it and all that descends from it are measured. The report \
        goes to standard error, docs/run.md explains it.\n\
        Exit: the command's own, 128 + n when signal n killed it; 126 it cannot be executed, 127 it is not found; 125 our own \
        failure; 130 after Ctrl-C, with the report of what was seen so far.\n\n\
        Examples:\n  rss-drift run -- make -j8                     what a build's processes really took\n  \
        rss-drift run -o run.csv -- pgbench -c 100    a row per run\n  \
        rss-drift run --wait -- service-that-forks    go on until the last of its processes ends\n  \
        rss-drift run --system -- sleep 10            every process of the host for ten seconds"
)]
pub struct Args {
    /// Time from one look at the drift of what runs to the next; a bare number is seconds
    #[arg(short, long, value_name = "TIME", default_value = "0.5", allow_negative_numbers = true, value_parser = duration::parse)]
    pub interval: Duration,
    /// A |drift| of this many bytes (K, M, G) or more counts as above the threshold
    #[arg(long, value_name = "SIZE", default_value = "1M", value_parser = parse_size)]
    pub threshold: u64,
    /// Go on until the last descendant of the command has ended, not only the command itself
    #[arg(long)]
    pub wait: bool,
    /// Measure every process of the host while the command runs, not only the command and its descendants
    #[arg(short = 'a', long)]
    pub system: bool,
    /// Run the command so many times: mean and spread of the figures, or a row for each
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub repeat: u32,
    /// How to write the report; a file's ending (.txt, .json, .csv) says it too
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// Append the report to this file instead of writing it to standard error
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// So many call chains of misses, the commonest first
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub misses: usize,
    /// Write the call chains of all misses (of the last run) to this file, one line each, as flame-graph tools read them
    #[arg(long, value_name = "FILE")]
    pub folded: Option<PathBuf>,
    /// Memory maps that can be followed at once (default: twice as many as live now, at least 4096)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1 << 22))]
    pub max_mms: Option<u32>,
    /// The most memory for what is kept per CPU and memory map, in MiB [default: 64]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pub max_memory: Option<u64>,
    /// Publish every update, by an atomic operation instead of one per batch: where several CPUs change one process at once its peak may
    /// then differ by a page less than the kernel's batch for each other CPU, instead of by three times that (per-cpu accounting)
    #[arg(long)]
    pub precise_peaks: bool,
    /// The command and its arguments
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true)]
    pub command: Vec<OsString>,
}

/// How a report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people
    Text,
    /// One JSON object in one line
    Json,
    /// RFC 4180: one row per run
    Csv,
}

impl Args {
    /// What to measure with.
    pub fn mode(&self) -> Mode {
        Mode::Full(FullOptions {
            max_mms: self.max_mms,
            max_memory: self.max_memory.map(|mib| mib << 20),
            precise_peaks: self.precise_peaks,
            faults: FaultPrograms::Needed,
            run: Some(self.scope()),
            ..FullOptions::default()
        })
    }

    /// Whom to measure.
    pub const fn scope(&self) -> Scope {
        if self.system { Scope::System } else { Scope::Command }
    }

    /// How to write: what `--format` says, else the file's ending, else text.
    pub fn format(&self) -> Format {
        let ending = self.output.as_ref().and_then(|path| path.extension()?.to_str());
        self.format.unwrap_or(match ending {
            Some("json" | "jsonl") => Format::Json,
            Some("csv") => Format::Csv,
            _ => Format::Text,
        })
    }
}

/// Bytes: a number, with K, M or G for the powers of 1024.
fn parse_size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let (number, shift) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 10),
        Some((at, 'm' | 'M')) => (&text[..at], 20),
        Some((at, 'g' | 'G')) => (&text[..at], 30),
        _ => (text, 0),
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(1 << shift))
        .filter(|&bytes| bytes > 0)
        .ok_or_else(|| "give bytes above 0, such as 65536, 64K or 1M".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(parse_size("65536"), Ok(65536));
        assert_eq!(parse_size("64K"), Ok(65536));
        assert_eq!(parse_size("2g"), Ok(2 << 30));
        for text in ["", "0", "-1", "1T", "K", "1.5M", "99999999999G"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
