//! The one engine of tables: columns of a record, from which its CSV and JSON, `--fields help` and docs/ are made.
//!
//! The rows of `watch` (`rows.rs`), the report of `run` and that of `demo` are such tables. Pages become bytes here and
//! nowhere else.

use std::{
    borrow::Cow,
    cmp::Ordering,
    time::{Duration, SystemTime},
};

mod column;
mod csv;
mod doc;
mod escape;
mod groups;
#[cfg(test)]
mod groups_doc;
mod json;
mod parse;
mod record;
mod rows;
mod size;

pub use column::{Column, Getter, Set, Unit};
pub use csv::{Names, csv_header, csv_rows};
#[cfg(test)]
pub(crate) use doc::{check_doc, markdown};
pub use doc::{csv_doc, fields_help};
pub use escape::{clean, clean_json, clean_lines, shown};
pub use json::{json_line, json_object};
pub use parse::{FieldError, default_fields, find, nearest, parse_field, parse_fields};
pub use record::Record;
pub use rows::{CONTRACT, Field};
pub use size::{Units, grouped};

/// What a column says of one record.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// Unreadable, or what this mode or kernel cannot give: empty in every output, never 0.
    Empty,
    /// A size in bytes.
    Bytes(i64),
    /// At least so many bytes; the true figure is not known. Empty in the outputs for machines.
    AtLeast(i64),
    /// A whole number.
    Number(u64),
    /// A mean, a share in percent, or seconds.
    Real(f64),
    /// Yes or no.
    Flag(bool),
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
            (Self::Real(one), Self::Real(two)) => two.abs().total_cmp(&one.abs()),
            (Self::Time(one), Self::Time(two)) => two.cmp(one),
            (Self::Bytes(one) | Self::AtLeast(one), Self::Bytes(two) | Self::AtLeast(two)) => {
                two.unsigned_abs().cmp(&one.unsigned_abs())
            }
            // One column gives one kind of value, and none that is sorted by gives flags.
            _ => Ordering::Equal,
        }
    }
}

macro_rules! from {
    ($($from:ty, |$it:ident| $value:expr;)*) => {
        $(impl From<$from> for Value<'_> {
            fn from($it: $from) -> Self {
                $value
            }
        })*
    };
}

from! {
    u64, |number| Self::Number(number);
    f64, |number| Self::Real(number);
    Duration, |time| Self::Real(time.as_secs_f64());
    bool, |flag| Self::Flag(flag);
    SystemTime, |time| Self::Time(time);
    String, |text| Self::Text(text.into());
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text.into())
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Empty, T::into)
    }
}

/// A count of pages or bytes, with or without a sign.
pub trait Count: Copy {
    /// The count. A figure beyond the range, which no kernel gives, stops at its end instead of wrapping.
    fn count(self) -> i64;
}

impl Count for i64 {
    fn count(self) -> i64 {
        self
    }
}

impl Count for u64 {
    fn count(self) -> i64 {
        i64::try_from(self).unwrap_or(i64::MAX)
    }
}

/// Pages as bytes. What is beyond the range stops at its end as well.
#[must_use]
pub fn bytes(pages: impl Count, page_size: u64) -> i64 {
    pages.count().saturating_mul(page_size.count())
}

/// What `columns!` makes a size of.
pub trait Size {
    /// The size of so many `unit`s, which are of so many bytes.
    fn size(self, unit: u64) -> Value<'static>;
}

impl<T: Count> Size for T {
    fn size(self, unit: u64) -> Value<'static> {
        Value::Bytes(bytes(self, unit))
    }
}

/// Known as one already.
impl Size for Value<'static> {
    fn size(self, _: u64) -> Self {
        self
    }
}

impl<T: Count> Size for Option<T> {
    fn size(self, unit: u64) -> Value<'static> {
        self.map_or(Value::Empty, |count| count.size(unit))
    }
}

/// Columns of a type of records, each as `name Unit "documentation" |record, host| value, what else is set;`.
/// The unit `Pages` makes bytes of pages.
macro_rules! columns {
    ($of:ty; $($name:ident $unit:ident $doc:literal |$record:pat_param, $host:pat_param| $value:expr
        $(, $($set:ident $to:tt)+)?;)*) => {
        &[$($crate::table::Column::<$of>::new(
            stringify!($name),
            $crate::table::columns!(@unit $unit),
            $doc,
            |record, host| {
                let ($record, $host) = (record, host);
                $crate::table::columns!(@value $unit $value, host)
            },
        )$($(.$set $to)+)?,)*]
    };
    (@unit Pages) => { $crate::table::Unit::Bytes };
    (@unit $unit:ident) => { $crate::table::Unit::$unit };
    (@value Pages $value:expr, $host:ident) => { $crate::table::Size::size($value, $host.page_size) };
    (@value Bytes $value:expr, $host:ident) => { $crate::table::Size::size($value, 1) };
    (@value $unit:ident $value:expr, $host:ident) => { $crate::table::Value::from($value) };
}
pub(crate) use columns;

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
    use crate::{
        drift::{
            fixture,
            sample::{Note, Row, ShadowFigures},
        },
        proc::{Precision, ProcFigures},
    };

    #[test]
    fn pages_stop_at_the_end_of_the_range() {
        assert_eq!(bytes(-3_i64, 4096), -12288);
        assert_eq!(bytes(i64::MAX, 4096), i64::MAX);
        assert_eq!(bytes(i64::MIN, 65536), i64::MIN);
        assert_eq!(bytes(u64::MAX, 1), i64::MAX);
        assert_eq!(bytes(1_i64, u64::MAX), i64::MAX);
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
            assert_eq!(find::<Row>(name).unwrap().get(&row, &host), Value::Empty, "{name}");
        }
        assert_eq!(find::<Row>("exact").unwrap().get(&row, &host), Value::Bytes(100 * 4096));
    }

    #[test]
    fn the_band_is_drift_and_what_moved_on_both_sides() {
        let mut row = fixture::row(1, "sh", 100, 90);
        assert_eq!(row.band(), None, "passive mode knows a lower bound of the movement only");
        row.shadow = Some(ShadowFigures { uncertainty: Some(3), ..ShadowFigures::default() });
        assert_eq!(row.band(), Some((7, 13)));
        row.notes = vec![Note::Uncertain];
        assert_eq!(row.band(), None, "the reading is not of one instant");
        row.notes.clear();
        row.files.stat = None;
        assert_eq!(row.band(), None, "unreadable");
    }

    #[test]
    fn a_file_of_unknown_precision_has_no_drift() {
        let mut row = fixture::row(1, "sh", 100, 90);
        row.shadow = Some(ShadowFigures { uncertainty: Some(3), ..ShadowFigures::default() });
        assert_eq!((row.drift(), row.drift_percent()), (Some(10), Some(10.0)));
        row.precision = Precision::Unknown;
        assert_eq!((row.drift(), row.drift_percent(), row.band()), (None, None, None));
        assert_eq!(row.reported(), Some(90), "what it printed stays");
    }

    #[test]
    fn passive_mode_knows_a_lower_bound_of_the_uncertainty_only() {
        let host = fixture::host();
        let mut row = fixture::row(7, "sh", 100, 90);
        row.moved = Some(3);
        assert_eq!(find::<Row>("uncertainty").unwrap().get(&row, &host), Value::AtLeast(12288));
        assert_eq!(find::<Row>("uncertainty_bytes").unwrap().get(&row, &host), Value::Empty);
        assert_eq!(find::<Row>("moved_bytes").unwrap().get(&row, &host), Value::Bytes(12288));
    }

    #[test]
    fn sorting_puts_the_largest_magnitude_first_and_the_empty_last() {
        let mut values = [Value::Bytes(5), Value::Empty, Value::Bytes(-9), Value::Bytes(7)];
        values.sort_by(Value::sort_order);
        assert_eq!(values, [Value::Bytes(-9), Value::Bytes(7), Value::Bytes(5), Value::Empty]);
    }
}
