//! The one table of fields: name, unit, documentation and getter.
//!
//! The terminal's table, the CSV header, the JSON keys, `--fields help` and `docs/csv.md` are all made from it. Pages
//! become bytes here and nowhere else.

use std::{borrow::Cow, cmp::Ordering, time::SystemTime};

use crate::drift::sample::{Host, Row};

mod doc;
mod parse;
mod table;

pub use doc::{csv_doc, fields_help};
pub use parse::{FieldError, find, parse_fields};
pub use table::FIELDS;

/// What a field says of one row.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// Unreadable, or what this mode or kernel cannot give: empty in every output, never 0.
    Empty,
    /// A size in bytes.
    Bytes(i64),
    /// At least so many bytes; the true figure is not known. Empty in the outputs for machines.
    AtLeast(i64),
    /// A number without a unit.
    Number(u64),
    /// A share in percent.
    Percent(f64),
    /// An instant.
    Time(SystemTime),
    /// Text as the process or the kernel gave it; nothing is escaped yet.
    Text(Cow<'a, str>),
}

impl Value<'_> {
    /// Orders values for `--sort`: the largest by magnitude first, text by the alphabet, what is empty last.
    #[must_use]
    pub fn sort_order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Empty, Self::Empty) => Ordering::Equal,
            (Self::Empty, _) => Ordering::Greater,
            (_, Self::Empty) => Ordering::Less,
            (Self::Text(one), Self::Text(two)) => one.cmp(two),
            (Self::Number(one), Self::Number(two)) => two.cmp(one),
            (Self::Percent(one), Self::Percent(two)) => two.abs().total_cmp(&one.abs()),
            (Self::Time(one), Self::Time(two)) => two.cmp(one),
            (Self::Bytes(one) | Self::AtLeast(one), Self::Bytes(two) | Self::AtLeast(two)) => {
                two.unsigned_abs().cmp(&one.unsigned_abs())
            }
            // One field gives one kind of value.
            _ => Ordering::Equal,
        }
    }
}

impl From<Option<u64>> for Value<'_> {
    fn from(number: Option<u64>) -> Self {
        number.map_or(Self::Empty, Self::Number)
    }
}

/// What a field's figures are counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes; the terminal prints KiB.
    Bytes,
    /// A number without a unit.
    Number,
    /// Percent.
    Percent,
    /// RFC 3339, UTC, with milliseconds.
    Time,
    /// The local time of day on the terminal; elsewhere as [`Unit::Time`].
    Clock,
    /// Text.
    Text,
}

impl Unit {
    /// The word in the documentation.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Number => "number",
            Self::Percent => "percent",
            Self::Time | Self::Clock => "time",
            Self::Text => "text",
        }
    }
}

/// Reads one field of a row.
pub type Getter = for<'a> fn(&'a Row, &'a Host) -> Value<'a>;

/// One field of a report.
#[derive(Debug)]
pub struct Field {
    /// The name in the CSV header and of the JSON key.
    pub name: &'static str,
    /// Shorter names for `--fields` and `--sort`.
    pub aliases: &'static [&'static str],
    /// The column's head on the terminal.
    pub header: &'static str,
    /// What the figures are counted in.
    pub unit: Unit,
    /// One line of documentation, without a full stop.
    pub doc: &'static str,
    /// Whether the CSV and JSON outputs have it; the others are for the terminal only.
    pub contract: bool,
    /// Where a terminal is too narrow, columns with the lowest figure go first.
    pub priority: u8,
    get: Getter,
}

impl Field {
    /// The field of one row.
    #[must_use]
    pub fn get<'a>(&self, row: &'a Row, host: &'a Host) -> Value<'a> {
        (self.get)(row, host)
    }

    /// Whether a table that was not asked for this column by name drops it while it is empty: `resident` is read on
    /// request only, and most rows need no `note`.
    #[must_use]
    pub fn hides_when_empty(&self) -> bool {
        matches!(self.name, "resident_bytes" | "note")
    }
}

/// The columns of CSV and the keys of JSON, in their order.
pub fn contract() -> impl Iterator<Item = &'static Field> {
    FIELDS.iter().filter(|field| field.contract)
}

/// The terminal's columns when `--fields` says nothing, those that hide when empty among them.
#[must_use]
pub fn default_fields() -> Vec<&'static Field> {
    [
        "time",
        "pid",
        "comm",
        "reported",
        "exact",
        "drift",
        "drift%",
        "bound",
        "uncertainty",
        "resident",
        "note",
    ]
    .iter()
    .filter_map(|name| find(name))
    .collect()
}

/// Pages as bytes. A figure beyond the range, which no kernel gives, stops at its end instead of wrapping.
#[must_use]
pub fn bytes(pages: i64, page_size: u64) -> i64 {
    pages.saturating_mul(i64::try_from(page_size).unwrap_or(i64::MAX))
}

/// As [`bytes`], of pages without a sign.
#[must_use]
pub fn unsigned_bytes(pages: u64, page_size: u64) -> i64 {
    bytes(i64::try_from(pages).unwrap_or(i64::MAX), page_size)
}

/// An instant as RFC 3339, UTC, with milliseconds; empty outside of the years 1970 to 9999, which the format has not.
#[must_use]
pub fn rfc3339(time: SystemTime) -> String {
    const YEAR_10000: u64 = 253_402_300_800;
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) if since.as_secs() < YEAR_10000 => humantime::format_rfc3339_millis(time).to_string(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{drift::fixture, proc::ProcFigures};

    #[test]
    fn pages_stop_at_the_end_of_the_range() {
        assert_eq!(bytes(-3, 4096), -12288);
        assert_eq!(bytes(i64::MAX, 4096), i64::MAX);
        assert_eq!(bytes(i64::MIN, 65536), i64::MIN);
        assert_eq!(unsigned_bytes(u64::MAX, 1), i64::MAX);
        assert_eq!(bytes(1, u64::MAX), i64::MAX);
    }

    #[test]
    fn instants_that_the_format_has_not_are_empty() {
        assert_eq!(rfc3339(SystemTime::UNIX_EPOCH + Duration::from_millis(1)), "1970-01-01T00:00:00.001Z");
        assert_eq!(rfc3339(SystemTime::UNIX_EPOCH - Duration::from_secs(1)), "");
        assert_eq!(rfc3339(SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_800)), "");
    }

    #[test]
    fn unreadable_is_empty_and_what_follows_from_it_too() {
        let host = fixture::host();
        let mut row = fixture::row(7, "sh", 100, 90);
        row.files = ProcFigures::default();
        row.process.uid = None;
        row.bound = None;
        row.moved = None;
        for name in
            ["reported", "drift", "drift%", "stat", "statm", "status", "resident", "vm_hwm_bytes", "uid"]
                .into_iter()
                .chain(["bound", "moved", "uncertainty", "uncertainty_bytes", "shadow_bytes", "hits"])
        {
            assert_eq!(find(name).unwrap().get(&row, &host), Value::Empty, "{name}");
        }
        assert_eq!(find("exact").unwrap().get(&row, &host), Value::Bytes(100 * 4096));
    }

    #[test]
    fn passive_mode_knows_a_lower_bound_of_the_uncertainty_only() {
        let host = fixture::host();
        let mut row = fixture::row(7, "sh", 100, 90);
        row.moved = Some(3);
        assert_eq!(find("uncertainty").unwrap().get(&row, &host), Value::AtLeast(12288));
        assert_eq!(find("uncertainty_bytes").unwrap().get(&row, &host), Value::Empty);
        assert_eq!(find("moved_bytes").unwrap().get(&row, &host), Value::Bytes(12288));
    }

    #[test]
    fn sorting_puts_the_largest_magnitude_first_and_the_empty_last() {
        let mut values = [Value::Bytes(5), Value::Empty, Value::Bytes(-9), Value::Bytes(7)];
        values.sort_by(Value::sort_order);
        assert_eq!(values, [Value::Bytes(-9), Value::Bytes(7), Value::Bytes(5), Value::Empty]);
    }
}
