//! Values of options as clap takes them: their words, and what `--help` says of each. What they stand for is not clap's.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use crate::{drift::by::By, output::Format, proc::Source, run, table::Units};

pub(super) fn source() -> impl TypedValueParser<Value = Source> {
    words(&[
        (Source::Stat, "stat", "Field 24 of `/proc/PID/stat` (`fs/proc/array.c:do_task_stat`)"),
        (Source::Statm, "statm", "Field 2 of `/proc/PID/statm` (`fs/proc/task_mmu.c:task_statm`)"),
        (Source::Status, "status", "`VmRSS` of `/proc/PID/status` (`fs/proc/task_mmu.c:task_mem`)"),
    ])
}

/// Parses `--format` of `watch`.
pub(super) fn format() -> impl TypedValueParser<Value = Format> {
    words(&[
        (Format::Table, "table", "A table for people"),
        (Format::Csv, "csv", "RFC 4180, one row per process and interval"),
        (Format::Jsonl, "jsonl", "One JSON object per process and interval"),
    ])
}

/// Parses `--units`.
pub(super) fn units() -> impl TypedValueParser<Value = Units> {
    words(&[
        (Units::Human, "human", "KiB, MiB, GiB: what fits, beside each number"),
        (Units::Kib, "kib", "Bare numbers: whole KiB"),
        (Units::Mib, "mib", "Bare numbers: MiB with two decimals"),
        (Units::Bytes, "bytes", "Bare numbers: bytes"),
    ])
}

/// Parses `--by`; `None`: each process by itself.
pub(super) fn by() -> impl TypedValueParser<Value = Option<By>> {
    words(&[
        (None, "process", "Each process by itself"),
        (Some(By::Comm), "comm", "Processes of one name"),
        (Some(By::Cgroup), "cgroup", "The control group that limits their memory"),
        (Some(By::Unit), "unit", "The unit of systemd"),
        (Some(By::Container), "container", "The container of docker, podman, containerd or CRI-O"),
        (Some(By::User), "user", "The effective user"),
        (Some(By::Host), "host", "All in one row"),
    ])
}

/// Parses `--format` of `run`.
pub(super) fn run_format() -> impl TypedValueParser<Value = run::Format> {
    words(&[
        (run::Format::Text, "text", "For people"),
        (run::Format::Json, "json", "One JSON object in one line"),
        (run::Format::Csv, "csv", "RFC 4180: one row per run"),
    ])
}

/// Parses one of some words: what it stands for, the word, and the help.
fn words<T: Copy + Send + Sync>(
    words: &'static [(T, &'static str, &'static str)],
) -> impl TypedValueParser<Value = T> {
    let known = words.iter().map(|&(_, word, help)| PossibleValue::new(word).help(help));
    PossibleValuesParser::new(known).map(|given| {
        // MiB is a unit too: clap compares as `ignore_case` of the option says.
        let found = words.iter().find(|&&(_, word, _)| word.eq_ignore_ascii_case(&given));
        found.expect("clap lets only these words through").0
    })
}
