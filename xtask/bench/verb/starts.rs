//! The part of `cargo xtask bench snapshot` that is about starts.

use anyhow::Result;

use super::{
    bar::Bar,
    figures::Figures,
    units::{ratio, time, times},
};
use crate::table::Table;

/// Rows of the bars: how long a user waits for a first report, beside what bpftrace takes for an empty script. Of a time in milliseconds
/// the host would decide.
pub(super) fn bars(figures: &Figures) -> Result<Vec<[String; 3]>> {
    [("passive", 0.25), ("full", 0.5)]
        .into_iter()
        .map(|(mode, most)| {
            let against = figures.ratio(&format!("start/{mode}/wall"), "start/bpftrace/wall")?;
            let what =
                format!("start of {mode} mode to its first report: below {most} of an empty bpftrace script");
            Ok([what, ratio(&against), Bar::Below(most).judge(&against).to_string()])
        })
        .collect()
}

/// The start of each mode, and of others.
pub(super) fn table(figures: &Figures) -> Result<Table> {
    const ALL: [(&str, &str); 5] = [
        ("passive", "`rss-drift watch --passive -n 1` to its first report"),
        ("full", "`rss-drift watch -n 1` to its first report"),
        ("run", "`rss-drift run -- true` to its end"),
        ("bpftrace", "`bpftrace -e 'BEGIN { exit(); }'` to its end"),
        ("true", "`true`: an empty program"),
    ];
    let mut table =
        Table::of_figures(&["what", "median", "middle half", "CPU time", "x bpftrace (middle half)"]);
    for (name, what) in ALL {
        let wall = figures.spread(&format!("start/{name}/wall"))?;
        let cpu = figures.spread(&format!("start/{name}/cpu"))?;
        let against = figures.ratio(&format!("start/{name}/wall"), "start/bpftrace/wall")?;
        let against = if name == "bpftrace" { "1".to_owned() } else { ratio(&against) };
        table.row([what.to_owned(), time(wall.median), times(&wall), time(cpu.median), against]);
    }
    Ok(table)
}
