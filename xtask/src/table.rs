//! Tables: as Markdown, which reads well as plain text too, for docs/ and the terminal; and as plain columns.

/// The least that Markdown takes for a rule.
const SHORTEST_RULE: usize = 3;

/// A heading, and rows of as many cells.
#[derive(Debug)]
pub(crate) struct Table {
    align: Align,
    rows: Vec<Vec<String>>,
}

/// Which columns stand to the right.
#[derive(Clone, Copy, Debug)]
enum Align {
    AllButFirst,
    Numbers,
}

impl Table {
    /// A table of figures with their units: the first column says what they are of, the others stand to the right.
    pub(crate) fn of_figures(heading: &[&str]) -> Self {
        Self::new(Align::AllButFirst, heading)
    }

    /// A table of numbers and texts: columns that hold nothing but numbers (commas allowed) stand to the right.
    pub(crate) fn of_facts(heading: &[&str]) -> Self {
        Self::new(Align::Numbers, heading)
    }

    fn new(align: Align, heading: &[&str]) -> Self {
        Self { align, rows: vec![heading.iter().map(|&cell| cell.to_owned()).collect()] }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The same table with these rows after its own.
    pub(crate) fn with(mut self, rows: impl IntoIterator<Item = Vec<String>>) -> Self {
        self.rows.extend(rows);
        self
    }

    /// Whether there is nothing below the heading.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.len() == 1
    }

    /// As Markdown, each line with its end.
    pub(crate) fn markdown(&self) -> String {
        let escape = |row: &Vec<String>| row.iter().map(|cell| cell.replace('|', "\\|")).collect();
        let rows: Vec<Vec<String>> = self.rows.iter().map(escape).collect();
        let columns = self.columns(&rows, SHORTEST_RULE);
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let mut lines: Vec<_> = rows.iter().map(|row| line(pad(row, &columns))).collect();
        lines.insert(1, line(columns.iter().map(Column::rule).collect()));
        lines.concat()
    }

    /// In columns, each line with its end.
    pub(crate) fn plain(&self) -> String {
        let columns = self.columns(&self.rows, 0);
        let line = |row: &Vec<String>| pad(row, &columns).join("  ").trim_end().to_owned() + "\n";
        self.rows.iter().map(line).collect()
    }

    /// Columns as wide as their widest cell of `rows`, and no narrower than `least`.
    fn columns(&self, rows: &[Vec<String>], least: usize) -> Vec<Column> {
        let column = |number| {
            let cells = || rows.iter().filter_map(move |row: &Vec<String>| row.get(number));
            let width = cells().map(|cell: &String| cell.chars().count()).max().unwrap_or(0).max(least);
            let right = match self.align {
                Align::AllButFirst => number > 0,
                Align::Numbers => are_numbers(cells().skip(1)),
            };
            Column { width, right }
        };
        (0..self.rows[0].len()).map(column).collect()
    }
}

struct Column {
    width: usize,
    right: bool,
}

impl Column {
    fn pad(&self, cell: &str) -> String {
        let width = self.width;
        if self.right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
    }

    fn rule(&self) -> String {
        if self.right { "-".repeat(self.width - 1) + ":" } else { "-".repeat(self.width) }
    }
}

fn pad(row: &[String], columns: &[Column]) -> Vec<String> {
    row.iter().zip(columns).map(|(cell, column)| column.pad(cell)).collect()
}

/// Whether all cells are numbers or empty, and one is not empty.
fn are_numbers<'a>(cells: impl Iterator<Item = &'a String>) -> bool {
    let mut cells = cells.filter(|cell| !cell.is_empty()).peekable();
    cells.peek().is_some() && cells.all(|cell| cell.chars().all(|char| char.is_ascii_digit() || char == ','))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<Vec<String>> {
        text.lines().map(|line| line.split(';').map(str::to_owned).collect()).collect()
    }

    #[test]
    fn numbers_stand_to_the_right() {
        let table = Table::of_facts(&["kernel", "CPUs", "remark"]).with(rows("5.10;8;\n6.12;64;died"));
        assert_eq!(table.plain(), "kernel  CPUs  remark\n5.10       8\n6.12      64  died\n");
    }

    #[test]
    fn markdown_has_a_rule_and_no_stray_bars() {
        let table = Table::of_facts(&["a", "n"]).with(rows("x|y;1,024\nz;"));
        let expected = "\
            | a    |     n |\n\
            | ---- | ----: |\n\
            | x\\|y | 1,024 |\n\
            | z    |       |\n";
        assert_eq!(table.markdown(), expected);
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::of_figures(&["what", "time"]);
        assert!(table.is_empty());
        table.row(["a".to_owned(), "1 ms".to_owned()]);
        table.row(["longer".to_owned(), "100 ms".to_owned()]);
        assert!(!table.is_empty());
        let expected = "\
            | what   |   time |\n\
            | ------ | -----: |\n\
            | a      |   1 ms |\n\
            | longer | 100 ms |\n";
        assert_eq!(table.markdown(), expected);
    }

    #[test]
    fn a_rule_is_long_enough() {
        let table = Table::of_figures(&["a", "b"]).with(rows("x;y"));
        assert_eq!(table.markdown(), "| a   |   b |\n| --- | --: |\n| x   |   y |\n");
    }
}
