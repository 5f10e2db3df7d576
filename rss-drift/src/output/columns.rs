//! What the rows of a run are, the same in all its outputs.

use std::fs::File;

use super::{
    Format, Look, Reported, Target, content::Content, encoder::Encoder, machine::Machine, table::Table,
};
use crate::{
    drift::{groups::Aggregate, sample::Row},
    table::Column,
};

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
