//! Markdown tables that read well as plain text too: the same goes to the terminal and into docs/.

use super::stats::Spread;

/// A table: its head, and rows of as many cells. The first column is text, the others are aligned to the right.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub(crate) fn new(head: &[&str]) -> Self {
        Self { rows: vec![head.iter().map(|&cell| cell.to_owned()).collect()] }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The text, each line with its end.
    pub(crate) fn render(&self) -> String {
        let widths: Vec<usize> = (0..self.rows[0].len())
            .map(|column| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0).max(3))
            .collect();
        let mut text = String::new();
        for (number, row) in self.rows.iter().enumerate() {
            let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| match column {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            });
            line(&mut text, cells);
            if number == 0 {
                let rules = widths.iter().enumerate().map(|(column, &width)| match column {
                    0 => "-".repeat(width),
                    _ => "-".repeat(width - 1) + ":",
                });
                line(&mut text, rules);
            }
        }
        text
    }
}

fn line(text: &mut String, cells: impl Iterator<Item = String>) {
    text.push('|');
    for cell in cells {
        text.push(' ');
        text.push_str(&cell);
        text.push_str(" |");
    }
    text.push('\n');
}

/// A time of so many nanoseconds, with three digits that count.
pub(crate) fn time(ns: f64) -> String {
    let (value, unit) = match ns {
        ns if ns.abs() < 1e3 => (ns, "ns"),
        ns if ns.abs() < 1e6 => (ns / 1e3, "us"),
        ns if ns.abs() < 1e9 => (ns / 1e6, "ms"),
        ns => (ns / 1e9, "s"),
    };
    format!("{} {unit}", digits(value))
}

/// Times of the middle half, in the median's unit.
pub(crate) fn times(spread: &Spread) -> String {
    format!("{} to {}", time(spread.p25), time(spread.p75))
}

/// How many times as much.
pub(crate) fn ratio(spread: &Spread) -> String {
    format!("{} ({} to {})", digits(spread.median), digits(spread.p25), digits(spread.p75))
}

/// A size in memory.
pub(crate) fn bytes(bytes: f64) -> String {
    const KIB: f64 = 1024.0;
    if bytes < KIB * KIB {
        format!("{} KiB", digits(bytes / KIB))
    } else {
        format!("{} MiB", digits(bytes / (KIB * KIB)))
    }
}

/// Three digits that count.
pub(crate) fn digits(value: f64) -> String {
    match value {
        value if value.abs() < 1.0 => format!("{value:.3}"),
        value if value.abs() < 10.0 => format!("{value:.2}"),
        value if value.abs() < 100.0 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["what", "time"]);
        table.row(["a".to_owned(), "1 ms".to_owned()]);
        table.row(["longer".to_owned(), "100 ms".to_owned()]);
        let expected = "\
            | what   |   time |\n\
            | ------ | -----: |\n\
            | a      |   1 ms |\n\
            | longer | 100 ms |\n";
        assert_eq!(table.render(), expected);
    }

    #[test]
    fn three_digits_count() {
        assert_eq!(time(123.4), "123 ns");
        assert_eq!(time(-2_345.0), "-2.35 us");
        assert_eq!(time(1_234.0), "1.23 us");
        assert_eq!(time(12_345_678.0), "12.3 ms");
        assert_eq!(time(2e9), "2.00 s");
        assert_eq!(bytes(1_572_864.0), "1.50 MiB");
        assert_eq!(bytes(4096.0), "4.00 KiB");
        assert_eq!(ratio(&Spread { p25: 0.1, median: 0.125, p75: 150.2 }), "0.125 (0.100 to 150)");
    }
}
