//! The report for machines: every figure of the table.

use super::{figures::FIGURES, report::Report};
use crate::{
    field::{Value, rfc3339},
    output::csv::{cell, records},
};

/// The CSV header, line break included.
pub fn header() -> Vec<u8> {
    records(std::iter::once(FIGURES.iter().map(|figure| figure.name.into()).collect()))
}

/// The CSV row.
pub fn csv(report: &Report) -> Vec<u8> {
    records(std::iter::once(FIGURES.iter().map(|figure| cell((figure.get)(report))).collect()))
}

/// One JSON object in one line.
pub fn json(report: &Report) -> Vec<u8> {
    let value = |value: Value<'_>| -> serde_json::Value {
        match value {
            Value::Empty | Value::AtLeast(_) => serde_json::Value::Null,
            Value::Bytes(bytes) => bytes.into(),
            Value::Number(number) => number.into(),
            Value::Percent(number) => number.into(),
            Value::Time(time) => rfc3339(time).into(),
            Value::Text(text) => text.into(),
        }
    };
    let object: serde_json::Map<String, serde_json::Value> =
        FIGURES.iter().map(|figure| (figure.name.to_owned(), value((figure.get)(report)))).collect();
    let mut text = serde_json::Value::Object(object).to_string();
    text.push('\n');
    text.into_bytes()
}
