//! CSV as in RFC 4180.

use std::borrow::Cow;

use csv::{Terminator, WriterBuilder};

use super::{Column, Value, clean, rfc3339};
use crate::drift::sample::Host;

/// The header's bytes, line break included.
#[must_use]
pub fn csv_header<R>(columns: &[Column<R>]) -> Vec<u8> {
    lines(std::iter::once(columns.iter().map(|column| column.name.into()).collect()))
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
    let cells =
        |record| columns.iter().map(|column: &Column<R>| cell(column.get(record, host), names)).collect();
    lines(records.iter().map(cells))
}

/// A value as CSV has it, before quoting.
fn cell(value: Value<'_>, names: Names) -> Cow<'_, str> {
    match value {
        // A lower bound is no figure to calculate with.
        Value::Empty | Value::AtLeast(_) => Cow::Borrowed(""),
        Value::Bytes(bytes) => bytes.to_string().into(),
        Value::Number(number) => number.to_string().into(),
        Value::Real(number) => number.to_string().into(),
        Value::Flag(flag) => flag.to_string().into(),
        Value::Time(time) => rfc3339(time).into(),
        Value::Text(text) if names == Names::Escaped => clean(&text).into(),
        Value::Text(text) => text,
    }
}

/// The bytes of lines, which all have as many cells.
fn lines<'a>(lines: impl Iterator<Item = Vec<Cow<'a, str>>>) -> Vec<u8> {
    let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(Vec::new());
    for line in lines {
        // All lines have as many cells, and a Vec takes every byte: neither error can happen.
        let _ = writer.write_record(line.iter().map(|cell| cell.as_bytes()));
    }
    writer.into_inner().unwrap_or_default()
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
             ,,409600,,,,77,,dead-leader uncertain,5,2026-01-02T03:04:05.000Z,,,\r\n"
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
                && header
                    .ends_with(",note,interval,reading_time,band_low_bytes,band_high_bytes,step_down\r\n")
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
