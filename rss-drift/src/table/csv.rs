//! CSV as in RFC 4180.

use csv::{Terminator, Writer, WriterBuilder};

use super::{Column, Value, clean, rfc3339};
use crate::drift::sample::Host;

/// Bytes that a row of `watch` has about, for the first guess of how much room rows take.
const USUAL_ROW: usize = 384;

/// The header's bytes, line break included.
#[must_use]
pub fn csv_header<R>(columns: &[Column<R>]) -> Vec<u8> {
    let mut lines = Lines::with_room_for(1);
    for column in columns {
        lines.text(column.name);
    }
    lines.end();
    lines.bytes()
}

/// How text that processes gave is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// Byte for byte.
    Whole,
    /// Without what would move the cursor of a terminal.
    Escaped,
}

impl Names {
    /// What an output takes.
    #[must_use]
    pub const fn of(is_terminal: bool) -> Self {
        if is_terminal { Self::Escaped } else { Self::Whole }
    }
}

/// The bytes of records, without the header.
#[must_use]
pub fn csv_rows<R>(columns: &[Column<R>], records: &[R], host: &Host, names: Names) -> Vec<u8> {
    let mut lines = Lines::with_room_for(records.len());
    for record in records {
        for column in columns {
            lines.value(column.get(record, host), names);
        }
        lines.end();
    }
    lines.bytes()
}

/// Lines in the making. A report of a thousand processes has some fifty thousand cells, so that no cell is a `String` of its own.
struct Lines {
    writer: Writer<Vec<u8>>,
    digits: itoa::Buffer,
}

impl Lines {
    fn with_room_for(lines: usize) -> Self {
        let bytes = Vec::with_capacity(lines * USUAL_ROW);
        Self {
            writer: WriterBuilder::new().terminator(Terminator::CRLF).from_writer(bytes),
            digits: itoa::Buffer::new(),
        }
    }

    /// Adds a cell with a value as CSV has it.
    fn value(&mut self, value: Value<'_>, names: Names) {
        match value {
            // A lower bound is no figure to calculate with.
            Value::Empty | Value::AtLeast(_) => self.text(""),
            Value::Bytes(bytes) => {
                let cell = self.digits.format(bytes);
                put(&mut self.writer, cell);
            }
            Value::Number(number) => {
                let cell = self.digits.format(number);
                put(&mut self.writer, cell);
            }
            Value::Real(number) => self.text(&number.to_string()),
            Value::Flag(flag) => self.text(if flag { "true" } else { "false" }),
            Value::Time(time) => self.text(&rfc3339(time)),
            Value::Text(text) if names == Names::Escaped => self.text(&clean(&text)),
            Value::Text(text) => self.text(&text),
        }
    }

    /// Adds a cell.
    fn text(&mut self, cell: &str) {
        put(&mut self.writer, cell);
    }

    /// Ends a line.
    fn end(&mut self) {
        // As in `put`.
        let _ = self.writer.write_record(None::<&[u8]>);
    }

    fn bytes(self) -> Vec<u8> {
        self.writer.into_inner().unwrap_or_default()
    }
}

/// Adds a cell, quoted where it has to be.
fn put(writer: &mut Writer<Vec<u8>>, cell: &str) {
    // All lines have as many cells, and a Vec takes every byte: neither error can happen.
    let _ = writer.write_field(cell);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::CONTRACT, *};
    use crate::drift::{
        fixture,
        sample::{Note, Row},
    };

    /// What a reader of the file gets from it.
    fn read_back(bytes: &[u8]) -> Vec<Vec<String>> {
        csv::ReaderBuilder::new()
            .has_headers(false)
            .from_reader(bytes)
            .records()
            .map(|record| record.unwrap().iter().map(str::to_owned).collect())
            .collect()
    }

    fn column(name: &str) -> usize {
        CONTRACT.iter().position(|field| field.name == name).unwrap()
    }

    fn header() -> Vec<u8> {
        csv_header(CONTRACT)
    }

    fn rows(rows: &[Row], host: &Host) -> Vec<u8> {
        csv_rows(CONTRACT, rows, host, Names::Whole)
    }

    #[test]
    fn a_row_has_every_column_of_the_contract() {
        let mut row = fixture::row(42, "sh", 100, 90);
        row.notes = vec![Note::DeadLeader, Note::Uncertain];
        row.moved = Some(2);
        assert_eq!(
            String::from_utf8(rows(&[row], &fixture::host())).unwrap(),
            "2026-01-02T03:04:05.678Z,box,00000000-1111-2222-3333-444444444444,6.12.0,passive,per-cpu,42,1234,2,sh,\
             1000,/user.slice,3,stat,368640,409600,,40960,,8192,786432,368640,368640,409600,,0,409600,0,0,0,368640,0,0,\
             ,,409600,,,,77,,dead-leader uncertain,5,2026-01-02T03:04:05.000Z,,,,\r\n"
        );
    }

    #[test]
    fn the_rows_never_change() {
        let rows = [header(), rows(&fixture::passive_and_full(), &fixture::host())].concat();
        assert_eq!(String::from_utf8(rows).unwrap(), include_str!("golden.csv"));
    }

    #[test]
    fn the_header_is_one_line_of_names() {
        let header = String::from_utf8(header()).unwrap();
        assert!(
            header.starts_with("timestamp,host,boot_id,")
                && header.ends_with(
                    ",note,interval,reading_time,band_low_bytes,band_high_bytes,step_down,mm_pid\r\n"
                )
        );
        assert_eq!(header.matches('\n').count(), 1);
    }

    #[test]
    fn quotes_commas_and_line_breaks_are_quoted() {
        let bytes = rows(&[fixture::row(1, "a\"b,c\nd", 1, 1)], &fixture::host());
        assert!(String::from_utf8(bytes).unwrap().contains(",\"a\"\"b,c\nd\","));
    }

    #[test]
    fn a_terminal_gets_no_control_byte_of_a_name() {
        let bytes = csv_rows(
            CONTRACT,
            &[fixture::row(1, "\x1b[2J\u{9b}\u{7f}\n", 1, 1)],
            &fixture::host(),
            Names::Escaped,
        );
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.contains(",\\u{1b}[2J\\u{9b}\\u{7f}\\n,"), "{text}");
        assert!(!text.trim_end_matches("\r\n").chars().any(char::is_control), "{text:?}");
    }

    proptest! {
        #[test]
        fn names_come_back_as_they_were(names in prop::collection::vec(any::<String>(), 0..5)) {
            let given: Vec<_> = names.iter().map(|name| fixture::row(1, name, 5, 4)).collect();
            let mut bytes = header();
            bytes.extend(rows(&given, &fixture::host()));
            let found = read_back(&bytes);
            prop_assert_eq!(found.len(), names.len() + 1);
            for (record, name) in found[1..].iter().zip(&names) {
                prop_assert_eq!(record.len(), CONTRACT.len());
                prop_assert_eq!(&record[column("comm")], name);
                prop_assert_eq!(&record[column("note")], "");
            }
        }

        #[test]
        fn names_of_syntax_only_come_back(name in "[\",\r\n\\\\;' ]{0,15}") {
            let bytes = rows(&[fixture::row(1, &name, 5, 4)], &fixture::host());
            prop_assert_eq!(&read_back(&bytes)[0][column("comm")], &name);
        }

        #[test]
        fn figures_come_back_in_bytes(exact in 0..1i64 << 40, reported in -1000..1i64 << 40) {
            let found = read_back(&rows(&[fixture::row(1, "x", exact, reported)], &fixture::host()));
            let number = |name| found[0][column(name)].parse::<i64>().unwrap();
            prop_assert_eq!(number("exact_bytes"), exact * 4096);
            prop_assert_eq!(number("reported_bytes"), reported * 4096);
            prop_assert_eq!(number("drift_bytes"), number("exact_bytes") - number("reported_bytes"));
        }
    }
}
