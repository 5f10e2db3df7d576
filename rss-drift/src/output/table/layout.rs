//! Which columns fit, and how wide they are.

use super::super::text;
use crate::table::Column as Field;

/// One column of a table.
#[derive(Clone, Debug)]
pub(super) struct Column {
    /// Its place among the fields asked for.
    pub(super) index: usize,
    /// Columns of the terminal that it takes.
    pub(super) width: usize,
    /// Whether its cells may be cut: text may, a figure without its last digits would lie.
    pub(super) elastic: bool,
    /// Whether those that begin with a slash are cut at their front.
    pub(super) path: bool,
    /// Columns with the lowest go first.
    pub(super) priority: u8,
}

/// Which columns a table has.
pub(super) struct Shown<R: 'static> {
    pub(super) fields: Vec<&'static Field<R>>,
    /// Heads of the columns that found no room.
    pub(super) hidden: Vec<&'static str>,
}

/// Stands before the drift of a row that moves.
pub(super) const MOVING: &str = "~";

/// Text is not cut below this as long as a less important column can go: a process's name has 15 bytes.
const SHORTEST_TEXT: usize = 15;

/// The same of a path, of which a unit's name may be the last part.
const SHORTEST_PATH: usize = 24;

/// Between two columns.
pub(super) const GAP: &str = " ";

/// Makes the columns fit: first long text is cut, then the least important columns go; one always stays. The columns that went.
pub(super) fn fit(columns: &mut Vec<Column>, width: usize) -> Vec<Column> {
    let mut gone = Vec::new();
    loop {
        let excess = total(columns).saturating_sub(width);
        let spare: usize = columns.iter().map(spare).sum();
        if spare >= excess {
            shrink(columns, excess);
            return gone;
        }
        if let [only] = columns.as_mut_slice() {
            if only.elastic {
                only.width = only.width.min(width);
            }
            return gone;
        }
        // Of equals the rightmost.
        let Some(least) =
            columns.iter().enumerate().rev().min_by_key(|(_, column)| column.priority).map(|(at, _)| at)
        else {
            return gone;
        };
        gone.push(columns.remove(least));
    }
}

fn total(columns: &[Column]) -> usize {
    columns.iter().map(|column| column.width).sum::<usize>() + GAP.len() * columns.len().saturating_sub(1)
}

fn spare(column: &Column) -> usize {
    let shortest = if column.path { SHORTEST_PATH } else { SHORTEST_TEXT };
    if column.elastic { column.width.saturating_sub(shortest) } else { 0 }
}

/// Takes `excess` from the columns with the most to spare.
fn shrink(columns: &mut [Column], mut excess: usize) {
    while excess > 0 {
        let Some(widest) = columns.iter_mut().max_by_key(|column| spare(column)).filter(|it| spare(it) > 0)
        else {
            return;
        };
        widest.width -= 1;
        excess -= 1;
    }
}

/// A cell in its column: figures to the right, text to the left and cut where the column is narrower.
pub(super) fn pad(cell: &str, column: &Column) -> String {
    let cell = match (column.elastic, column.path) {
        (false, _) => cell.to_owned(),
        (true, true) if cell.starts_with('/') => text::cut_front(cell, column.width),
        (true, _) => text::cut(cell, column.width),
    };
    let blanks = " ".repeat(column.width.saturating_sub(text::width(&cell)));
    if column.elastic { cell + &blanks } else { blanks + &cell }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn column(index: usize, width: usize, elastic: bool, priority: u8) -> Column {
        Column { index, width, elastic, path: false, priority }
    }

    fn left(mut columns: Vec<Column>, width: usize) -> Vec<(usize, usize)> {
        fit(&mut columns, width);
        columns.iter().map(|column| (column.index, column.width)).collect()
    }

    #[test]
    fn the_least_important_column_goes_first() {
        let columns = vec![column(0, 8, false, 40), column(1, 8, false, 100), column(2, 8, false, 50)];
        assert_eq!(left(columns.clone(), 26), [(0, 8), (1, 8), (2, 8)]);
        assert_eq!(left(columns.clone(), 25), [(1, 8), (2, 8)]);
        assert_eq!(left(columns.clone(), 16), [(1, 8)]);
        assert_eq!(left(columns, 3), [(1, 8)]);
    }

    #[test]
    fn of_equals_the_rightmost_goes() {
        let columns = vec![column(0, 8, false, 30), column(1, 8, false, 30)];
        assert_eq!(left(columns, 10), [(0, 8)]);
    }

    #[test]
    fn long_text_is_cut_before_a_column_goes() {
        let columns = vec![column(0, 5, false, 100), column(1, 60, true, 30)];
        assert_eq!(left(columns.clone(), 30), [(0, 5), (1, 24)]);
        assert_eq!(left(columns, 20), [(0, 5)]);
        assert_eq!(left(vec![column(0, 60, true, 30)], 10), [(0, 10)]);
        let path = Column { path: true, ..column(1, 60, true, 40) };
        assert_eq!(left(vec![column(0, 5, false, 30), path.clone()], 30), [(0, 5), (1, 24)]);
        assert_eq!(left(vec![column(0, 5, false, 30), path], 29), [(1, 29)]);
    }

    #[test]
    fn figures_stand_to_the_right_and_text_to_the_left() {
        assert_eq!(pad("42", &column(0, 5, false, 0)), "   42");
        assert_eq!(pad("sh", &column(0, 5, true, 0)), "sh   ");
        assert_eq!(pad("abcdefgh", &column(0, 5, true, 0)), "abcd+");
        let path = Column { path: true, ..column(0, 9, true, 0) };
        assert_eq!(pad("/system.slice/a.service", &path), "+.service");
        assert_eq!(pad("123456", &column(0, 5, false, 0)), "123456", "a figure is never cut");
    }

    proptest! {
        #[test]
        fn what_is_left_fits_or_is_one_figure(
            given in prop::collection::vec((1..80usize, any::<bool>(), any::<u8>()), 1..10),
            width in 1..200usize,
        ) {
            let mut columns: Vec<_> = given
                .iter()
                .enumerate()
                .map(|(index, &(width, elastic, priority))| column(index, width, elastic, priority))
                .collect();
            fit(&mut columns, width);
            prop_assert!(!columns.is_empty());
            prop_assert!(columns.is_sorted_by_key(|column| column.index));
            prop_assert!(total(&columns) <= width || (columns.len() == 1 && !columns[0].elastic));
        }
    }
}
