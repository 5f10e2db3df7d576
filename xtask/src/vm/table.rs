//! Tables, for the terminal and for Markdown.

/// Columns as wide as their widest cell, numbers to the right. The first row is the heading.
pub(crate) fn plain(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<_> = (0..columns).map(|column| width(rows, column)).collect();
    let numeric: Vec<_> = (0..columns).map(|column| is_numeric(rows, column)).collect();
    let pad = |(column, cell): (usize, &String)| {
        let width = widths[column];
        if numeric[column] { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
    };
    let lines = rows.iter().map(|row| row.iter().enumerate().map(pad).collect::<Vec<_>>().join("  "));
    lines.map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// The same as a table of Markdown.
pub(crate) fn markdown(rows: &[Vec<String>]) -> String {
    let Some((heading, rest)) = rows.split_first() else { return String::new() };
    let line = |row: &Vec<String>| {
        let cells: Vec<_> = row.iter().map(|cell| cell.replace('|', "\\|")).collect();
        ["| ", &cells.join(" | "), " |\n"].concat()
    };
    let rule = |column| if is_numeric(rows, column) { "---:" } else { "---" };
    let rules: Vec<_> = (0..heading.len()).map(rule).collect();
    [line(heading), ["|", &rules.join("|"), "|\n"].concat()]
        .into_iter()
        .chain(rest.iter().map(line))
        .collect()
}

fn width(rows: &[Vec<String>], column: usize) -> usize {
    rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
}

/// Whether all below the heading are numbers (commas allowed) or empty, and one is not.
fn is_numeric(rows: &[Vec<String>], column: usize) -> bool {
    let mut cells =
        rows.iter().skip(1).filter_map(|row| row.get(column)).filter(|cell| !cell.is_empty()).peekable();
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
        let table = plain(&rows("kernel;CPUs;remark\n5.10;8;\n6.12;64;died"));
        assert_eq!(table, "kernel  CPUs  remark\n5.10       8\n6.12      64  died\n");
    }

    #[test]
    fn markdown_has_a_rule_and_no_stray_bars() {
        let table = markdown(&rows("a;n\nx|y;1,024\nz;"));
        assert_eq!(table, "| a | n |\n|---|---:|\n| x\\|y | 1,024 |\n| z |  |\n");
    }
}
