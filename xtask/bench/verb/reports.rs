//! What reports of all processes come to, beside other programs that show all.

use anyhow::{Context as _, Result};

use super::{
    bar::Bar,
    figures::Figures,
    stats::Spread,
    units::{ratio, time, times},
};
use crate::table::Table;

/// The number of processes by which the bars are, where it was measured.
const OF_THE_BARS: u32 = 1000;

/// What is measured: a name, and what it is.
const ALL: [(&str, &str); 6] = [
    ("csv", "`rss-drift watch --passive --format csv`: all columns"),
    ("table", "`rss-drift watch --passive --all`: the table"),
    ("iterator", "the same with columns that need no file of /proc"),
    ("top", "`top -b -d 1`"),
    ("htop", "`htop -d 10` on a terminal"),
    ("pidstat", "`pidstat -r -h 1`"),
];

/// What a program used for each report with so many processes.
fn used(figures: &Figures, count: u32, name: &str) -> Result<Spread> {
    figures.spread(&format!("reports/{count}/{name}"))
}

fn against_top(figures: &Figures, count: u32, name: &str) -> Result<Spread> {
    figures.ratio(&format!("reports/{count}/{name}"), &format!("reports/{count}/top"))
}

/// What has to be reached: a text, what was measured, the verdict.
pub(super) fn bars(figures: &Figures, processes: &[u32]) -> Result<Vec<[String; 3]>> {
    let most = *processes.last().context("a number of processes is needed")?;
    let count = if processes.contains(&OF_THE_BARS) { OF_THE_BARS } else { most };
    let bar = |what: &str, name, limit: f64| {
        let share = against_top(figures, count, name)?;
        let what = format!("a report of {count} processes, {what}: below {limit} x top's CPU time");
        Ok::<_, anyhow::Error>([
            what,
            format!("{} x", ratio(&share)),
            Bar::Below(limit).judge(&share).to_string(),
        ])
    };
    Ok(vec![
        bar("CSV with all columns", "csv", 1.5)?,
        bar("columns that need no file of /proc", "iterator", 0.3)?,
    ])
}

/// What each costs with so many processes.
pub(super) fn beside(figures: &Figures, count: u32) -> Result<Table> {
    let mut table = Table::of_figures(&["what", "CPU time per report", "middle half", "x top (middle half)"]);
    for (name, what) in ALL {
        let spread = used(figures, count, name)?;
        let against = against_top(figures, count, name)?;
        let against = if name == "top" { "1".to_owned() } else { ratio(&against) };
        table.row([what.to_owned(), time(spread.median), times(&spread), against]);
    }
    Ok(table)
}

/// What a report costs for each process, with few and with many: the same where it costs twice as much with twice as many.
pub(super) fn by_number(figures: &Figures, processes: &[u32]) -> Result<Table> {
    let counts: Vec<_> = processes.iter().map(|count| format!("{count} processes")).collect();
    let heading: Vec<_> = ["what"].into_iter().chain(counts.iter().map(String::as_str)).collect();
    let mut table = Table::of_figures(&heading);
    for (name, what) in ALL {
        let mut row = vec![what.to_owned()];
        for &count in processes {
            row.push(time(used(figures, count, name)?.median / f64::from(count)));
        }
        table.row(row);
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each program's time per process, in nanoseconds, with so many processes.
    fn figures(counts: &[u32], csv: u32) -> Figures {
        let mut lines = Vec::new();
        for &count in counts {
            let times = [csv, 20, 2, 10, 40, 5];
            for ((name, _), ns) in ALL.into_iter().zip(times) {
                lines.push(format!("reports/{count}/{name} 0 {}", ns * count));
            }
        }
        Figures::parse(&lines.join("\n")).unwrap()
    }

    #[test]
    fn the_bars_are_by_a_thousand_processes() {
        let counts = [500, 1000, 2000];
        let judged = |csv, counts: &[u32]| {
            let bars = bars(&figures(counts, csv), counts).unwrap();
            bars.into_iter().map(|[_, _, verdict]| verdict).collect::<Vec<_>>()
        };
        assert_eq!(judged(14, &counts), ["met", "met"]);
        assert_eq!(judged(16, &counts), ["not met", "met"]);
        assert!(
            bars(&figures(&counts, 14), &counts).unwrap()[0][0].starts_with("a report of 1000 processes")
        );
        assert!(bars(&figures(&[40], 14), &[40]).unwrap()[0][0].starts_with("a report of 40 processes"));
    }

    #[test]
    fn a_linear_cost_is_the_same_for_each_process() {
        let text = by_number(&figures(&[250, 2000], 14), &[250, 2000]).unwrap().markdown();
        let row = text.lines().nth(2).unwrap();
        assert!(row.contains("all columns") && row.matches("14.0 ns").count() == 2, "{text}");
        let text = beside(&figures(&[250], 14), 250).unwrap().markdown();
        assert!(text.lines().nth(2).unwrap().contains("1.40 (1.40 to 1.40)"), "{text}");
    }
}
