//! The lines below a table, and the summary of all intervals.

use std::time::{Duration, SystemTime};

use super::{
    super::{Block, FinalSummary, Reported, counted},
    View, check,
    layout::{MOVING, Shown},
};
use crate::{
    drift::stats::{Distribution, Percentiles},
    table::{Column, Units, bytes, clean, shown},
};

/// Columns that tell a peak.
const PEAKS: [&str; 2] = ["peak_exact_bytes", "peak_drift_bytes"];

/// The lines below a table.
pub(super) fn footer<R: Reported>(
    block: &Block<'_>,
    Shown { fields, hidden }: &Shown<R>,
    view: &View<R>,
) -> Vec<String> {
    let mut lines = Vec::new();
    if !hidden.is_empty() {
        lines.push(format!(
            "no room for {}: widen the terminal, name fewer --fields, or pipe it into `less -S`",
            hidden.join(", ")
        ));
    }
    if block.not_in_table() > 0 {
        // That of processes in no group is a row too.
        let has_none = block.headline.groups.is_some_and(|count| count.in_none > 0);
        let (one, many) = if has_none { ("row", "rows") } else { block.headline.nouns() };
        let more = |noun: &str| format!("more {noun}");
        lines.push(format!("{} not shown", counted(block.not_in_table(), &more(one), &more(many))));
    }
    let peaks: Vec<_> =
        fields.iter().filter(|field| PEAKS.contains(&field.name)).map(|field| field.header).collect();
    if let Some(since) = block.since.filter(|_| !peaks.is_empty()) {
        lines.push(format!("{}: since {}, or since the process began", peaks.join(", "), clock(since)));
    }
    lines.extend(block.events.iter().map(|event| clean(event)));
    lines.push(format!("self-check: {}", check::of_report(block.check, view.units, view.detail)));
    if block.interval == 1 {
        // What the signs mean is told once.
        lines.extend(legend(fields, view.units));
    }
    lines
}

/// What the signs in a table mean, and heads that are no words of the glossary.
fn legend<R: Reported>(fields: &[&'static Column<R>], units: Units) -> Vec<String> {
    let moving = match (R::MOVES, units) {
        (false, _) => String::new(),
        (true, Units::Human) => {
            format!("; {MOVING} moving: so much changed while it was read that it may be none")
        }
        (true, _) => "; one smaller than UNCERT may be none".to_owned(),
    };
    let (more, less) = if units == Units::Human { ("+", "-") } else { ("above 0", "below 0") };
    let drift = format!("DRIFT: {more} the kernel shows too little, {less} too much{moving}");
    let shows = |name: &str| fields.iter().any(|field| field.name == name);
    let told = R::LEGEND.iter().filter(|(column, _)| shows(column)).map(|(_, text)| (*text).to_owned());
    [drift].into_iter().chain(told).collect()
}

/// The summary of all intervals.
pub(super) fn summary<R: Reported>(summary: &FinalSummary<'_>, view: &View<R>) -> Vec<String> {
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
        format!("|drift| over all readings: {}", distribution(&summary.drift, view.units, page_size)),
    ];
    if let Some(largest) = summary.largest {
        lines.push(format!(
            "largest drift: {} of exact {}, pid {} ({}) at {}",
            view.units.text(bytes(largest.reading.drift(), page_size)),
            view.units.text(bytes(largest.reading.exact, page_size)),
            largest.pid,
            shown(&largest.comm),
            clock(largest.time),
        ));
    }
    lines.push(format!(
        "self-check: {}, CPU time {:.2} s",
        check::of_run(summary.check, view.units, view.detail),
        summary.cpu_time.as_secs_f64()
    ));
    if summary.dropped > 0 {
        let dropped = counted(summary.dropped, "report", "reports");
        lines.push(format!("dropped: {dropped}, because a signal came before all of it was read"));
    }
    let skipped = summary.skipped.iter();
    lines.extend(
        skipped.map(|it| format!("skipped: {} of {} reports of {}", it.reports, it.of, clean(&it.output))),
    );
    lines
}

/// Percentiles of |drift|.
pub(super) fn distribution(drift: &Distribution, units: Units, page_size: u64) -> String {
    let four = |found: Percentiles<String>| {
        format!("p50 {}, p95 {}, p99 {}, max {}", found.p50, found.p95, found.p99, found.max)
    };
    let Some(absolute) = drift.absolute else { return "unknown".to_owned() };
    let size = |pages| units.text(bytes(pages, page_size));
    let mut text = four(Percentiles {
        p50: size(absolute.p50),
        p95: size(absolute.p95),
        p99: size(absolute.p99),
        max: size(absolute.max),
    });
    if let Some(relative) = drift.relative {
        let share = |percent: f64| format!("{percent:.2}");
        text += "; in % of exact ";
        text += &four(Percentiles {
            p50: share(relative.p50),
            p95: share(relative.p95),
            p99: share(relative.p99),
            max: share(relative.max),
        });
    }
    text
}

fn duration(duration: Duration) -> String {
    if duration.as_secs() == 0 {
        return format!("{} ms", duration.as_millis());
    }
    humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string()
}

/// The local time of day; `-` of a year that the system cannot tell.
pub(crate) fn clock(time: SystemTime) -> String {
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
    use super::*;

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
    fn short_runs_are_told_in_milliseconds() {
        assert_eq!(duration(Duration::from_millis(120)), "120 ms");
        assert_eq!(duration(Duration::from_millis(61_900)), "1m 1s");
    }
}
