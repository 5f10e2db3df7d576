//! JSON: an object for each record, with the CSV's columns as keys.

use serde_json::Map;

use super::{Column, Value, clean_json, rfc3339};
use crate::drift::sample::Host;

/// An object in one line, its keys in the columns' order.
#[must_use]
pub fn json_line<R>(columns: &[Column<R>], record: &R, host: &Host) -> String {
    // Written by hand, because serde_json's map would sort the keys.
    let pairs =
        columns.iter().map(|column| format!("\"{}\":{}", column.name, json(column.get(record, host))));
    clean_json(&format!("{{{}}}\n", pairs.collect::<Vec<_>>().join(",")))
}

/// An object whose keys are sorted.
#[must_use]
pub fn json_object<R>(columns: &[Column<R>], record: &R, host: &Host) -> Map<String, serde_json::Value> {
    columns.iter().map(|column| (column.name.to_owned(), json(column.get(record, host)))).collect()
}

fn json(value: Value<'_>) -> serde_json::Value {
    match value {
        // A lower bound is no figure to calculate with.
        Value::Empty | Value::AtLeast(_) => serde_json::Value::Null,
        Value::Bytes(bytes) => bytes.into(),
        Value::Number(number) => number.into(),
        Value::Real(number) => number.into(),
        Value::Flag(flag) => flag.into(),
        Value::Time(time) => Some(rfc3339(time)).filter(|text| !text.is_empty()).into(),
        Value::Text(text) => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::CONTRACT, *};
    use crate::drift::{fixture, sample::Row};

    fn rows(rows: &[Row], host: &Host) -> String {
        rows.iter().map(|row| json_line(CONTRACT, row, host)).collect()
    }

    #[test]
    fn keys_are_the_csv_columns_in_their_order() {
        let line = rows(&[fixture::row(42, "sh", 100, 90)], &fixture::host());
        let positions: Vec<_> = CONTRACT
            .iter()
            .map(|field| line.find(&format!("\"{}\":", field.name)).expect(field.name))
            .collect();
        assert!(positions.is_sorted());
        assert!(line.ends_with("}\n") && line.matches('\n').count() == 1);
    }

    #[test]
    fn numbers_are_numbers_and_the_unreadable_is_null() {
        let line = rows(&[fixture::row(42, "sh", 100, 90)], &fixture::host());
        let object: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(object["exact_bytes"], 409_600);
        assert_eq!(object["pid"], 42);
        assert_eq!(object["resident_bytes"], serde_json::Value::Null);
        assert_eq!(object["timestamp"], "2026-01-02T03:04:05.678Z");
    }

    #[test]
    fn the_lines_never_change() {
        let lines = rows(&fixture::passive_and_full(), &fixture::host());
        assert_eq!(lines, include_str!("golden.jsonl"));
    }

    proptest! {
        #[test]
        fn names_come_back_as_they_were(name in any::<String>()) {
            let lines = rows(&[fixture::row(1, &name, 5, 4)], &fixture::host());
            prop_assert_eq!(lines.matches('\n').count(), 1);
            prop_assert!(!lines.trim_end_matches('\n').chars().any(char::is_control));
            let object: serde_json::Value = serde_json::from_str(&lines).unwrap();
            prop_assert_eq!(object["comm"].as_str(), Some(name.as_str()));
        }
    }
}
