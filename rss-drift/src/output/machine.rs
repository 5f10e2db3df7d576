//! The outputs for machines: all columns of the contract, one row per record and interval.

use serde_json::Map;

use super::{Block, FinalSummary, Reported, content::Content, encoder::Encoder};
use crate::{
    drift::sample::Host,
    table::{Names, Record, csv_header, csv_rows, json_line},
};

/// CSV or JSON lines of records `R`.
#[derive(Debug)]
pub(super) struct Machine<R>(fn(&[R], &Host) -> Vec<u8>);

impl<R: Reported> Machine<R> {
    /// On a terminal names are escaped.
    pub(super) fn csv(terminal: bool) -> Self {
        Self(if terminal {
            |rows, host| csv_rows(R::contract(), rows, host, Names::Escaped)
        } else {
            |rows, host| csv_rows(R::contract(), rows, host, Names::Whole)
        })
    }

    /// What is empty gets the header, a file with another header is refused.
    pub(super) fn csv_content() -> Content {
        Content::csv(csv_header(R::contract()))
    }

    pub(super) fn jsonl() -> Self {
        Self(|rows, host| {
            rows.iter().map(|row| json_line(R::contract(), row, host)).collect::<String>().into_bytes()
        })
    }

    /// A file whose first line is not an object with our keys is refused.
    pub(super) fn jsonl_content() -> Content {
        Content { accept: |_, first| accept::<R>(first), ..Content::text() }
    }
}

/// Whether a file that starts with this line may be appended to.
fn accept<R: Record>(first: &[u8]) -> Result<(), String> {
    let object: Map<String, serde_json::Value> =
        serde_json::from_slice(first).map_err(|_| "its first line is not a JSON object".to_owned())?;
    if let Some(column) = R::contract().iter().find(|column| !object.contains_key(column.name)) {
        return Err(format!("the object in its first line has no key \"{}\"", column.name));
    }
    match object.keys().find(|key| !R::contract().iter().any(|column| column.name == key.as_str())) {
        Some(key) => Err(format!("the object in its first line has the key {key:?}, which is not ours")),
        None => Ok(()),
    }
}

impl<R: Reported> Encoder for Machine<R> {
    fn block(&mut self, block: &Block<'_>) -> (Vec<u8>, u64) {
        let rows = R::all(block);
        ((self.0)(rows, block.host), rows.len() as u64)
    }

    fn finish(&mut self, _: &FinalSummary<'_>) -> Vec<u8> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::fixture, *};
    use crate::{drift::sample::Row, table::CONTRACT};

    #[test]
    fn only_objects_with_our_keys_are_appended_to() {
        let line = json_line(CONTRACT, &fixture::row(42, "sh", 100, 90), &fixture::host());
        assert_eq!(accept::<Row>(line.as_bytes()), Ok(()));
        assert_eq!(
            accept::<Row>(line.replace("\"note\"", "\"nota\"").as_bytes()).unwrap_err(),
            "the object in its first line has no key \"note\""
        );
        assert_eq!(
            accept::<Row>(line.replace('{', "{\"x\":1,").as_bytes()).unwrap_err(),
            "the object in its first line has the key \"x\", which is not ours"
        );
        assert!(accept::<Row>(b"timestamp,host\r\n").is_err());
        assert!(accept::<Row>(b"[1]\n").is_err());
    }
}
