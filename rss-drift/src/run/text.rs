//! The report for people, in the manner of `perf stat`.

use std::fmt::Write as _;

use rss_drift_common::{
    Member,
    run::{MemberCounts, kind},
};

use super::{
    report::{Peak, Report, updates_per_miss},
    sites::Caller,
};
use crate::{
    output::Detail,
    probe::Scope,
    proc::Precision,
    table::{bytes, shown},
};

/// Columns of the figures.
const WIDTH: usize = 18;
/// Functions that have a row of their own.
const CALLERS: usize = 12;

pub(super) fn text(report: &Report) -> String {
    let mut lines = Lines(String::new());
    head(report, &mut lines);
    counts(report, &mut lines);
    cache(report, &mut lines);
    chains(report, &mut lines);
    readers(report, &mut lines);
    reads(report, &mut lines);
    peaks(report, &mut lines);
    drift(report, &mut lines);
    self_check(report, &mut lines);
    lines.0
}

/// A text that grows line by line. Writing to a String cannot fail.
struct Lines(String);

impl Lines {
    fn line(&mut self, text: &str) {
        self.0.push_str(text);
        self.0.push('\n');
    }

    /// A figure, what it is, and what else there is to say of it.
    fn figure(&mut self, figure: &str, name: &str, note: &str) {
        let line = format!("{figure:>WIDTH$}   {name:<34}{note}");
        self.line(line.trim_end());
    }
}

/// What was measured and where: `note` says more of the runs.
pub(super) fn title(report: &Report, note: &str) -> String {
    let scope = match report.scope {
        Scope::Command => "",
        Scope::System => ", every process of the host",
    };
    format!(
        "\n rss-drift run of '{}'{note}{scope}:\n kernel {}, {} accounting, {} CPUs online; sizes in KiB\n",
        shown(&report.command),
        shown(&report.host.kernel),
        report.host.accounting.name(),
        report.rules.cpus.online.len()
    )
}

fn head(report: &Report, lines: &mut Lines) {
    lines.line(&title(report, ""));
    let how = match report.ended {
        None => "the command still runs".to_owned(),
        Some(ended) => ended.signal().map_or_else(
            || format!("exit status {}", ended.code()),
            |signal| format!("killed by signal {signal}"),
        ),
    };
    lines.figure(&format!("{:.3} s", report.duration.as_secs_f64()), "elapsed", &how);
    if let Some(measured) = report.stopped {
        let why = format!(
            "--max-overhead: {:.2} % of the host's CPU",
            report.check.programs_percent.unwrap_or(0.0)
        );
        lines.figure(&format!("{:.3} s", measured.as_secs_f64()), "measured", &why);
    }
    let (forks, execs) = (report.totals.forks, report.totals.execs);
    match report.scope {
        Scope::Command => {
            lines.figure(&(forks + 1).to_string(), "processes", &format!("{forks} forked, {execs} executed"));
        }
        Scope::System => {
            let others = format!("{execs} executed, {} ended", report.totals.exits);
            lines.figure(&forks.to_string(), "processes forked", &others);
        }
    }
    for (pid, comm) in &report.outlived {
        lines.line(&format!("{:WIDTH$}   still runs: pid {pid} ({})", "", shown(comm)));
    }
}

fn counts(report: &Report, lines: &mut Lines) {
    let totals = &report.totals;
    let all = totals.updates();
    lines.figure(&report.faults().to_string(), "page faults", "by the kernel's count");
    lines.figure(&totals.switches.to_string(), "context switches to another mm", "");
    let pages = format!("{} pages", all.pages());
    lines.figure(&all.updates().to_string(), "RSS updates", &pages);
    for member in Member::ALL {
        let of = &totals.members[member.index()];
        let pages = format!("+{} -{} pages", of.added, of.removed);
        lines.figure(&of.updates().to_string(), &format!("  {}", member.name()), &pages);
    }
}

fn cache(report: &Report, lines: &mut Lines) {
    let totals = &report.totals;
    lines.line("");
    lines.line(" the RFC's cache, over all updates:");
    hits_and_misses(&totals.updates(), ["", ""].map(str::to_owned), totals.flushes, totals.switches, lines);
    if let Some(why) = report.sites.nameless() {
        lines.line("");
        lines.line(&format!(" over the RFC's own sites: not known ({why})"));
        return;
    }
    let of = &totals.of_kind(kind::RFC);
    lines.line("");
    lines.line(&format!(
        " over the RFC's own sites: {} of {} updates, {} of {} pages",
        of.updates(),
        totals.updates().updates(),
        of.pages(),
        totals.updates().pages()
    ));
    // The RFC counted events of a page each: its figures compare with pages, not with updates.
    let pages = [of.hit_pages(), of.missed].map(|pages| format!(", {pages} pages"));
    hits_and_misses(of, pages, totals.rfc_flushes, totals.switches, lines);
    lines.line("");
    lines.line(&format!("{:>WIDTH$} {:>12} {:>12}   {}", "updates", "misses", "pages", "site"));
    let mut row = |counts: &MemberCounts, name: &str| {
        lines.line(&format!(
            "{:>WIDTH$} {:>12} {:>12}   {name}",
            counts.updates(),
            counts.misses,
            counts.pages()
        ));
    };
    let named = report.sites.callers.iter().filter(|caller| !caller.name.is_empty());
    for Caller { name, kind, counts } in named.clone().take(CALLERS) {
        row(counts, &format!("{name}{}", if *kind == kind::RFC { " (the RFC's)" } else { "" }));
    }
    let others = named.clone().skip(CALLERS).fold(MemberCounts::default(), |mut sum, caller| {
        sum.add(&caller.counts);
        sum
    });
    if others.updates() > 0 {
        row(&others, &format!("{} other functions", named.count() - CALLERS));
    }
    let cached = cached(of, report);
    if cached.updates() > 0 {
        row(&cached, "found in the caches of tasks (the RFC's)");
    }
    let unknown = &totals.of_kind(kind::UNKNOWN);
    if unknown.updates() > 0 {
        row(unknown, "unclassified");
    }
}

/// Updates by the RFC's own sites that no event told of, but a look at a task's cache.
fn cached(rfc: &MemberCounts, report: &Report) -> MemberCounts {
    let mut told = MemberCounts::default();
    for caller in report.sites.callers.iter().filter(|caller| caller.kind == kind::RFC) {
        told.add(&caller.counts);
    }
    MemberCounts {
        hits: rfc.hits.saturating_sub(told.hits),
        misses: rfc.misses.saturating_sub(told.misses),
        added: rfc.added.saturating_sub(told.added),
        removed: rfc.removed.saturating_sub(told.removed),
        missed: rfc.missed.saturating_sub(told.missed),
    }
}

/// `pages`: what else there is to say of the hits and of the misses.
fn hits_and_misses(of: &MemberCounts, pages: [String; 2], flushes: u64, switches: u64, lines: &mut Lines) {
    let share = |part: u64| {
        if of.updates() == 0 {
            return String::new();
        }
        format!("{:.3} %", part as f64 * 100.0 / of.updates() as f64)
    };
    let [of_hits, of_misses] = pages;
    lines.figure(&of.hits.to_string(), "hits", &(share(of.hits) + &of_hits));
    let per_miss =
        updates_per_miss(of).map_or_else(String::new, |rate| format!(", {rate:.1} updates per miss"));
    lines.figure(&of.misses.to_string(), "misses", &(share(of.misses) + &per_miss + &of_misses));
    let per_switch = if switches == 0 {
        String::new()
    } else {
        format!("{:.2} per switch", flushes as f64 / switches as f64)
    };
    lines.figure(&flushes.to_string(), "flushes", &per_switch);
}

/// The most frequent call chains, as bpftrace prints stacks: the function that updated first.
fn chains(report: &Report, lines: &mut Lines) {
    let sites = &report.sites;
    let printed = sites.printed.min(sites.chains.len());
    if printed == 0 {
        return;
    }
    lines.line("");
    lines.line(&format!(" call chains of misses, the {printed} most frequent of {}:", sites.chains.len()));
    for chain in &sites.chains[..printed] {
        lines.line(&format!(
            "{:>WIDTH$}   {:.1} % of the misses",
            chain.misses,
            chain.misses as f64 * 100.0 / sites.misses() as f64
        ));
        for &frame in &chain.frames {
            lines.line(&format!("{:WIDTH$}     {}", "", sites.frame(frame)));
        }
    }
}

/// CPUs that a reader would have had to visit.
fn readers(report: &Report, lines: &mut Lines) {
    let visits = &report.totals.visits;
    lines.line("");
    let (Some(ran), Some(mask)) = (report.visited(visits.ran), report.visited(visits.mask)) else { return };
    lines.line(&format!(
        " CPUs that a reader visits: all {}; that ran the mm {ran:.1}, at most {}; in mm_cpumask {mask:.1}, at most {} ({} readings)",
        report.rules.cpus.possible.len(),
        visits.ran_max,
        visits.mask_max,
        visits.readings
    ));
}

/// How often RSS was read: the RFC makes updates cheaper and readings dearer.
fn reads(report: &Report, lines: &mut Lines) {
    let totals = &report.totals;
    let kernels = format!("{} exits, {} execs", totals.exits, totals.execs);
    match &report.openings {
        Err(why) => {
            lines.line(&format!(" readings of RSS: {kernels}; openings of files of /proc not known ({why})"));
        }
        Ok(of) => {
            let unnamed = if of.unnamed == 0 { String::new() } else { format!(", {} unnamed", of.unnamed) };
            let per_read = report
                .updates_per_read()
                .map_or_else(String::new, |rate| format!("; {rate:.1} updates per reading"));
            let lost = match of.overflows {
                0 => String::new(),
                1 => ", too low: the kernel's queue was full once".to_owned(),
                many => format!(", too low: the kernel's queue was full {many} times"),
            };
            lines.line(&format!(
                " readings of RSS: {kernels}; openings of stat {}, statm {}, status {}, smaps {}{unnamed}{lost}{per_read}",
                of.stat, of.statm, of.status, of.smaps
            ));
        }
    }
}

fn peaks(report: &Report, lines: &mut Lines) {
    let cell = |size: Option<i64>| size.map_or_else(|| "-".to_owned(), |bytes| (bytes / 1024).to_string());
    let mut line = |figures: [&str; 4], of: &str| {
        let [peak, error, vm_hwm, maxrss] = figures;
        let line = format!("{peak:>WIDTH$} {error:>10} {vm_hwm:>12} {maxrss:>12}   {of}");
        lines.line(line.trim_end());
    };
    line(["", "", "", ""], "");
    line(["true peak RSS", "+-", "VmHWM", "ru_maxrss"], "");
    for (name, peak) in ["the command", "the largest process"].into_iter().zip(&report.peaks) {
        match peak {
            None => line(["-", "-", "-", "-"], name),
            Some(Peak { pid, comm, exact, error, vm_hwm, maxrss }) => {
                let [exact, error] = [Some(*exact), Some(*error)].map(cell);
                let of = format!("{name}, pid {pid} ({})", shown(comm));
                line([&exact, &error, &cell(*vm_hwm), &cell(*maxrss)], &of);
            }
        }
    }
}

fn drift(report: &Report, lines: &mut Lines) {
    let page_size = report.rules.page_size;
    let kib = |pages: u64| bytes(pages, page_size) / 1024;
    let samples = &report.samples;
    lines.line("");
    let approximate = report.sources(Precision::Approximate);
    if !approximate.is_empty() {
        let mut text = format!(" |drift| of {}: ", approximate.join(", "));
        match samples.drift.distribution().absolute {
            None => text += "the command ended before it could be read",
            Some(found) => {
                let _ = write!(
                    text,
                    "p50 {} p95 {} p99 {} max {}, bound {}, {} readings, {:.1} % of them at {} or more",
                    kib(found.p50),
                    kib(found.p95),
                    kib(found.p99),
                    kib(found.max),
                    kib(samples.bound),
                    samples.readings,
                    report.above_percent().unwrap_or(0.0),
                    report.threshold / 1024,
                );
            }
        }
        lines.line(&text);
        if let Some(of) = report.totals.drift {
            lines.line(&format!(
                " the largest by events: {}, pid {} ({})",
                bytes(of.drift, page_size) / 1024,
                of.tgid,
                shown(&report.drift_comm)
            ));
        }
    }
    let unknown = report.sources(Precision::Unknown);
    if !unknown.is_empty() {
        lines.line(&format!(
            " drift not known: {} (whether they are exact here could not be found)",
            unknown.join(", ")
        ));
    }
    let exact = report.sources(Precision::Exact);
    if !exact.is_empty() {
        lines.line(&format!(" no drift: {} (exact on this kernel)", exact.join(", ")));
    }
}

fn self_check(report: &Report, lines: &mut Lines) {
    let check = &report.check;
    let size =
        |size: Option<u64>| size.map_or_else(|| "unknown".to_owned(), |size| (size / 1024).to_string());
    lines.line("");
    lines.line(&format!(
        " self-check: {} events missed, {} updates and {} processes refused, max error while idle {} pages, {} pages \
         corrected, {} of {} exited address spaces left a residue{}, CPU time {:.2} s, RSS {} KiB (peak {} KiB), maps {} KiB",
        check.missed,
        check.refused,
        report.totals.refused,
        check.idle_error,
        check.repaired,
        check.residues,
        check.deaths,
        check.rare(Detail::wanted()),
        report.costs.cpu_time.as_secs_f64(),
        size(report.costs.rss),
        size(report.costs.peak_rss),
        report.costs.maps / 1024,
    ));
    lines.line("");
}
