//! What the engine has to know of a kind of records beside its columns.

use std::cmp::Ordering;

use super::Column;

/// Records that `watch` shows as rows: its columns are those of one such kind.
pub trait Record: Sized + 'static {
    /// The table's columns when `--fields` says nothing, the optional ones among them, with blanks in between.
    const DEFAULT: &'static str;

    /// Whether anything can move while a record is read.
    const MOVES: bool;

    /// What heads of the terminal's table mean, by the names of their columns.
    const LEGEND: &'static [(&'static str, &'static str)];

    /// The columns of CSV and the keys of JSON, in their order: new ones go to the end.
    fn contract() -> &'static [Column<Self>];

    /// The columns that only the terminal has.
    fn terminal() -> &'static [Column<Self>];

    /// All columns: those of CSV and JSON, then those of the terminal only.
    #[must_use]
    fn columns() -> impl Iterator<Item = &'static Column<Self>> {
        Self::contract().iter().chain(Self::terminal())
    }

    /// The order of records that are equal by what they are sorted by.
    fn tie(&self, other: &Self) -> Ordering;

    /// Exact - reported, in pages; `None` where that is not known.
    fn drift(&self) -> Option<i64>;

    /// Drift as a share of exact, in percent.
    fn drift_percent(&self) -> Option<f64>;

    /// The largest |drift| that there can be, in pages; `None` where there is no bound.
    fn bound(&self) -> Option<u64>;

    /// Whether it comes behind all others, whatever they are sorted by.
    fn is_last(&self) -> bool {
        false
    }

    /// Whether so much moved while it was read that there may be no drift at all.
    fn is_moving(&self) -> bool;
}
