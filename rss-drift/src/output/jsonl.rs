//! JSON lines: one object per row, with the CSV's columns as keys in their order.

use serde_json::{Map, Number};

use super::{
    Block, OutputError, RunSummary, Sink, Target,
    file::{Blocks, Identity},
};
use crate::{
    drift::sample::{Host, Row},
    field::{self, Value},
};

/// An output of JSON lines.
#[derive(Debug)]
pub struct Jsonl {
    blocks: Blocks,
}

impl Jsonl {
    /// Opens the output; a file whose first line is not an object with our keys is refused.
    pub fn open(target: &Target) -> Result<Self, OutputError> {
        Ok(Self { blocks: Blocks::open(target, &[], accept)? })
    }

    pub(super) fn identity(&self) -> Option<Identity> {
        self.blocks.identity()
    }
}

/// Whether a file that starts with this line may be appended to.
fn accept(first: &[u8]) -> Result<(), String> {
    let object: Map<String, serde_json::Value> =
        serde_json::from_slice(first).map_err(|_| "its first line is not a JSON object".to_owned())?;
    if let Some(field) = field::contract().find(|field| !object.contains_key(field.name)) {
        return Err(format!("the object in its first line has no key \"{}\"", field.name));
    }
    match object.keys().find(|key| !field::contract().any(|field| field.name == key.as_str())) {
        Some(key) => Err(format!("the object in its first line has the key {key:?}, which is not ours")),
        None => Ok(()),
    }
}

impl Sink for Jsonl {
    fn block(&mut self, block: &Block<'_>) -> Result<(), OutputError> {
        self.blocks.write(rows(block.rows, block.host).as_bytes(), block.rows.len() as u64)
    }

    fn finish(&mut self, _: &RunSummary<'_>) -> Result<(), OutputError> {
        Ok(())
    }
}

/// The lines of rows.
#[must_use]
pub fn rows(rows: &[Row], host: &Host) -> String {
    let mut lines = String::new();
    for row in rows {
        // Written by hand, because serde_json's map would sort the keys.
        for (index, field) in field::contract().enumerate() {
            lines.push(if index == 0 { '{' } else { ',' });
            lines.push_str(&serde_json::Value::from(field.name).to_string());
            lines.push(':');
            lines.push_str(&json(field.get(row, host)).to_string());
        }
        lines.push_str("}\n");
    }
    lines
}

fn json(value: Value<'_>) -> serde_json::Value {
    match value {
        // A lower bound is no figure to calculate with.
        Value::Empty | Value::AtLeast(_) => serde_json::Value::Null,
        Value::Bytes(bytes) => bytes.into(),
        Value::Number(number) => number.into(),
        Value::Percent(percent) => {
            Number::from_f64(percent).map_or(serde_json::Value::Null, serde_json::Value::Number)
        }
        Value::Time(time) => Some(field::rfc3339(time)).filter(|text| !text.is_empty()).into(),
        Value::Text(text) => text.into_owned().into(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::fixture, *};

    #[test]
    fn keys_are_the_csv_columns_in_their_order() {
        let line = rows(&[fixture::row(42, "sh", 100, 90)], &fixture::host());
        let positions: Vec<_> = field::contract()
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

    #[test]
    fn only_objects_with_our_keys_are_appended_to() {
        let line = rows(&[fixture::row(42, "sh", 100, 90)], &fixture::host());
        assert_eq!(accept(line.as_bytes()), Ok(()));
        assert_eq!(
            accept(line.replace("\"note\"", "\"nota\"").as_bytes()).unwrap_err(),
            "the object in its first line has no key \"note\""
        );
        assert_eq!(
            accept(line.replace('{', "{\"x\":1,").as_bytes()).unwrap_err(),
            "the object in its first line has the key \"x\", which is not ours"
        );
        assert!(accept(b"timestamp,host\r\n").is_err());
        assert!(accept(b"[1]\n").is_err());
    }

    proptest! {
        #[test]
        fn names_come_back_as_they_were(name in any::<String>()) {
            let lines = rows(&[fixture::row(1, &name, 5, 4)], &fixture::host());
            prop_assert_eq!(lines.matches('\n').count(), 1);
            let object: serde_json::Value = serde_json::from_str(&lines).unwrap();
            prop_assert_eq!(object["comm"].as_str(), Some(name.as_str()));
        }
    }
}
