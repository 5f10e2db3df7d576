//! The tables of `cargo xtask bench workloads`.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};

use super::{attach::Mode, measured::Measured, profile::Profile, rounds::Rounds, thp::Thp};
use crate::{
    bench::{
        bar::Bar,
        stats::{Interval, Spread},
        units::{bytes, digits},
    },
    table::Table,
};

/// What a mode may slow a workload down, in percent.
const BARS: [(Mode, f64); 2] = [(Mode::Passive, 0.5), (Mode::Full, 2.0)];

/// What the RFC's cover letter has: hits and misses by workload.
const RFC: [(&str, f64, f64); 3] = [
    ("pgbench", 35_613_357.0, 14.0),
    ("kernel build", 35_613_357.0, 68_327.0),
    ("boot to login", 1_021_027.0, 567.0),
];

/// What cannot be known here.
const UNKNOWN: &str = "-";

/// What one workload came to with one setting.
#[derive(Debug)]
pub(crate) struct Finding {
    /// Its name.
    pub(crate) name: &'static str,
    /// The setting.
    pub(crate) thp: Thp,
    /// The report of `rss-drift run`.
    pub(crate) measured: Measured,
    /// Timed rounds, where there were any.
    pub(crate) timed: Option<Timed>,
}

/// Timed rounds.
#[derive(Debug)]
pub(crate) struct Timed {
    /// All of them.
    pub(crate) rounds: Rounds,
    /// What their median with nothing beside it reads like, and their middle half.
    pub(crate) alone: String,
    /// What the kernel tells of passive and full mode.
    pub(crate) profiles: [Profile; 2],
}

/// All tables.
pub(crate) fn report(findings: &[Finding]) -> Result<String> {
    let mut text = String::new();
    if findings.iter().any(|finding| finding.timed.is_some()) {
        write!(text, "## What rss-drift slows them down\n\n{}", slowdowns(findings)?.markdown())?;
        let latencies = latencies(findings)?;
        if !latencies.is_empty() {
            write!(
                text,
                "\nMean latency of a transaction of pgbench, median of the rounds:\n\n{}",
                latencies.markdown()
            )?;
        }
        text.push('\n');
        write!(text, "Shares of the host's CPU time:\n\n{}\n", profiles(findings).markdown())?;
    }
    write!(text, "## Hits and misses of the RFC's cache\n\n{}\n", hits(findings).markdown())?;
    write!(
        text,
        "## CPUs that a reader visits, and how often RSS was read\n\n{}\n",
        readers(findings).markdown()
    )?;
    write!(text, "## Peaks of the largest process\n\n{}\n", peaks(findings).markdown())?;
    write!(text, "## Drift of `stat`\n\n{}\n", drifts(findings).markdown())?;
    write!(text, "## Self-check and costs\n\n{}", self_check(findings).markdown())?;
    Ok(text)
}

/// Median and interval of what each mode adds, and whether that is little enough.
fn slowdowns(findings: &[Finding]) -> Result<Table> {
    let mut table = Table::of_figures(&[
        "workload",
        "THP",
        "rounds",
        "with nothing (middle half)",
        "passive mode (95 % interval)",
        "below 0.5 %",
        "full mode (95 % interval)",
        "below 2 %",
    ]);
    for finding in findings {
        let Some(timed) = &finding.timed else { continue };
        let mut row = vec![finding.name.to_owned(), finding.thp.to_string()];
        row.extend([timed.rounds.count().to_string(), timed.alone.clone()]);
        for (mode, limit) in BARS {
            let slowdowns = timed.rounds.slowdowns(mode)?;
            let median = Spread::of(&slowdowns).context("there was no round")?.median;
            let interval = Interval::of_median(&slowdowns);
            let range = interval.map_or("fewer than 6 rounds".to_owned(), |interval| {
                format!("{:+.2} to {:+.2}", interval.low, interval.high)
            });
            row.push(format!("{median:+.2} % ({range})"));
            row.push(Bar::Below(limit).judge_interval(interval.as_ref()).to_string());
        }
        table.row(row);
    }
    Ok(table)
}

/// Latencies of what has them.
fn latencies(findings: &[Finding]) -> Result<Table> {
    let mut table = Table::of_figures(&["THP", "with nothing", "passive mode", "full mode"]);
    for finding in findings {
        let Some(timed) = &finding.timed else { continue };
        let found: Option<Vec<_>> = Mode::ALL.into_iter().map(|mode| timed.rounds.latencies(mode)).collect();
        let Some(found) = found else { continue };
        let mut row = vec![finding.thp.to_string()];
        for values in found {
            row.push(format!("{} ms", digits(Spread::of(&values).context("there was no round")?.median)));
        }
        table.row(row);
    }
    Ok(table)
}

/// What the kernel counts of us.
fn profiles(findings: &[Finding]) -> Table {
    let head =
        ["workload", "THP", "passive: process", "its BPF programs", "full: process", "its BPF programs"];
    let mut table = Table::of_figures(&head);
    for finding in findings {
        let Some(timed) = &finding.timed else { continue };
        let mut row = vec![finding.name.to_owned(), finding.thp.to_string()];
        for Profile { programs, process } in timed.profiles {
            row.extend([process, programs].map(|share| format!("{share:.2} %")));
        }
        table.row(row);
    }
    table
}

/// Ours beside the RFC's.
fn hits(findings: &[Finding]) -> Table {
    let mut table = Table::of_figures(&[
        "workload",
        "THP",
        "updates",
        "hits",
        "misses",
        "updates per miss",
        "flushes",
        "RFC's sites: hits",
        "misses",
        "the RFC: hits",
        "misses",
    ]);
    for finding in findings {
        let of = |name: &str| count(finding.measured.number(name));
        let rfc = RFC.iter().find(|(name, ..)| *name == finding.name);
        table.row([
            finding.name.to_owned(),
            finding.thp.to_string(),
            of("updates"),
            of("hits"),
            of("misses"),
            finding.measured.number("updates_per_miss").map_or(UNKNOWN.to_owned(), digits),
            of("flushes"),
            of("rfc_hits"),
            of("rfc_misses"),
            count(rfc.map(|&(_, hits, _)| hits)),
            count(rfc.map(|&(_, _, misses)| misses)),
        ]);
    }
    table
}

/// What a reading costs with the RFC's cache, and how many there were.
fn readers(findings: &[Finding]) -> Table {
    let mut table = Table::of_figures(&[
        "workload",
        "THP",
        "possible",
        "ran the mm: mean",
        "most",
        "in mm_cpumask: mean",
        "most",
        "exits",
        "execs",
        "files of /proc opened",
        "updates per reading",
    ]);
    for finding in findings {
        let measured = &finding.measured;
        let of = |name: &str| count(measured.number(name));
        let exact = |name: &str| measured.number(name).map_or(UNKNOWN.to_owned(), digits);
        let opened = ["stat_opened", "statm_opened", "status_opened", "smaps_opened"];
        let opened: Option<f64> = opened.into_iter().map(|name| measured.number(name)).sum();
        table.row([
            finding.name.to_owned(),
            finding.thp.to_string(),
            of("possible_cpus"),
            exact("ran_cpus_mean"),
            of("ran_cpus_max"),
            exact("mm_cpumask_mean"),
            of("mm_cpumask_max"),
            of("exits"),
            of("execs"),
            count(opened),
            exact("updates_per_read"),
        ]);
    }
    table
}

/// The true peak beside what the kernel says.
fn peaks(findings: &[Finding]) -> Table {
    let head = ["workload", "THP", "process", "true peak", "may differ by", "VmHWM", "ru_maxrss"];
    let mut table = Table::of_figures(&head);
    for finding in findings {
        let of = |name: &str| size(finding.measured.number(name));
        table.row([
            finding.name.to_owned(),
            finding.thp.to_string(),
            finding.measured.text("largest_comm").map_or(UNKNOWN.to_owned(), |comm| format!("`{comm}`")),
            of("largest_peak_bytes"),
            of("largest_peak_error_bytes"),
            of("largest_vm_hwm_bytes"),
            of("largest_maxrss_bytes"),
        ]);
    }
    table
}

/// How far the approximate file was off.
fn drifts(findings: &[Finding]) -> Table {
    let head = ["workload", "THP", "readings", "p50", "p99", "largest", "bound", "largest by events"];
    let mut table = Table::of_figures(&head);
    for finding in findings {
        let of = |name: &str| size(finding.measured.number(name));
        table.row([
            finding.name.to_owned(),
            finding.thp.to_string(),
            count(finding.measured.number("drift_readings")),
            of("drift_p50_bytes"),
            of("drift_p99_bytes"),
            of("drift_max_bytes"),
            of("drift_bound_bytes"),
            of("drift_peak_bytes"),
        ]);
    }
    table
}

/// What rss-drift says of itself.
fn self_check(findings: &[Finding]) -> Table {
    let mut table = Table::of_figures(&[
        "workload",
        "THP",
        "missed events",
        "refused updates",
        "refused processes",
        "max error while idle",
        "residues",
        "duration",
        "own CPU time",
    ]);
    for finding in findings {
        let of = |name: &str| count(finding.measured.number(name));
        let seconds = |name: &str| {
            finding
                .measured
                .number(name)
                .map_or(UNKNOWN.to_owned(), |seconds| format!("{} s", digits(seconds)))
        };
        table.row([
            finding.name.to_owned(),
            finding.thp.to_string(),
            of("missed_events"),
            of("updates_refused"),
            of("processes_refused"),
            size(finding.measured.number("error_at_rest_bytes")),
            of("deaths_with_rest"),
            seconds("duration_seconds"),
            seconds("own_cpu_seconds"),
        ]);
    }
    table
}

fn count(value: Option<f64>) -> String {
    value.map_or(UNKNOWN.to_owned(), |value| format!("{value:.0}"))
}

fn size(value: Option<f64>) -> String {
    match value {
        None => UNKNOWN.to_owned(),
        Some(0.0) => "0".to_owned(),
        Some(value) => bytes(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(report: &str, timed: Option<Timed>) -> Finding {
        Finding { name: "pgbench", thp: Thp::Never, measured: Measured::parse(report).unwrap(), timed }
    }

    fn timed(rounds: &[[f64; 3]]) -> Timed {
        let profiles = [Profile { programs: 0.125, process: 0.5 }, Profile { programs: 0.25, process: 1.0 }];
        Timed { rounds: Rounds::of(rounds), alone: "1 s".to_owned(), profiles }
    }

    fn cells<'a>(text: &'a str, heading: &str) -> Vec<&'a str> {
        let (_, table) = text.split_once(heading).unwrap();
        let row = table.lines().find(|line| line.starts_with("| pgbench")).unwrap();
        row.trim_matches('|').split('|').map(str::trim).collect()
    }

    #[test]
    fn a_slowdown_is_judged_by_its_interval() {
        let rounds: Vec<_> = (0..10).map(|round| [1.0, 1.001, 1.015 + f64::from(round) * 0.001]).collect();
        let timed = timed(&rounds);
        let text = report(&[finding("{}", Some(timed))]).unwrap();
        let row = cells(&text, "slows");
        assert_eq!(row[4..6], ["+0.10 % (+0.10 to +0.10)", "met"], "{text}");
        assert_eq!(row[6..8], ["+1.95 % (+1.60 to +2.30)", "not resolved"], "{text}");
        assert!(!text.contains("latency"), "{text}");
        let row = cells(&text, "Shares");
        assert_eq!(row[2..], ["0.50 %", "0.12 %", "1.00 %", "0.25 %"], "{text}");
    }

    #[test]
    fn few_rounds_resolve_nothing() {
        let timed = timed(&[[1.0, 1.0, 1.0]]);
        let text = report(&[finding("{}", Some(timed))]).unwrap();
        assert_eq!(cells(&text, "slows")[6..8], ["+0.00 % (fewer than 6 rounds)", "not resolved"], "{text}");
    }

    #[test]
    fn figures_that_are_not_there_are_a_dash_and_the_rfcs_stand_beside() {
        let text = report(&[finding("{\"hits\":7,\"misses\":0,\"rfc_misses\":3}", None)]).unwrap();
        let row = cells(&text, "Hits and misses");
        assert_eq!(row[2..], ["-", "7", "0", "-", "-", "-", "3", "35613357", "14"], "{text}");
        assert!(!text.contains("slows"), "{text}");
    }
}
