//! The kinds of records that reports have as rows.

use std::collections::HashSet;

use super::Block;
use crate::{
    drift::{
        groups::Aggregate,
        sample::{Note, Row},
    },
    table::Record,
};

/// The rows of a report.
#[derive(Clone, Copy, Debug)]
pub enum Rows<'a> {
    Processes(&'a [Row]),
    Groups(&'a [Aggregate]),
}

impl Rows<'_> {
    /// How many they are.
    #[must_use]
    pub const fn count(&self) -> usize {
        match self {
            Self::Processes(rows) => rows.len(),
            Self::Groups(rows) => rows.len(),
        }
    }

    /// How many address spaces were walked, and the sum of their Pss in bytes.
    #[must_use]
    pub fn walked(&self) -> (u64, i64) {
        let add = |(walks, sum): (u64, i64), (more, pss): (u64, i64)| (walks + more, sum.saturating_add(pss));
        match self {
            Self::Processes(rows) => {
                // The last row of a process that is gone is of an earlier reading.
                let living = rows.iter().filter(|row| !row.notes.contains(&Note::Died));
                let walked = living.filter_map(|row| Some((row.process.mm_pid, row.files.pss?)));
                let mut seen = HashSet::new();
                // A walk of an mm that several processes use is of all of them.
                let first = walked.filter(|&(mm_pid, _)| mm_pid.is_none_or(|pid| seen.insert(pid)));
                first.map(|(_, pss)| (1, pss)).fold((0, 0), add)
            }
            Self::Groups(rows) => {
                rows.iter().filter_map(|row| row.walked).map(|it| (it.mms, it.pss)).fold((0, 0), add)
            }
        }
    }
}

/// Records that reports have as rows.
pub trait Reported: Record {
    /// Those of a report, in their order.
    fn all<'a>(block: &Block<'a>) -> &'a [Self];

    /// Those that its table shows.
    #[must_use]
    fn shown<'a>(block: &Block<'a>) -> &'a [Self] {
        let all = Self::all(block);
        &all[..block.shown.min(all.len())]
    }
}

impl Reported for Row {
    fn all<'a>(block: &Block<'a>) -> &'a [Self] {
        match block.rows {
            Rows::Processes(rows) => rows,
            Rows::Groups(_) => &[],
        }
    }
}

impl Reported for Aggregate {
    fn all<'a>(block: &Block<'a>) -> &'a [Self] {
        match block.rows {
            Rows::Groups(rows) => rows,
            Rows::Processes(_) => &[],
        }
    }
}
