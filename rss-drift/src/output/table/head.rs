//! The lines above a table: who reads right here and who does not, the host, and whether it matters.

use super::{
    super::{Block, Detail, GroupCount, Headline, Reported, counted},
    View,
    lines::{clock, distribution},
};
use crate::{
    drift::{
        by::By,
        groups::Aggregate,
        verdict::{Name, Near, REMARKABLE, Verdict, Who},
    },
    proc::{Origin, Precision},
    table::{Units, bytes, shown},
};

/// The lines above a table.
pub(super) fn lines<R: Reported>(block: &Block<'_>, view: &View<R>) -> Vec<String> {
    let (host, headline, units) = (block.host, block.headline, view.units);
    let mut lines = vec![format!(
        "{} {}, kernel {}, {} accounting, {} mode; exact here: {}",
        clock(block.time),
        shown(&host.hostname),
        shown(&host.kernel),
        host.accounting.name(),
        host.mode,
        readers(headline, Precision::Exact),
    )];
    let approximate = readers(headline, Precision::Approximate);
    if !approximate.is_empty() {
        let size = units.text(bytes(headline.bound, host.page_size));
        let of = host.accounting.bounded();
        lines.push(format!("off by at most {size} a {of}: {approximate}"));
    }
    let unknown = readers(headline, Precision::Unknown);
    if !unknown.is_empty() {
        lines.push(format!("exact or not, that is unknown here: {unknown}"));
    }
    lines.push(sums(block, units));
    if view.detail == Detail::All {
        lines.push(format!("|drift|: {}", distribution(&headline.summary.drift, units, host.page_size)));
    }
    lines.push(verdict(headline, units, host.page_size));
    lines
}

/// The tools that most people have and that read with this precision here; with the file, unless it is right.
fn readers(headline: &Headline, precision: Precision) -> String {
    let mut groups = Vec::new();
    for origin in Origin::ALL {
        if origin.precision(|source| headline.precisions.of(source)) != Some(precision) {
            continue;
        }
        let names: Vec<_> = origin.tools().filter(|tool| tool.common).map(|tool| tool.name).collect();
        if names.is_empty() {
            continue;
        }
        let names = names.join(", ");
        groups.push(match origin {
            _ if precision == Precision::Exact => names,
            Origin::File(source) => format!("{names} (/proc/PID/{})", source.name()),
            _ if origin.until().is_empty() => names,
            _ => format!("{names} ({})", origin.until()),
        });
    }
    groups.join(", ")
}

/// What the rows are, and the sums over all processes.
fn sums(block: &Block<'_>, units: Units) -> String {
    let (headline, page_size) = (block.headline, block.host.page_size);
    let (source, summary) = (headline.source.name(), &headline.summary);
    let size = |pages: i64| units.text(bytes(pages, page_size));
    let count = match headline.selected_of {
        None => counted(headline.processes, "process", "processes"),
        Some(all) => format!("{} of {} selected", headline.processes, counted(all, "process", "processes")),
    };
    let drift = summary.reported.map_or(0, |reported| summary.exact.saturating_sub(reported));
    let wrong = match drift {
        0 => String::new(),
        1.. => format!(": {source} shows {} too little", size(drift)),
        _ => format!(": {source} shows {} too much", size(drift.saturating_neg())),
    };
    let mut parts: Vec<_> = headline.groups.map(|count| grouped_by(count, block)).into_iter().collect();
    parts.push(format!(
        "{count}, sum of {source} {}, exact {}{wrong}",
        summary.reported.map_or_else(|| "unknown".to_owned(), size),
        size(summary.exact)
    ));
    let (walked, sum) = block.rows.walked();
    if walked > 0 {
        let all = headline.processes == walked;
        let of = if all { String::new() } else { format!(" of {walked} of them") };
        parts.push(format!("shared pages counted once (Pss){of} {}", units.text(sum)));
    }
    parts.extend(units.of_all().map(|unit| format!("table in {unit}")));
    parts.join("; ")
}

/// What the rows are: of how many groups the table shows some.
fn grouped_by(count: GroupCount, block: &Block<'_>) -> String {
    let (one, many) = count.by.nouns();
    let groups = counted(count.groups, one, many);
    // The row of those that are in none is not one of them.
    let shown = Aggregate::shown(block).iter().filter(|group| group.name.text.is_some()).count() as u64;
    let some = if shown < count.groups { format!("{shown} of ") } else { String::new() };
    let none = match count.in_none {
        0 => String::new(),
        processes => {
            // Every process has a control group and a user: one that ended can no longer be asked.
            let of = match count.by {
                By::Unit | By::Container => format!("in no {one}"),
                By::Cgroup | By::User | By::Comm | By::Host => format!("whose {one} could not be read"),
            };
            format!(", and {} {of} (-)", counted(processes, "process", "processes"))
        }
    };
    format!("by {}: {some}{groups}{none}", count.by.name())
}

/// Whether it matters.
fn verdict(headline: &Headline, units: Units, page_size: u64) -> String {
    let source = headline.source.name();
    match headline.precisions.of(headline.source) {
        Precision::Unknown => {
            return format!("what {source} shows is not called drift: it may be exact here");
        }
        Precision::Exact => return format!("nothing is off: {source} is exact here"),
        Precision::Approximate => {}
    }
    let (one, many) = headline.nouns();
    let Verdict { remarkable, largest, near, .. } = &headline.verdict;
    let Some(largest) = largest else { return format!("no {one} to judge") };
    let size = Units::level(REMARKABLE);
    let count = match remarkable {
        // Processes in no group are not judged.
        0 if headline.groups.is_some() => format!("no {one} is off by more than {size}"),
        0 => format!("nothing is off by more than {size}"),
        1 => format!("1 {one} is off by more than {size}"),
        count => format!("{count} {many} are off by more than {size}"),
    };
    let drift = largest.reading.drift();
    let most = if drift == 0 {
        format!("no {one} drifts")
    } else {
        let way = if drift > 0 { "too little" } else { "too much" };
        let share = largest.reading.percent().map(|percent| format!("{percent:.2} % of "));
        let size = bytes(drift.saturating_abs(), page_size);
        let of_level = near.as_ref().filter(|near| near.level > 0).map(|near| {
            let level = Units::level(near.level);
            format!(" and {:.2} % of {level}", size as f64 * 100.0 / near.level as f64)
        });
        format!(
            "at most {} {way}, {}{}",
            units.text(size),
            share.unwrap_or_default() + &name(largest),
            of_level.unwrap_or_default()
        )
    };
    let near =
        near.as_ref().map(|near| format!("; {}", parted(near, source, headline.nouns(), units, page_size)));
    format!("{count}: {most}{}", near.unwrap_or_default())
}

fn name(who: &Who) -> String {
    match &who.name {
        Name::Process { pid, comm } => format!("{} (pid {pid})", shown(comm)),
        Name::Group(name) => shown(name),
    }
}

/// Whom a level parts.
fn parted(near: &Near, source: &str, (one, many): (&str, &str), units: Units, page_size: u64) -> String {
    let size = |pages: i64| units.text(bytes(pages, page_size));
    let level = Units::level(near.level);
    if near.parted == 0 {
        let nearest = near.nearest.as_ref();
        let nearest = nearest.map(|who| format!(", nearest {} with {}", name(who), size(who.reading.exact)));
        return format!("no {one} crosses {level} by one figure alone{}", nearest.unwrap_or_default());
    }
    let named: Vec<_> = near
        .named
        .iter()
        .map(|who| {
            format!(
                "{} {source} {}, exact {}",
                name(who),
                size(who.reading.reported),
                size(who.reading.exact)
            )
        })
        .collect();
    let more = near.parted - near.named.len() as u64;
    let by = match near.hidden {
        all if all == near.parted => format!("by the exact figure but not by {source}"),
        0 => format!("by {source} but not by the exact figure"),
        _ => "by one figure alone".to_owned(),
    };
    format!(
        "{} {level} {by}: {}{}",
        counted(near.parted, &format!("{one} crosses"), &format!("{many} cross")),
        named.join("; "),
        if more > 0 { format!("; {more} more") } else { String::new() }
    )
}
