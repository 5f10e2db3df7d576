//! Rows of the CSV output, parsed by their header.

use std::collections::HashMap;

use csv::StringRecord;

/// One row.
#[derive(Clone, Debug)]
pub struct Record {
    /// By name of the column.
    fields: HashMap<String, String>,
}

impl Record {
    /// A column as text; panics without one.
    pub fn text(&self, column: &str) -> &str {
        self.fields.get(column).unwrap_or_else(|| panic!("no column {column}"))
    }

    /// A column as a number; `None` when it is empty.
    pub fn number(&self, column: &str) -> Option<i64> {
        let text = self.text(column);
        (!text.is_empty())
            .then(|| text.parse().unwrap_or_else(|error| panic!("{column} is {text:?}: {error}")))
    }

    /// A column that is never empty, as a number.
    pub fn must(&self, column: &str) -> i64 {
        self.number(column).unwrap_or_else(|| panic!("{column} is empty: {self:?}"))
    }

    /// The process.
    pub fn pid(&self) -> i64 {
        self.must("pid")
    }

    /// Whether a remark is on the row.
    pub fn has_note(&self, note: &str) -> bool {
        self.text("note").split(' ').any(|word| word == note)
    }

    /// What names an mm: two rows of one mm agree in it.
    pub fn identity(&self) -> (i64, i64, i64) {
        (self.pid(), self.must("start_time"), self.must("mm_generation"))
    }

    /// The exact figures per member.
    pub fn exact_members(&self) -> [i64; 4] {
        ["file", "anon", "swap", "shmem"].map(|member| self.must(&format!("exact_{member}_bytes")))
    }

    fn new(header: &StringRecord, row: &StringRecord) -> Self {
        Self {
            fields: header.iter().zip(row).map(|(name, field)| (name.to_owned(), field.to_owned())).collect(),
        }
    }
}

/// Parses a whole CSV output: every row has as many fields as the header.
pub fn parse(text: &str) -> Vec<Record> {
    assert!(
        text.ends_with("\r\n"),
        "the last row is whole: {:?}",
        text.get(text.len().saturating_sub(200)..)
    );
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().expect("a header").clone();
    reader.records().map(|row| Record::new(&header, &row.expect("a whole row"))).collect()
}

/// Rows as they come.
pub struct Stream<R: std::io::Read> {
    header: StringRecord,
    rows: csv::StringRecordsIntoIter<R>,
}

impl<R: std::io::Read> Stream<R> {
    /// Reads the header.
    pub fn new(source: R) -> Self {
        let mut reader = csv::ReaderBuilder::new().buffer_capacity(1 << 16).from_reader(source);
        let header = reader.headers().expect("a header").clone();
        Self { header, rows: reader.into_records() }
    }
}

impl<R: std::io::Read> Iterator for Stream<R> {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        Some(Record::new(&self.header, &self.rows.next()?.expect("a whole row")))
    }
}
