//! The outputs for machines: all columns of the contract, one row per process and interval.

use std::io::IsTerminal as _;

use serde_json::Map;

use super::{
    Block, FinalSummary, OutputError, Sink, Target,
    file::{Blocks, Identity},
};
use crate::{
    drift::sample::{Host, Row},
    table::{CONTRACT, Names, csv_header, csv_rows, json_line},
};

/// An output of CSV or of JSON lines.
#[derive(Debug)]
pub(super) struct Machine {
    blocks: Blocks,
    encode: fn(&[Row], &Host) -> Vec<u8>,
}

impl Machine {
    /// Opens an output of CSV; what is empty gets the header, a file with another header is refused.
    pub(super) fn csv(target: &Target) -> Result<Self, OutputError> {
        let blocks = Blocks::with_header(target, &csv_header(CONTRACT))?;
        let encode: fn(&[Row], &Host) -> Vec<u8> = if blocks.file().is_terminal() {
            |rows, host| csv_rows(CONTRACT, rows, host, Names::Escaped)
        } else {
            |rows, host| csv_rows(CONTRACT, rows, host, Names::Whole)
        };
        Ok(Self { blocks, encode })
    }

    /// Opens an output of JSON lines; a file whose first line is not an object with our keys is refused.
    pub(super) fn jsonl(target: &Target) -> Result<Self, OutputError> {
        let encode = |rows: &[Row], host: &Host| {
            rows.iter().map(|row| json_line(CONTRACT, row, host)).collect::<String>().into_bytes()
        };
        Ok(Self { blocks: Blocks::open(target, &[], accept)?, encode })
    }
}

/// Whether a file that starts with this line may be appended to.
fn accept(first: &[u8]) -> Result<(), String> {
    let object: Map<String, serde_json::Value> =
        serde_json::from_slice(first).map_err(|_| "its first line is not a JSON object".to_owned())?;
    if let Some(column) = CONTRACT.iter().find(|column| !object.contains_key(column.name)) {
        return Err(format!("the object in its first line has no key \"{}\"", column.name));
    }
    match object.keys().find(|key| !CONTRACT.iter().any(|column| column.name == key.as_str())) {
        Some(key) => Err(format!("the object in its first line has the key {key:?}, which is not ours")),
        None => Ok(()),
    }
}

impl Sink for Machine {
    fn block(&mut self, block: &Block<'_>) -> Result<(), OutputError> {
        self.blocks.write(&(self.encode)(block.rows, block.host), block.rows.len() as u64)
    }

    fn finish(&mut self, _: &FinalSummary<'_>) -> Result<(), OutputError> {
        Ok(())
    }

    fn identity(&self) -> Option<Identity> {
        self.blocks.identity()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::fixture, *};

    #[test]
    fn only_objects_with_our_keys_are_appended_to() {
        let line = json_line(CONTRACT, &fixture::row(42, "sh", 100, 90), &fixture::host());
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
}
