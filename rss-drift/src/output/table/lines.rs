//! The lines around a table: the host, the self-check, the summary of all intervals.

use std::time::{Duration, SystemTime};

use super::super::{Block, Detail, FinalSummary, SelfCheck, counted};
use crate::{
    drift::stats::{Distribution, Percentiles},
    table::{bytes, clean, shown},
};

/// The lines above a table.
pub(super) fn headline(block: &Block<'_>) -> Vec<String> {
    let (host, headline) = (block.host, block.headline);
    let exact: Vec<_> = headline.exact_sources.iter().map(|source| source.name()).collect();
    let summary = &headline.summary;
    vec![
        format!(
            "{} {}, kernel {}, {} accounting, {} mode, exact /proc files: {}",
            clock(block.time),
            shown(&host.hostname),
            shown(&host.kernel),
            host.accounting.name(),
            host.mode,
            if exact.is_empty() { "none".to_owned() } else { exact.join(", ") },
        ),
        format!(
            "{}, sum of {} {}, exact {}, |drift| {} (sizes in KiB)",
            processes(headline.processes, headline.selected_of),
            headline.source.name(),
            summary.reported.map_or_else(
                || "unknown".to_owned(),
                |reported| kib(bytes(reported, host.page_size)).to_string()
            ),
            kib(bytes(summary.exact, host.page_size)),
            distribution(&summary.drift, host.page_size),
        ),
    ]
}

/// Of which processes the figures are.
fn processes(count: u64, selected_of: Option<u64>) -> String {
    match selected_of {
        None => counted(count, "process", "processes"),
        Some(all) => format!("{count} of {} selected", counted(all, "process", "processes")),
    }
}

/// The lines below a table; `hidden` are the heads of columns that it has no room for.
pub(super) fn footer(block: &Block<'_>, hidden: &[&str]) -> Vec<String> {
    let mut lines = Vec::new();
    if !hidden.is_empty() {
        lines.push(format!(
            "no room for {}: widen the terminal, name fewer --fields, or pipe it into `less -S`",
            hidden.join(", ")
        ));
    }
    if block.not_in_table() > 0 {
        lines.push(format!("{} not shown", counted(block.not_in_table(), "more process", "more processes")));
    }
    lines.extend(block.events.iter().map(|event| clean(event)));
    lines.push(format!("self-check: {}", self_check(block.check)));
    lines
}

/// The summary of all intervals.
pub(super) fn summary(summary: &FinalSummary<'_>) -> Vec<String> {
    let page_size = summary.host.page_size;
    let mut lines = vec![
        format!(
            "run of {}: {}, {}, {}",
            duration(summary.duration),
            counted(summary.intervals, "interval", "intervals"),
            counted(summary.processes, "process", "processes")
                + if summary.selected { " selected" } else { "" },
            counted(summary.drift.readings, "reading", "readings"),
        ),
        format!("|drift| over all readings: {} (sizes in KiB)", distribution(&summary.drift, page_size)),
    ];
    if let Some(largest) = summary.largest {
        lines.push(format!(
            "largest drift: {} KiB of exact {} KiB, pid {} ({}) at {}",
            kib(bytes(largest.reading.drift(), page_size)),
            kib(bytes(largest.reading.exact, page_size)),
            largest.pid,
            shown(&largest.comm),
            clock(largest.time),
        ));
    }
    lines.push(format!(
        "self-check: {}, CPU time {:.2} s",
        self_check(summary.check),
        summary.cpu_time.as_secs_f64()
    ));
    let skipped = summary.skipped.iter();
    lines.extend(
        skipped.map(|it| format!("skipped: {} of {} reports of {}", it.reports, it.of, clean(&it.output))),
    );
    lines
}

/// The self-check: every figure by its name, also those that are 0, so that a reader sees what was checked.
fn self_check(check: &SelfCheck) -> String {
    let size = |size: Option<u64>| {
        size.map_or_else(|| "unknown".to_owned(), |size| format!("{} KiB", kib(bytes(size, 1))))
    };
    let text = format!(
        "{} retried, {} uncertain, {} with /proc, {} unreadable, CPU {}, RSS {} (peak {}), maps {}",
        counted(check.retried, "reading", "readings"),
        counted(check.uncertain, "row", "rows"),
        counted(check.disagreements, "disagreement", "disagreements"),
        counted(check.unreadable, "file", "files"),
        check.cpu_percent.map_or_else(|| "unknown".to_owned(), |percent| format!("{percent:.2} %")),
        size(check.rss_bytes),
        size(check.peak_rss_bytes),
        size(check.map_bytes),
    );
    let Some(shadow) = &check.shadow else { return text };
    format!(
        "{text}; shadow: {} missed, {} refused, max error while idle {}, {} corrected, {} of {} exited address spaces left a \
         residue{}, BPF programs {}",
        counted(shadow.missed, "event", "events"),
        counted(shadow.refused, "update", "updates"),
        counted(shadow.idle_error, "page", "pages"),
        counted(shadow.repaired, "page", "pages"),
        shadow.residues,
        shadow.deaths,
        shadow.rare(Detail::wanted()),
        shadow
            .programs_percent
            .map_or_else(|| "unknown".to_owned(), |percent| format!("{percent:.2} % of the host")),
    )
}

fn distribution(drift: &Distribution, page_size: u64) -> String {
    let four = |found: Percentiles<String>| {
        format!("p50 {} p95 {} p99 {} max {}", found.p50, found.p95, found.p99, found.max)
    };
    let Some(absolute) = drift.absolute else { return "unknown".to_owned() };
    let size = |pages| kib(bytes(pages, page_size)).to_string();
    let mut text = four(Percentiles {
        p50: size(absolute.p50),
        p95: size(absolute.p95),
        p99: size(absolute.p99),
        max: size(absolute.max),
    });
    if let Some(relative) = drift.relative {
        let share = |percent: f64| format!("{percent:.2}");
        text += ", % of exact ";
        text += &four(Percentiles {
            p50: share(relative.p50),
            p95: share(relative.p95),
            p99: share(relative.p99),
            max: share(relative.max),
        });
    }
    text
}

/// Bytes as whole KiB, as ps and top print them; a page is never less than 4 KiB.
pub(super) const fn kib(bytes: i64) -> i64 {
    bytes / 1024
}

fn duration(duration: Duration) -> String {
    if duration.as_secs() == 0 {
        return format!("{} ms", duration.as_millis());
    }
    humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string()
}

/// The local time of day; `-` of a year that the system cannot tell.
pub(super) fn clock(time: SystemTime) -> String {
    let seconds = match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => libc::time_t::try_from(since.as_secs()),
        // A part of a second before a whole one is in the second before.
        Err(error) => {
            let before = error.duration();
            libc::time_t::try_from(before.as_secs() + u64::from(before.subsec_nanos() > 0)).map(|it| -it)
        }
    };
    let Ok(seconds) = seconds else { return "-".to_owned() };
    // SAFETY: all fields of `tm` are integers and one pointer that may be null: zeroes are a valid value.
    let mut local: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both point to values that live through the call; localtime_r keeps neither.
    let result = unsafe { libc::localtime_r(&raw const seconds, &raw mut local) };
    if result.is_null() {
        return "-".to_owned();
    }
    format!("{:02}:{:02}:{:02}", local.tm_hour, local.tm_min, local.tm_sec)
}

#[cfg(test)]
mod tests {
    use super::{super::super::ShadowCheck, *};

    #[test]
    fn the_time_of_day_is_told_of_every_year() {
        let day = Duration::from_secs(86400);
        let [before, epoch, after] =
            [SystemTime::UNIX_EPOCH - day, SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH + day];
        assert_eq!([clock(before), clock(after)], [clock(epoch), clock(epoch)], "a day apart");
        let half = Duration::from_millis(500);
        assert_eq!(clock(before - half), clock(before - 2 * half), "the second that it is in");
        let far = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 62);
        assert_eq!(clock(far), "-");
    }

    #[test]
    fn one_is_not_many() {
        assert_eq!(counted(1, "row", "rows"), "1 row");
        assert_eq!(counted(0, "row", "rows"), "0 rows");
    }

    #[test]
    fn what_is_rare_is_told_where_it_happened_or_is_asked_for() {
        let shadow = ShadowCheck { caught: 1, late: 3, ..ShadowCheck::default() };
        assert_eq!(
            shadow.rare(Detail::Happened),
            ", 3 pages found at the end of their mm, 1 slot corrected by an update"
        );
        assert_eq!(ShadowCheck::default().rare(Detail::Happened), "");
        assert_eq!(ShadowCheck::default().rare(Detail::All).matches(", 0 ").count(), 7);
    }

    #[test]
    fn short_runs_are_told_in_milliseconds() {
        assert_eq!(duration(Duration::from_millis(120)), "120 ms");
        assert_eq!(duration(Duration::from_millis(61_900)), "1m 1s");
    }

    #[test]
    fn what_is_not_known_is_not_0() {
        let text = self_check(&SelfCheck { retried: 1, ..SelfCheck::default() });
        assert_eq!(
            text,
            "1 reading retried, 0 rows uncertain, 0 disagreements with /proc, 0 files unreadable, CPU unknown, RSS \
             unknown (peak unknown), maps unknown"
        );
    }
}
