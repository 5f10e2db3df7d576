//! Values of options as clap takes them: their words, and what `--help` says of each. What they stand for is not clap's.

use clap::{
    ValueEnum,
    builder::{EnumValueParser, TypedValueParser},
};

use crate::{output::Format, proc::Source, run};

/// The words of `--source`.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum SourceWord {
    /// Field 24 of `/proc/PID/stat` (`fs/proc/array.c:do_task_stat`).
    Stat,
    /// Field 2 of `/proc/PID/statm` (`fs/proc/task_mmu.c:task_statm`).
    Statm,
    /// `VmRSS` of `/proc/PID/status` (`fs/proc/task_mmu.c:task_mem`).
    Status,
}

/// Parses `--source`.
pub fn source() -> impl TypedValueParser<Value = Source> {
    EnumValueParser::<SourceWord>::new().map(|word| match word {
        SourceWord::Stat => Source::Stat,
        SourceWord::Statm => Source::Statm,
        SourceWord::Status => Source::Status,
    })
}

/// The words of `--format` of `watch`.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatWord {
    /// A table for people
    Table,
    /// RFC 4180, one row per process and interval
    Csv,
    /// One JSON object per process and interval
    Jsonl,
}

/// Parses `--format` of `watch`.
pub fn format() -> impl TypedValueParser<Value = Format> {
    EnumValueParser::<FormatWord>::new().map(|word| match word {
        FormatWord::Table => Format::Table,
        FormatWord::Csv => Format::Csv,
        FormatWord::Jsonl => Format::Jsonl,
    })
}

/// The words of `--format` of `run`.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum RunFormatWord {
    /// For people
    Text,
    /// One JSON object in one line
    Json,
    /// RFC 4180: one row per run
    Csv,
}

/// Parses `--format` of `run`.
pub fn run_format() -> impl TypedValueParser<Value = run::Format> {
    EnumValueParser::<RunFormatWord>::new().map(|word| match word {
        RunFormatWord::Text => run::Format::Text,
        RunFormatWord::Json => run::Format::Json,
        RunFormatWord::Csv => run::Format::Csv,
    })
}
