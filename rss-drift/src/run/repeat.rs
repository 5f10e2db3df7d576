//! Several runs of the command: mean and spread of the figures, as `perf stat -r` prints them.

use std::fmt::Write as _;

use super::{figures::FIGURES, report::Report, text::title};
use crate::table::Value;

/// Columns of the figures.
const WIDTH: usize = 18;

/// The figures that vary, with what is printed of them.
const SHOWN: &[(&str, &str)] = &[
    ("duration_seconds", "s elapsed"),
    ("forks", "processes forked"),
    ("execs", "programs executed"),
    ("faults", "page faults"),
    ("switches", "context switches to another mm"),
    ("updates", "RSS updates"),
    ("hits", "hits"),
    ("misses", "misses"),
    ("flushes", "flushes"),
    ("rfc_updates", "updates by the RFC's own sites"),
    ("rfc_hits", "hits of these"),
    ("rfc_misses", "misses of these"),
    ("rfc_flushes", "flushes of these"),
    ("command_peak_bytes", "KiB true peak RSS, the command"),
    ("largest_peak_bytes", "KiB true peak RSS, the largest"),
    ("drift_p50_bytes", "KiB |drift|, p50"),
    ("drift_max_bytes", "KiB |drift|, max"),
    ("missed_events", "self-check: events missed"),
    ("updates_refused", "self-check: updates refused"),
];

/// The report of all runs.
pub(super) fn text(reports: &[Report]) -> String {
    let Some(first) = reports.first() else { return String::new() };
    let mut text = title(first, &format!(" ({} runs)", reports.len())) + "\n";
    for (name, label) in SHOWN {
        let Some(figure) = FIGURES.iter().find(|figure| figure.name == *name) else { continue };
        let values: Vec<f64> =
            reports.iter().filter_map(|report| number(&figure.get(report, &report.host))).collect();
        let line = match Spread::of(&values) {
            None => format!("{:>WIDTH$}   {label}", "-"),
            Some(Spread { mean, percent }) => {
                let digits = if *name == "duration_seconds" { 3 } else { 0 };
                format!("{mean:>WIDTH$.digits$}   {label:<34}( +- {percent:.2} % )")
            }
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{line}");
    }
    text.push('\n');
    text
}

/// A figure as it is printed: sizes in KiB.
fn number(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Bytes(bytes) => Some(*bytes as f64 / 1024.0),
        Value::Number(number) => Some(*number as f64),
        Value::Real(number) => Some(*number),
        _ => None,
    }
}

/// A mean, and its standard error in percent of it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spread {
    mean: f64,
    percent: f64,
}

impl Spread {
    /// Of these values; `None` without one.
    fn of(values: &[f64]) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        // Of one value nothing can be said; of zeroes nothing has to be.
        let error = if count > 1.0 { (squares / (count - 1.0) / count).sqrt() } else { 0.0 };
        let percent = if mean == 0.0 { 0.0 } else { 100.0 * error / mean.abs() };
        Some(Self { mean, percent })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_in_the_table() {
        for (name, _) in SHOWN {
            assert!(FIGURES.iter().any(|figure| figure.name == *name), "{name}");
        }
    }

    #[test]
    fn the_spread_is_the_means_standard_error() {
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(Spread::of(&[5.0]), Some(Spread { mean: 5.0, percent: 0.0 }));
        assert_eq!(Spread::of(&[0.0, 0.0]), Some(Spread { mean: 0.0, percent: 0.0 }));
        // Deviations 2 and 2: a variance of 8, of the mean 4.
        assert_eq!(Spread::of(&[8.0, 12.0]), Some(Spread { mean: 10.0, percent: 20.0 }));
    }
}
