//! The tables of `cargo xtask bench cost`.

use std::{collections::BTreeSet, fmt::Write as _};

use anyhow::{Context as _, Result};

use super::{
    bar::Bar,
    figures::Figures,
    stats::{Interval, Spread, ratios},
    units::{digits, ratio, time, times},
};
use crate::table::Table;

/// What is done, by its name in the figures.
const WORKLOADS: [(&str, &str); 4] = [
    ("fault", "A page touched and unmapped, one thread"),
    ("fault-threads", "A page touched and unmapped, a thread on each CPU in one mm"),
    ("switch", "A context switch"),
    ("fork-exec", "fork, exec and end of a process"),
];

/// What runs beside it, by its name in the figures.
const CONTENDERS: [(&str, &str); 8] = [
    ("empty", "empty BPF programs on full mode's hooks"),
    ("empty-faults", "the same and on page faults"),
    ("passive", "`rss-drift --passive`, 1 Hz"),
    ("full", "full mode"),
    ("full-faults", "full mode, `--faults`"),
    ("classic", "eBPF on the classic `kmem:rss_stat`, a count per mm in a hash"),
    ("ftrace", "ftrace event `kmem:rss_stat`"),
    ("perf", "`perf record -a -e kmem:rss_stat`"),
];

/// The workloads that are measured in close rounds too, with nothing, empty BPF programs and full mode alone.
const CLOSE: [&str; 2] = ["fault", "switch"];

/// What was counted in a guest.
pub(crate) struct InGuest {
    /// Its CPUs.
    pub(crate) cpus: u32,
    /// The figures.
    pub(crate) figures: Figures,
}

/// All tables; `kernel` is that of the guests.
pub(crate) fn report(figures: &Figures, kernel: &str, guests: &[InGuest]) -> Result<String> {
    let mut text = bars(figures)?.markdown();
    for (workload, what) in WORKLOADS {
        let alone = figures.spread(&format!("{workload}/nothing"))?;
        write!(text, "\n### {what}: {} ({}) with nothing beside it\n\n", time(alone.median), times(&alone))?;
        text += &contenders(figures, workload)?.markdown();
    }
    text += "\n### Close rounds: empty BPF programs and full mode alone\n\n";
    text += &close_rounds(figures)?.markdown();
    text += "\n### Run time of the BPF programs, as the kernel counts it\n\n";
    text += &run_times(figures).markdown();
    if !guests.is_empty() {
        write!(text, "\n### Instructions of one event `kmem:rss_stat`, kernel {kernel}\n\n")?;
        text += &instructions(guests)?.markdown();
    }
    Ok(text)
}

/// What a contender adds to a workload, round by round.
fn added(figures: &Figures, workload: &str, contender: &str) -> Result<Vec<f64>> {
    figures.added(&format!("{workload}/{contender}"), &format!("{workload}/nothing"))
}

/// What one adds in relation to what another one adds.
fn relation(figures: &Figures, workload: &str, one: &str, other: &str) -> Result<Spread> {
    Spread::of_ratios(&added(figures, workload, one)?, &added(figures, workload, other)?)
        .with_context(|| format!("in no round of {workload} did {other} add anything"))
}

/// A median, and where it may lie with 95 % confidence. Below six rounds nothing is known of that.
fn interval(values: &[f64], text: impl Fn(f64) -> String) -> Result<(String, Option<Interval>)> {
    let median = Spread::of(values).context("there was no close round")?.median;
    let interval = Interval::of_median(values);
    let limits =
        interval.as_ref().map_or_else(String::new, |it| format!(" ({} to {})", text(it.low), text(it.high)));
    Ok((text(median) + &limits, interval))
}

/// What full mode adds in relation to empty BPF programs in each close round.
fn close_relation(figures: &Figures, workload: &str) -> Result<Vec<f64>> {
    let workload = format!("close/{workload}");
    Ok(ratios(&added(figures, &workload, "full")?, &added(figures, &workload, "empty")?))
}

/// What was measured in close rounds: medians, and where they may lie.
fn close_rounds(figures: &Figures) -> Result<Table> {
    let mut table = Table::of_figures(&[
        "a page fault, a context switch",
        "rounds",
        "empty BPF programs add (95 %)",
        "full mode adds (95 %)",
        "full mode adds more (95 %)",
        "in relation (95 %)",
    ]);
    for workload in CLOSE {
        let name = format!("close/{workload}");
        let [empty, full] = ["empty", "full"].map(|contender| added(figures, &name, contender));
        let (empty, full) = (empty?, full?);
        let more: Vec<f64> = full.iter().zip(&empty).map(|(full, empty)| full - empty).collect();
        let mut row = vec![workload.to_owned(), full.len().to_string()];
        for values in [&empty, &full, &more] {
            row.push(interval(values, time)?.0);
        }
        row.push(interval(&ratios(&full, &empty), digits)?.0);
        table.row(row);
    }
    Ok(table)
}

/// What has to be reached: by full mode, and with `--faults`. The bars that are near are judged by the close rounds.
fn bars(figures: &Figures) -> Result<Table> {
    const BARS: [(&str, &str, [f64; 2], &str); 7] = [
        (
            "fault",
            "classic",
            [0.5; 2],
            "page fault: at most half of what eBPF on the classic tracepoint adds",
        ),
        ("fault", "ftrace", [0.5; 2], "page fault: at most half of what the ftrace event adds"),
        (
            "fault",
            "empty",
            [1.25, 2.0],
            "page fault: at most 1.25 times (with `--faults` twice) what empty BPF programs add",
        ),
        (
            "fault-threads",
            "classic",
            [0.5; 2],
            "page faults of threads: at most half of eBPF on the classic tracepoint",
        ),
        ("fault-threads", "ftrace", [0.5; 2], "page faults of threads: at most half of the ftrace event"),
        ("fault-threads", "empty", [2.0; 2], "page faults of threads: at most twice empty BPF programs"),
        (
            "switch",
            "empty",
            [1.1, 1.5],
            "context switch: at most 1.1 times (with `--faults` 1.5 times) what empty BPF programs add",
        ),
    ];
    let head = ["what full mode adds", "measured (middle half)", "verdict", "with `--faults`", "verdict"];
    let mut table = Table::of_figures(&head);
    for (workload, other, [limit, with_faults], what) in BARS {
        let mut row = vec![what.to_owned()];
        let other_with_faults = if other == "empty" { "empty-faults" } else { other };
        for (one, other, limit) in [("full", other, limit), ("full-faults", other_with_faults, with_faults)] {
            if (one, other) == ("full", "empty") && CLOSE.contains(&workload) {
                let (text, interval) = interval(&close_relation(figures, workload)?, digits)?;
                row.push(format!("{text} x, 95 %"));
                row.push(Bar::AtMost(limit).judge_interval(interval.as_ref()).to_string());
                continue;
            }
            let relation = relation(figures, workload, one, other)?;
            row.push(format!("{} x", ratio(&relation)));
            row.push(Bar::AtMost(limit).judge(&relation).to_string());
        }
        table.row(row);
    }
    Ok(table)
}

/// What each adds to a workload.
fn contenders(figures: &Figures, workload: &str) -> Result<Table> {
    let mut table =
        Table::of_figures(&["beside it", "added", "middle half", "full mode in relation (middle half)"]);
    for (contender, what) in CONTENDERS {
        let spread = Spread::of(&added(figures, workload, contender)?)
            .with_context(|| format!("there was no round of {workload}"))?;
        let against = match contender {
            "full" => "1".to_owned(),
            // It has nothing on the path.
            "passive" => String::new(),
            other => ratio(&relation(figures, workload, "full", other)?),
        };
        table.row([what.to_owned(), time(spread.median), times(&spread), against]);
    }
    Ok(table)
}

/// Each BPF program's runs and their mean time in each workload.
fn run_times(figures: &Figures) -> Table {
    let mut head = vec!["BPF program"];
    head.extend(WORKLOADS.iter().map(|&(name, _)| name));
    let mut table = Table::of_figures(&head);
    let programs: BTreeSet<&str> = figures
        .names("run/")
        .filter_map(|name| name.strip_suffix("/ns")?.split_once('/').map(|(_, program)| program))
        .collect();
    for program in programs {
        let mut row = vec![format!("`{program}`")];
        for (workload, _) in WORKLOADS {
            let name = |figure: &str| format!("run/{workload}/{program}/{figure}");
            // A BPF program that did not run in this workload has no figure.
            row.push(match (figures.single(&name("runs")), figures.single(&name("ns"))) {
                (Ok(runs), Ok(ns)) => format!("{} x {runs}", time(ns)),
                _ => String::new(),
            });
        }
        table.row(row);
    }
    table
}

/// Instructions by the number of CPUs.
fn instructions(guests: &[InGuest]) -> Result<Table> {
    let heads: Vec<String> = guests.iter().map(|guest| format!("{} CPUs", guest.cpus)).collect();
    let mut head = vec!["beside it"];
    head.extend(heads.iter().map(String::as_str));
    let mut table = Table::of_figures(&head);
    let mut row = |what: &str, of: &dyn Fn(&Figures) -> Result<f64>| -> Result<()> {
        let cells = guests.iter().map(|guest| of(&guest.figures).map(digits)).collect::<Result<Vec<_>>>()?;
        table.row([what.to_owned()].into_iter().chain(cells));
        Ok(())
    };
    for (contender, what) in CONTENDERS {
        // These have no part in it in the guests.
        if !["passive", "empty-faults", "full-faults", "perf"].contains(&contender) {
            row(what, &|figures| per_event(figures, contender))?;
        }
    }
    row("a page made by the kernel, with nothing beside it", &|figures| {
        Ok(figures.spread("event/nothing")?.median)
    })?;
    row("events per page", &|figures| figures.single("event/per-page"))?;
    row("nanoseconds of the guest's clock per instruction", &|figures| figures.single("event/clock"))?;
    Ok(table)
}

/// Instructions that a contender adds to one event.
fn per_event(figures: &Figures, contender: &str) -> Result<f64> {
    let added =
        figures.spread(&format!("event/{contender}"))?.median - figures.spread("event/nothing")?.median;
    Ok(added / figures.single("event/per-page")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two rounds, the second of which was disturbed for all.
    fn figures() -> Figures {
        let mut text = String::new();
        for (workload, _) in WORKLOADS {
            for (contender, ns) in [
                ("nothing", 1000),
                ("empty", 1100),
                ("passive", 1000),
                ("full", 1180),
                ("empty-faults", 1150),
                ("full-faults", 1300),
                ("classic", 1450),
                ("ftrace", 1300),
                ("perf", 1800),
            ] {
                writeln!(text, "{workload}/{contender} 0 {ns}\n{workload}/{contender} 1 {}", ns + 5000)
                    .unwrap();
            }
        }
        for (workload, round) in CLOSE.iter().flat_map(|workload| (0..8).map(move |round| (workload, round)))
        {
            for (contender, ns) in [("nothing", 1000), ("empty", 1100), ("full", 1180)] {
                writeln!(text, "close/{workload}/{contender} {round} {}", ns + 5000 * (round % 2)).unwrap();
            }
        }
        text += "run/fault/shadow_rss_stat/runs 0 4096\nrun/fault/shadow_rss_stat/ns 0 61.5\n";
        Figures::parse(&text).unwrap()
    }

    #[test]
    fn a_report_judges_what_is_added() {
        let text = report(&figures(), "6.12", &[]).unwrap();
        let verdicts = |column: usize| -> Vec<_> {
            let rows = text.lines().skip(2).take(7);
            rows.filter_map(|line| line.split('|').nth(column)).map(str::trim).collect()
        };
        // 180 against 450, 300 and 100.
        let full = ["met", "not met", "not met", "met", "not met", "met", "not met"];
        assert_eq!(verdicts(3), full, "{text}");
        // 300 against 450, 300 and 150.
        assert_eq!(
            verdicts(5),
            ["not met", "not met", "met", "not met", "not met", "met", "not met"],
            "{text}"
        );
        assert!(text.contains("0.400 (0.400 to 0.400) x"), "{text}");
        assert!(text.contains("61.5 ns x 4096"), "{text}");
        assert!(text.contains("1.80 (1.80 to 1.80) x, 95 %"), "by the close rounds: {text}");
        assert!(text.contains("80.0 ns (80.0 ns to 80.0 ns)"), "{text}");
        assert!(!text.contains("### Instructions"), "{text}");
    }

    #[test]
    fn instructions_are_per_event() {
        let guest = |cpus, classic| InGuest {
            cpus,
            figures: Figures::parse(&format!(
                "event/nothing 0 1000\nevent/empty 0 1050\nevent/full 0 1200\nevent/classic 0 {classic}\n\
                 event/ftrace 0 1600\nevent/per-page 0 2\nevent/clock 0 1.0002\n"
            ))
            .unwrap(),
        };
        let text = instructions(&[guest(2, 1500), guest(64, 3000)]).unwrap().markdown();
        let cells = |line: &str| -> Vec<String> {
            line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
        };
        let rows: Vec<_> = text.lines().map(cells).collect();
        assert_eq!(rows[0], ["beside it", "2 CPUs", "64 CPUs"]);
        assert_eq!(rows[3], ["full mode", "100", "100"]);
        assert_eq!(rows[4][1..], ["250", "1000"]);
    }
}
