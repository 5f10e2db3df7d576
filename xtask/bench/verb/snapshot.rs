//! `cargo xtask bench snapshot`: what a reading, the daemon and the start cost, and whether that is little enough.

use std::{fmt::Write as _, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::Args;

use super::{
    bar::Bar,
    docs::{self, PAGE},
    figures::Figures,
    host,
    measure::Programs,
    reports, starts,
    stats::Spread,
    units::{bytes, ratio, time, times},
};
use crate::{setup, table::Table, workspace};

/// A period of programs side by side is as long as so many rounds.
const ROUNDS_PER_PERIOD: u32 = 4;

/// One reading of the host, the daemon, reports of all processes and starts, beside /proc, ps, top, htop, pidstat and bpftrace.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Rounds in which everything that is compared runs once
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..10_000))]
    rounds: u32,
    /// Idle processes to measure with, the bars by the largest number
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_value = "100,1000", value_parser = clap::value_parser!(u32).range(1..30_000))]
    processes: Vec<u32>,
    /// Idle processes to measure reports of all with, beside top, htop and pidstat
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_value = "250,500,1000,2000", value_parser = clap::value_parser!(u32).range(1..30_000))]
    reports: Vec<u32>,
    /// Write the figures into docs/overhead.md
    #[arg(long)]
    write: bool,
    /// Install missing Debian packages without asking
    #[arg(short, long)]
    yes: bool,
}

/// The verb.
pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    let root = workspace::root();
    setup::ensure(&root, arguments.yes)?;
    setup::bench(arguments.yes)?;
    let programs = Programs::build(&root)?;
    // They are added to those that are there.
    let processes = sorted(&arguments.processes);
    let host = host::describe()?;
    let mut words =
        vec!["snapshot".into(), programs.command.clone().into(), arguments.rounds.to_string().into()];
    words.extend(processes.iter().map(|count| count.to_string().into()));
    let figures = programs.measure(&words)?;
    let of_all = sorted(&arguments.reports);
    let periods = arguments.rounds.div_ceil(ROUNDS_PER_PERIOD);
    let mut words = vec!["reports".into(), programs.command.clone().into(), periods.to_string().into()];
    words.extend(of_all.iter().map(|count| count.to_string().into()));
    let of_reports = programs.measure(&words)?;
    let report = report(&figures, &processes, (&of_reports, &of_all))?;
    let text = format!("{host} {} rounds.\n\n{report}", arguments.rounds);
    println!("{text}");
    if arguments.write {
        docs::write(&root.join(PAGE), "snapshot", &text)?;
        eprintln!("wrote {PAGE}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Numbers of processes, each once, by their size.
fn sorted(processes: &[u32]) -> Vec<u32> {
    let mut processes = processes.to_vec();
    processes.sort_unstable();
    processes.dedup();
    processes
}

/// All tables; those of reports of all processes have figures and numbers of processes of their own.
fn report(figures: &Figures, processes: &[u32], (of_reports, of_all): (&Figures, &[u32])) -> Result<String> {
    let most = *processes.last().context("a number of processes is needed")?;
    let bars = bars(figures, most)?
        .with(starts::bars(figures)?.into_iter().map(Vec::from))
        .with(reports::bars(of_reports, of_all)?.into_iter().map(Vec::from));
    let mut text = bars.markdown();
    write!(text, "\n### Starts\n\n")?;
    text += &starts::table(figures)?.markdown();
    for count in processes {
        let seen = figures.single(&format!("{count}/processes"))?;
        write!(text, "\n### {count} idle processes ({seen} with memory on the host)\n\n")?;
        text += &contenders(figures, *count)?.markdown();
    }
    write!(text, "\n### The daemon at 1 Hz, {most} idle processes\n\n")?;
    text += &daemons(figures)?.markdown();
    for &count in of_all {
        write!(text, "\n### Reports of all processes at 1 Hz, {count} idle processes\n\n")?;
        text += &reports::beside(of_reports, count)?.markdown();
    }
    write!(text, "\n### CPU time of a report of all processes, for each process\n\n")?;
    text += &reports::by_number(of_reports, of_all)?.markdown();
    write!(text, "\n### Memory of the daemon\n\n")?;
    text += &memory(figures)?.markdown();
    Ok(text)
}

/// What has to be reached.
fn bars(figures: &Figures, most: u32) -> Result<Table> {
    let mut table = Table::of_figures(&["bar", "measured (middle half)", "verdict"]);
    let mut bar = |what: String, bar: Bar, spread: &Spread, measured: String| {
        table.row([what, measured, bar.judge(spread).to_string()]);
    };
    // Both are work of one thread that waits for nothing. On a busy host the wall clock would flatter the short one, which
    // is done before it loses the CPU.
    let faster = figures.ratio(&format!("{most}/files/cpu"), &format!("{most}/snapshot/cpu"))?;
    bar(
        format!("a reading of {most} processes: at least 5 x as fast as their files in /proc"),
        Bar::AtLeast(5.0),
        &faster,
        format!("{} x", ratio(&faster)),
    );
    let share = figures.ratio("daemon/watch", "daemon/top")?;
    bar("the daemon at 1 Hz: below 0.2 of top's CPU time".to_owned(), Bar::Below(0.2), &share, ratio(&share));
    for (name, what) in [("peak", "passive"), ("peak-full", "full")] {
        let peak = figures.spread(&format!("memory/{name}"))?;
        bar(
            format!("RSS at the peak of a start in {what} mode: at most 16 MiB"),
            Bar::AtMost(16.0 * 1024.0 * 1024.0),
            &peak,
            bytes(peak.median),
        );
    }
    Ok(table)
}

/// Readings of the host and starts of programs, with so many processes.
fn contenders(figures: &Figures, count: u32) -> Result<Table> {
    const ALL: [(&str, &str); 6] = [
        ("snapshot", "one reading by rss-drift"),
        ("files", "stat, statm and status of the same processes, not parsed"),
        ("monitor", "/proc listed, the three files of all read and parsed"),
        ("ps", "`ps -eo pid,rss`"),
        ("watch", "`rss-drift watch --passive -n 1` to its first report"),
        ("true", "`true`: an empty program"),
    ];
    let mut table =
        Table::of_figures(&["what", "median", "middle half", "CPU time", "x CPU of a reading (middle half)"]);
    for (name, what) in ALL {
        let wall = figures.spread(&format!("{count}/{name}/wall"))?;
        let cpu = figures.spread(&format!("{count}/{name}/cpu"))?;
        let against = figures.ratio(&format!("{count}/{name}/cpu"), &format!("{count}/snapshot/cpu"))?;
        let against = if name == "snapshot" { "1".to_owned() } else { ratio(&against) };
        table.row([what.to_owned(), time(wall.median), times(&wall), time(cpu.median), against]);
    }
    Ok(table)
}

/// CPU time for each second of running.
fn daemons(figures: &Figures) -> Result<Table> {
    const ALL: [(&str, &str); 4] = [
        ("watch", "`rss-drift watch --passive -i 1` to /dev/null"),
        ("top", "`top -b -d 1` to /dev/null"),
        ("watch-pipe", "`rss-drift watch --passive -i 1` into a pipe"),
        ("top-pipe", "`top -b -d 1` into a pipe"),
    ];
    let mut table = Table::of_figures(&["what", "CPU time per second", "middle half", "x top (middle half)"]);
    for (name, what) in ALL {
        let spread = figures.spread(&format!("daemon/{name}"))?;
        let base = if name.ends_with("-pipe") { "daemon/top-pipe" } else { "daemon/top" };
        let against = figures.ratio(&format!("daemon/{name}"), base)?;
        let against = if name.starts_with("top") { "1".to_owned() } else { ratio(&against) };
        table.row([what.to_owned(), time(spread.median), times(&spread), against]);
    }
    Ok(table)
}

/// After the daemon has run for a while.
fn memory(figures: &Figures) -> Result<Table> {
    let mut table = Table::of_figures(&["what", "size"]);
    for (name, what) in [
        ("rss", "RSS, exact"),
        ("anon", "of it anonymous"),
        ("file", "of it pages of the program's file and its libraries, shared where others use them"),
        ("peak", "RSS at the peak of its start"),
        ("peak-full", "RSS at the peak of a start in full mode"),
        ("kernel", "eBPF programs and maps in the kernel"),
    ] {
        table.row([what.to_owned(), bytes(figures.single(&format!("memory/{name}"))?)]);
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_judges_by_the_largest_number() {
        let mut lines = Vec::new();
        for count in [100, 1000] {
            lines.push(format!("{count}/processes 0 {count}"));
            for (name, ns) in
                [("snapshot", 1), ("files", 6), ("monitor", 9), ("ps", 10), ("watch", 90), ("true", 1)]
            {
                let ns = ns * 1000 * count;
                lines.push(format!("{count}/{name}/wall 0 {ns}\n{count}/{name}/cpu 0 {ns}"));
            }
        }
        for (name, ns) in [("watch", 5_000_000), ("top", 20_000_000), ("watch-pipe", 1), ("top-pipe", 2)] {
            lines.push(format!("daemon/{name} 0 {ns}"));
        }
        for (name, ms) in [("passive", 50), ("full", 200), ("run", 300), ("bpftrace", 250), ("true", 1)] {
            lines.push(format!("start/{name}/wall 0 {ms}000000\nstart/{name}/cpu 0 {ms}000000"));
        }
        for name in ["rss", "peak", "peak-full", "anon", "file", "kernel"] {
            lines.push(format!("memory/{name} 0 4096"));
        }
        for (name, ns) in
            [("csv", 14), ("table", 20), ("iterator", 4), ("top", 10), ("htop", 40), ("pidstat", 5)]
        {
            lines.push(format!("reports/500/{name} 0 {ns}"));
        }
        let figures = Figures::parse(&lines.join("\n")).unwrap();
        let text = report(&figures, &[100, 1000], (&figures, &[500])).unwrap();
        let verdicts: Vec<_> = text
            .lines()
            .skip(2)
            .take(8)
            .filter_map(|line| line.trim_end_matches(" |").rsplit('|').next())
            .map(str::trim)
            .collect();
        assert_eq!(verdicts, ["met", "not met", "met", "met", "met", "not met", "met", "not met"], "{text}");
        assert!(text.contains("at 1 Hz, 500 idle processes\n"), "{text}");
        assert!(text.contains("200 ms to 200 ms"), "{text}");
        assert!(text.contains("### 100 idle processes (100 with memory on the host)"), "{text}");
    }
}
