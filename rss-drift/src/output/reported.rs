//! The kinds of records that reports are made of: one in all outputs of a run.

use std::fs::File;

use super::{
    Block, Format, Look, Target, content::Content, encoder::Encoder, machine::Machine, table::Table,
};
use crate::{
    drift::{
        groups::Aggregate,
        sample::{Note, Row},
    },
    table::{Column, Record},
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
                living.filter_map(|row| row.files.pss).map(|pss| (1, pss)).fold((0, 0), add)
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

/// What the rows of a run are, with the columns of its tables; `None`: the default ones.
#[derive(Clone, Debug)]
pub enum Columns {
    Processes(Option<Vec<&'static Column<Row>>>),
    Groups(Option<Vec<&'static Column<Aggregate>>>),
}

impl Columns {
    /// What an output of this format holds.
    pub(super) fn content(&self, format: Format) -> Content {
        match self {
            Self::Processes(_) => content::<Row>(format),
            Self::Groups(_) => content::<Aggregate>(format),
        }
    }

    /// What makes text of reports for an output.
    pub(super) fn encoder(
        &self,
        format: Format,
        target: &Target,
        terminal: Option<File>,
        look: Look,
    ) -> Box<dyn Encoder> {
        match self {
            Self::Processes(fields) => encoder(fields.as_deref(), format, target, terminal, look),
            Self::Groups(fields) => encoder(fields.as_deref(), format, target, terminal, look),
        }
    }
}

fn content<R: Reported>(format: Format) -> Content {
    match format {
        Format::Table => Content::text(),
        Format::Csv => Machine::<R>::csv_content(),
        Format::Jsonl => Machine::<R>::jsonl_content(),
    }
}

fn encoder<R: Reported>(
    fields: Option<&[&'static Column<R>]>,
    format: Format,
    target: &Target,
    terminal: Option<File>,
    look: Look,
) -> Box<dyn Encoder> {
    match format {
        Format::Table => Box::new(Table::new(target, terminal, fields, look)),
        Format::Csv => Box::new(Machine::<R>::csv(terminal.is_some())),
        Format::Jsonl => Box::new(Machine::<R>::jsonl()),
    }
}
