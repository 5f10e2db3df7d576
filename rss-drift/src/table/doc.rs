//! Documentation made from tables: `--fields help`, `docs/csv.md` and the figures of `docs/run.md`.

use std::fmt::Write as _;

use super::{CONTRACT, Column, Record, Unit};

/// The text of `--fields help` and `--sort help`: name, aliases, sets, unit and documentation of every field, aligned.
#[must_use]
pub fn fields_help<R: Record>() -> String {
    let aliases = |field: &Column<R>| field.aliases.join(", ");
    let sets = |field: &Column<R>| field.sets.iter().map(|set| set.name()).collect::<Vec<_>>().join(", ");
    let width = |column: &dyn Fn(&Column<R>) -> usize| R::columns().map(column).max().unwrap_or(0);
    let names = width(&|field| field.name.len());
    let alias_width = width(&|field| aliases(field).len());
    let set_width = width(&|field| sets(field).len());
    let mut text =
        format!("{:names$}  {:alias_width$}  {:set_width$}  {:7}  MEANING\n", "NAME", "ALIAS", "SET", "UNIT");
    for field in R::columns() {
        let (alias, set) = (aliases(field), sets(field));
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{:names$}  {alias:alias_width$}  {set:set_width$}  {:7}  {}",
            field.name,
            field.unit.name(),
            field.doc
        );
    }
    text
}

const INTRODUCTION: &str = "\
# The CSV and JSON outputs

<!-- Made from rss-drift/src/table/: UPDATE_DOCS=1 cargo test --locked -p rss-drift --lib table::doc -->

`rss-drift --csv FILE` writes CSV beside the table on the terminal, `-o FILE.csv` and `-o FILE.jsonl` write instead of
it (`.json` too: JSON lines), `--format csv` and `--format jsonl` write to standard output. There is one row per interval for every
process, or for every one that is selected ([selection.md](selection.md)), however few the table shows; only where `--top N` is given, for the
first N. A selection changes no column. With `--by` the rows are groups, and their columns are those of [aggregates.md](aggregates.md).
Rows of one report have one `interval` and one `reading_time`. Both formats have the columns below, in this order and with these names; new ones are only ever added at the end.

## Rules

- Sizes are bytes, and of RSS (file + anon + shmem) unless the name says otherwise.
- What could not be read, or what this mode or kernel cannot give, is empty (`null` in JSON), never 0. The column stays.
- The true drift of a row lies between `band_low_bytes` and `band_high_bytes`, which differ by what moved while it was read. Where
  they have 0 between them, the row's drift may be movement alone.
- Columns marked \"full mode\" are empty in passive mode; all but `missed_events` also in a row whose shadow changed in every reading of it.
- CSV is as in RFC 4180: lines end in CR LF, a field with a comma, a quote or a line break is quoted. The header is the
  first line of a file, once. A name (`comm`) may hold a line break: read the file with a CSV parser.
  One that the kernel cut within a character, as it keeps 15 bytes, ends in `+`.
- JSON is one object per line with the columns as keys: numbers are numbers.
- Text is UTF-8; bytes of a name that are not are replaced by U+FFFD. Nothing else in a name is changed, except where CSV goes to a
  terminal: there control characters are escaped as in the table (`\\u{1b}`), so that no name moves the cursor. JSON escapes them always.
- An instant before 1970 or after 9999 is empty.

## Files

- A file is appended to with one write per interval.
- If a write is incomplete (a full disk, a limit), the file is cut back to the last whole interval,
  and the run ends with an error. What is in the file parses, and the next run appends to it.
- A file with another header, or whose last line is not complete (also within a quoted field), is refused and left as it is. A file that
  ends in NUL bytes, as a crash of the host leaves it, is cut back to its last whole row, which standard error says.
- Log rotation needs no signal: before each write rss-drift looks whether the file still has its name. One that was renamed or deleted is
  followed by a new one, and one that was emptied (copytruncate) gets the header again, once, however many runs write to it. So does
  standard output that is a file.
- While a file is opened, and while rows go into a CSV file, rss-drift holds a lock on it (flock(2)). While it is opened, another process's lock is waited for: after a second that is said, and
  after `--lock-timeout` (10 s) the run ends.
- New files have the mode that the umask leaves. In a sticky folder where everybody may make files (`/tmp`), a symbolic link of another user
  is not followed.
- Pipes and devices cannot be cut back. Into a pipe go whole rows only, and a report is begun only where the pipe has room for all of it
  (a pipe that is smaller than a report gets a larger buffer, up to 1 MiB; a report that is larger still is begun at once).
- An output whose reader stalls (a full pipe, a terminal stopped by Ctrl-S) holds up nothing else. It misses the reports for which its queue
  (1 MiB) has no room: whole reports, whose numbers are missing in `interval`. Standard error says so once, and how many they were at the end.
- A signal that ends the run (Ctrl-C, SIGTERM, SIGHUP) does so within a second. A report that cannot be completed in that time (thousands of
  processes with `--resident` or `--where`) is dropped as a whole, which standard error says.
- When the reader of a pipe or FIFO has closed it, that output ends and the others go on. The last output's end is the end of the run, without
  an error.

## Columns

";

/// The text of `docs/csv.md`.
#[must_use]
pub fn csv_doc() -> String {
    INTRODUCTION.to_owned() + &markdown("column", CONTRACT)
}

/// Columns as a table in Markdown; the head of the first says what they are.
pub(crate) fn markdown<R>(head: &str, columns: &[Column<R>]) -> String {
    let mut text = format!("| {head} | unit | meaning |\n|---|---|---|\n");
    for Column { name, unit, doc, .. } in columns {
        let unit = if *unit == Unit::Time { "RFC 3339, UTC, ms" } else { unit.name() };
        // A bar would end the table's cell; writing to a String cannot fail.
        let _ = writeln!(text, "| `{name}` | {unit} | {} |", doc.replace('|', "\\|"));
    }
    text
}

/// Whether a file in docs/ is what the tables say; with `UPDATE_DOCS` it is made so.
#[cfg(test)]
pub(crate) fn check_doc(file: &str, text: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(file);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    assert!(
        std::fs::read_to_string(&path).is_ok_and(|found| found == text),
        "docs/{file} is not what the tables say; refresh it with\n    UPDATE_DOCS=1 cargo test --locked -p rss-drift --lib doc",
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drift::sample::Row;

    #[test]
    fn the_documentation_of_csv_is_made_from_the_table() {
        check_doc("csv.md", &csv_doc());
    }

    #[test]
    fn help_is_aligned_and_has_every_field() {
        let help = fields_help::<Row>();
        let start = help.find("MEANING").unwrap();
        let mut lines = help.lines().skip(1);
        for field in Row::columns() {
            let line = lines.next().unwrap();
            assert!(line.starts_with(field.name), "{line}");
            assert_eq!(&line[start..], field.doc);
        }
        assert_eq!(lines.next(), None);
    }
}
