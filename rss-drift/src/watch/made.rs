//! What a report is made of before its number is known.

use super::fail_if::Fulfilled;
use crate::{
    drift::{
        groups::Aggregate,
        holders::RowHolders,
        sample::{ReportId, Row},
    },
    output::Rows,
};

/// The rows of a report, and what belongs to them.
pub(super) struct Made {
    pub(super) rows: OwnRows,
    /// How many of the first rows the table shows.
    pub(super) shown: usize,
    /// Who holds the missing pages of the table's rows.
    pub(super) holders: Vec<RowHolders>,
    /// Rows that no output takes.
    pub(super) left_out: u64,
    /// Of all rows, those that fulfil the conditions of `--fail-if`.
    pub(super) fulfilled: Fulfilled,
}

/// Rows that nobody else has.
pub(super) enum OwnRows {
    Processes(Vec<Row>),
    Groups(Vec<Aggregate>),
}

impl OwnRows {
    /// They are of this report.
    pub(super) fn stand_in(&mut self, report: ReportId) {
        match self {
            Self::Processes(rows) => rows.iter_mut().for_each(|row| row.report = report),
            Self::Groups(rows) => rows.iter_mut().for_each(|row| row.report = report),
        }
    }

    pub(super) fn borrow(&self) -> Rows<'_> {
        match self {
            Self::Processes(rows) => Rows::Processes(rows),
            Self::Groups(rows) => Rows::Groups(rows),
        }
    }
}
