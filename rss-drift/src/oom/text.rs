//! The screen of `oom`.

use unicode_width::UnicodeWidthStr as _;

use super::{
    ranking::{Candidate, exact_victim},
    reading::{Reading, Why},
};
use crate::{
    output::{counted, flow},
    proc::Precision,
    table::{Units, bytes, shown},
};

/// The screen with at most so many candidates, its lines broken where a terminal is too narrow.
pub(super) fn text(it: &Reading, limit: Option<usize>, units: Units, width: Option<usize>) -> String {
    let mut lines = vec![verdict(it, units), domain(it, units), reads(it, units)];
    lines.extend(whole(it));
    lines.push(String::new());
    let shown = it.candidates.len().min(limit.unwrap_or(usize::MAX));
    if shown > 0 {
        lines.extend(table(it, &it.candidates[..shown], units));
    }
    lines.extend(below(it, shown, units));
    let lines = lines.iter().flat_map(|line| flow(line, width));
    lines.fold(String::new(), |text, line| text + &line + "\n")
}

/// Whom it takes, by each reading.
fn verdict(it: &Reading, units: Units) -> String {
    let name = |it: &Candidate| format!("pid {} ({})", it.pid, shown(&it.comm));
    let Some(victim) = it.candidates.first().filter(|it| it.rank.is_some()) else {
        return "the OOM killer would find no process to take".to_owned();
    };
    let badness = victim.badness(it.total()).map(|pages| units.text(bytes(pages, it.host.page_size)));
    let exact = match exact_victim(&it.candidates) {
        Some(other) if other.pid != victim.pid => name(other),
        _ => "the same".to_owned(),
    };
    let badness = badness.map_or_else(String::new, |badness| format!(", badness {badness}"));
    format!("the OOM killer would take {}{badness}; by exact RSS it would take {exact}", name(victim))
}

/// What is out of memory.
fn domain(it: &Reading, units: Units) -> String {
    let total = units.text(bytes(it.domain.total, 1));
    let Some(of) = &it.domain.group else {
        return format!("out of memory: the host, {total} of memory and swap");
    };
    let path = shown(&of.group.path);
    match (&of.above, of.limit) {
        (above, Some(_)) => {
            let above = above.as_ref().map(|above| {
                format!(
                    "; {} above it has a lower limit, and comes to it first (--cgroup {})",
                    shown(above),
                    shown(above)
                )
            });
            let above = above.unwrap_or_default();
            format!(
                "out of memory: control group {path}, {total} by its limit, with the swap that it may use{above}"
            )
        }
        (Some(above), None) => format!(
            "control group {path} has no limit of its own, but {} above it has: --cgroup {} ranks all that its limit concerns; this is by the \
             host, {total} of memory and swap",
            shown(above),
            shown(above)
        ),
        (None, None) => format!(
            "control group {path} has no limit: of an OOM of the host, {total} of memory and swap, these are the candidates in it"
        ),
    }
}

/// How RSS is read.
fn reads(it: &Reading, units: Units) -> String {
    let size = units.text(bytes(it.bound, it.host.page_size));
    let of = it.host.accounting.bounded();
    match it.reads {
        Precision::Exact => "the OOM killer of this kernel reads exact RSS".to_owned(),
        Precision::Approximate => format!(
            "the OOM killer of this kernel reads RSS as /proc/PID/stat has it: off by at most {size} a {of}"
        ),
        Precision::Unknown => format!(
            "how the OOM killer of this kernel reads RSS is not known: taken as /proc/PID/stat has it, off by at most {size} a {of}"
        ),
    }
}

/// Who dies with the victim.
fn whole(it: &Reading) -> Vec<String> {
    let group = it.dies_whole.as_ref().map(|path| {
        format!(
            "memory.oom.group is set for {}: all its processes die with the victim, but those with oom_score_adj -1000",
            shown(path)
        )
    });
    let sharing = it.candidates.first().filter(|victim| victim.sharing > 0).map(|victim| {
        let (one, many) = ("process has its memory, and dies", "processes have its memory, and die");
        format!("{} with it", counted(victim.sharing, one, many))
    });
    let spared = it.domain.group.as_ref().filter(|of| of.is_spared).map(|of| {
        format!(
            "the killer is off in {} (oom_kill_disable of memory.oom_control): nobody is taken, its processes wait for memory; this is whom \
             it would take",
            shown(&of.group.path)
        )
    });
    spared.into_iter().chain(group).chain(sharing).collect()
}

/// The candidates.
fn table(it: &Reading, candidates: &[Candidate], units: Units) -> Vec<String> {
    const HEADS: [&str; 11] =
        ["RANK", "PID", "COMM", "BADNESS", "SCORE", "RSS", "EXACT", "SWAP", "TABLES", "ADJ", "BY-EXACT"];
    /// Where the one column of words is.
    const COMM: usize = 2;
    let total = it.total();
    let size = |pages: Option<i64>| {
        pages.map_or_else(|| "-".to_owned(), |pages| units.cell(bytes(pages, it.host.page_size)))
    };
    let number = |number: Option<i64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    let place = |rank: Option<u64>| rank.map_or_else(|| "-".to_owned(), |rank| rank.to_string());
    let mut rows = vec![HEADS.map(str::to_owned)];
    for of in candidates {
        let mark = if of.moves() { "*" } else { "" };
        let moving = if of.certain { "" } else { "~" };
        rows.push([
            place(of.rank),
            of.pid.to_string(),
            shown(&of.comm),
            size(of.badness(total)),
            number(of.score(total)),
            size(Some(of.read.rss)),
            moving.to_owned() + &size(Some(of.exact.rss)),
            size(Some(of.read.swap)),
            size(of.page_tables),
            number(of.adj),
            mark.to_owned() + &place(of.exact_rank),
        ]);
    }
    let widest = |column: usize| rows.iter().map(|row| row[column].width()).max().unwrap_or(0);
    let widths: [usize; HEADS.len()] = std::array::from_fn(widest);
    let line = |row: &[String; HEADS.len()]| {
        let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| match column {
            COMM => cell.clone() + &" ".repeat(width - cell.width()),
            _ => " ".repeat(width - cell.width()) + cell,
        });
        cells.collect::<Vec<_>>().join(" ")
    };
    rows.iter().map(line).collect()
}

/// Who is not in the table, and what its marks say.
fn below(it: &Reading, in_table: usize, units: Units) -> Vec<String> {
    let mut lines = Vec::new();
    let more = it.candidates.len() - in_table;
    if more > 0 {
        lines
            .push(format!("{} not shown (--all)", counted(more as u64, "more candidate", "more candidates")));
    }
    let spared = Why::ALL.into_iter().filter_map(|why| {
        let all: Vec<_> = it.spared.iter().filter(|it| it.why == why).collect();
        let [first, ..] = all[..] else { return None };
        Some(match why {
            Why::Init => format!("init (pid {})", first.pid),
            Why::Adjustment => format!("{} with oom_score_adj -1000", all.len()),
            Why::Skipped => format!("{} in a vfork, or being taken already", all.len()),
        })
    });
    let spared = spared.collect::<Vec<_>>().join(", ");
    if !spared.is_empty() {
        lines.push(format!("never taken: {spared}"));
    }
    let moved = it.candidates.iter().filter(|it| it.moves()).count() as u64;
    if moved > 0 {
        let (one, many) = ("candidate has", "candidates have");
        lines.push(format!("* {} another place by exact RSS", counted(moved, one, many)));
    }
    if it.candidates[..in_table].iter().any(|it| !it.certain) {
        lines.push("~ the counters changed in each reading of them".to_owned());
    }
    lines.extend(units.of_all().map(|unit| format!("sizes in {unit}")));
    lines
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
