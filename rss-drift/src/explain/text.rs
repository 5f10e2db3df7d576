//! The screen of `explain`.

use rss_drift_common::Member;

use super::reading::{Explanation, Reader};
use crate::{
    output::{clock, counted, flow, holder_lines},
    probe::Holder,
    proc::{Origin, Precision},
    table::{Units, bytes, shown},
};

/// The screen, its lines broken where a terminal is too narrow.
pub(super) fn text(it: &Explanation, units: Units, width: Option<usize>) -> String {
    let mut lines = vec![head(it, units), conclusion(it, units), String::new()];
    lines.extend(readers(it, units));
    lines.push(String::new());
    if let Some(holders) = &it.holders {
        lines.extend(holder_lines(holders, units, it.host.page_size, width));
    }
    lines.extend(
        [mapped(it, units), beside(it, units), group(it, units), oom(it), peak(it, units)]
            .into_iter()
            .flatten(),
    );
    let lines = lines.iter().flat_map(|line| flow(line, width));
    lines.fold(String::new(), |text, line| text + &line + "\n")
}

fn head(it: &Explanation, units: Units) -> String {
    let process = &it.row.process;
    let members: Vec<_> = Member::RSS
        .iter()
        .map(|&member| format!("{} {}", member.name(), units.text(it.member(member))))
        .collect();
    let notes = it.row.notes.iter().fold(String::new(), |text, note| text + ", " + note.name());
    format!(
        "pid {} ({}), {}{notes}; kernel {}, {} accounting; exact RSS {}: {}",
        process.pid,
        shown(&process.comm),
        counted(process.threads.into(), "thread", "threads"),
        shown(&it.host.kernel),
        it.host.accounting.name(),
        units.text(it.exact()),
        members.join(", "),
    )
}

/// The conclusion in a sentence.
pub(super) fn conclusion(it: &Explanation, units: Units) -> String {
    if !it.stood_still() {
        return "its memory changed while it was read: each difference below may be that change and no error of a reader"
            .to_owned();
    }
    let files = |right: bool| {
        let of = move |reader: &&Reader| {
            matches!(reader.origin, Origin::File(_)) && reader.difference.is_some_and(|of| (of == 0) == right)
        };
        let groups = it.readers.iter().filter(of);
        groups.flat_map(|reader| reader.origin.tools()).filter(|tool| tool.common).map(|tool| tool.name)
    };
    let list = |right: bool| files(right).collect::<Vec<_>>().join(", ");
    let wrong = it.readers.iter().filter(|reader| matches!(reader.origin, Origin::File(_)));
    let worst = wrong.filter_map(|reader| reader.difference).max_by_key(|of| of.unsigned_abs());
    let mut sentence = match worst {
        None => {
            "whether the files of /proc are exact here is not known: no difference is called drift".to_owned()
        }
        Some(0) => "every reader of the counters shows the exact figure at this moment".to_owned(),
        Some(drift) => {
            let way = if drift > 0 { "too little" } else { "too much" };
            let share = match it.exact() {
                0 => String::new(),
                exact => {
                    format!(" ({:.2} %)", drift.unsigned_abs() as f64 * 100.0 / exact.unsigned_abs() as f64)
                }
            };
            let right = list(true);
            let right =
                if right.is_empty() { String::new() } else { format!("; {right} show the exact figure") };
            let wrong = list(false);
            let size = units.text(drift.saturating_abs());
            format!("{wrong} show {size}{share} {way}{}{right}", held(it))
        }
    };
    let walked = it.readers.iter().find(|reader| reader.origin == Origin::PageTables);
    match walked.and_then(|reader| reader.difference) {
        None | Some(0) => {}
        Some(of) => {
            let way = if of > 0 { "less" } else { "more" };
            let size = units.text(of.saturating_abs());
            sentence = format!("{sentence}; the page tables have {size} {way} than the counters");
        }
    }
    if it.mark_was_reset() == Some(true) {
        sentence += "; VmHWM was reset";
    }
    sentence
}

/// Who holds what they lack.
fn held(it: &Explanation) -> String {
    let Some(holders) = it.holders.as_ref().filter(|holders| holders.certain && holders.count() > 0) else {
        return String::new();
    };
    let count = holders.count();
    match holders.named.first().map(|named| named.holder) {
        Some(Holder::Task { .. }) => {
            format!(", which the caches of {} hold", counted(count, "thread", "threads"))
        }
        _ => format!(", which the slots of {} hold", counted(count, "CPU", "CPUs")),
    }
}

/// Each reader's figure.
fn readers(it: &Explanation, units: Units) -> Vec<String> {
    let cell = |size: Option<i64>| size.map_or_else(|| "-".to_owned(), |size| units.cell(size));
    let mut table = vec![["FIGURE", "DIFFERENCE", "HERE", "READ", "BY"].map(str::to_owned)];
    for reader in &it.readers {
        let tools: Vec<_> = reader.origin.tools().map(|tool| tool.name).collect();
        let difference = reader.difference.map_or_else(|| "-".to_owned(), |of| units.difference(of));
        table.push([
            cell(reader.figure),
            difference,
            here(reader),
            reader.origin.reads().replace('`', ""),
            tools.join(", "),
        ]);
    }
    let widest = |column: usize| table.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let [figures, differences, words, files] = [0, 1, 2, 3].map(widest);
    let mut lines: Vec<_> = table
        .iter()
        .map(|[figure, difference, here, reads, by]| {
            format!("{figure:>figures$} {difference:>differences$} {here:<words$} {reads:<files$} {by}")
        })
        .collect();
    let unit = units.of_all().map(|unit| format!("in {unit}; ")).unwrap_or_default();
    lines.push(format!("{unit}DIFFERENCE: exact - figure; above 0 the reader shows too little"));
    lines
}

/// What a reader's figure is on this kernel.
fn here(reader: &Reader) -> String {
    match (reader.origin, reader.precision) {
        (Origin::Peak, _) => "a peak",
        (Origin::ControlGroup, _) => "other counters",
        (Origin::PageTables, _) => "no drift",
        (Origin::OomKiller, Some(Precision::Approximate)) => return format!("off {}", reader.origin.until()),
        (_, Some(Precision::Exact)) => "exact",
        (_, Some(Precision::Approximate)) => "off",
        (_, Some(Precision::Unknown) | None) => "not known",
    }
    .to_owned()
}

/// A list of sizes, without those that are not known.
fn sizes(units: Units, sizes: &[(&str, Option<u64>)]) -> Option<String> {
    let known =
        sizes.iter().filter_map(|(name, size)| Some(format!("{name} {}", units.text(bytes((*size)?, 1)))));
    let known: Vec<_> = known.collect();
    (!known.is_empty()).then(|| known.join(", "))
}

fn mapped(it: &Explanation, units: Units) -> Option<String> {
    let Some(of) = it.rollup else {
        return Some(
            "page tables: not readable (smaps_rollup is refused, or the process is gone)".to_owned(),
        );
    };
    let found = sizes(
        units,
        &[
            ("private", of.private),
            ("shared with others", of.shared),
            ("Pss", of.pss),
            ("lazily free", of.lazy_free),
            ("in huge pages", of.huge),
            ("merged by KSM", of.ksm),
            ("locked", it.memory.locked),
            ("pinned", it.memory.pinned),
        ],
    )?;
    Some(format!("in RSS, by the page tables: {found}"))
}

fn beside(it: &Explanation, units: Units) -> Option<String> {
    let of = &it.memory;
    let found = sizes(
        units,
        &[("swapped out", of.swap), ("page tables", of.page_tables), ("hugetlbfs", of.hugetlb)],
    )?;
    Some(format!("not in RSS: {found}"))
}

fn group(it: &Explanation, units: Units) -> Option<String> {
    let of = it.group.as_ref()?;
    let limit = of.limit.map_or_else(
        || "no limit of its own".to_owned(),
        |limit| format!("limit {}", units.text(bytes(limit, 1))),
    );
    let peak = of.peak.map_or_else(String::new, |peak| format!(", peak {}", units.text(bytes(peak, 1))));
    Some(format!(
        "control group: {} says {}{peak}, {limit}; it counts page cache and kernel memory too, and every process in it",
        shown(&of.file.to_string_lossy()),
        units.text(bytes(of.usage, 1))
    ))
}

fn oom(it: &Explanation) -> Option<String> {
    let (score, adj) = (it.memory.oom_score?, it.memory.oom_score_adj?);
    Some(format!("OOM killer: oom_score {score}, oom_score_adj {adj}; it counts RSS, swap and page tables"))
}

fn peak(it: &Explanation, units: Units) -> Option<String> {
    let size = |pages: i64| units.text(bytes(pages, it.host.page_size));
    let mark = it.row.files.vm_hwm.map(size)?;
    if it.since.is_some() && it.row.shadow.is_none() {
        return Some(format!(
            "peak: VmHWM {mark}, the kernel's own mark; the true peak is not known, as the shadow has none of it"
        ));
    }
    let Some((shadow, since)) = it.row.shadow.zip(it.since) else {
        return Some(format!(
            "peak: VmHWM {mark}, the kernel's own mark; --duration TIME follows the true peak"
        ));
    };
    let error = bytes(shadow.peak_error, it.host.page_size);
    let verdict = match it.mark_was_reset() {
        Some(true) => "; that is more below the true peak than drift can be: the mark was reset",
        _ => "",
    };
    Some(format!(
        "peak: VmHWM {mark}, true peak since {} {} (+- {}){verdict}",
        clock(since),
        size(shadow.peak_exact),
        units.text(error)
    ))
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
