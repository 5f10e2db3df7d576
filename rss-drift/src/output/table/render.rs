//! A block as text: pure, so that what the terminal shows is tested without one.

use super::{
    super::{Block, FinalSummary, Reported, text},
    MIN_WIDTH, View, head, holders,
    layout::{Column, GAP, MOVING, Shown, fit, pad},
    lines::{self, clock},
};
use crate::{
    drift::sample::Host,
    table::{self, Unit, Units, Value, grouped, rfc3339, shown},
};

/// A column of records `R`.
type Field<R> = table::Column<R>;

const BOLD: &str = "\x1b[1m";
const RED: &str = "\x1b[31m";
const YELLOW: &str = "\x1b[33m";
const RESET: &str = "\x1b[0m";

/// A share of the exact figure from which on a drift is worth a colour, in percent.
const REMARKABLE_PERCENT: f64 = 10.0;

/// The text of one interval, with a blank line at its end. No line is longer than the view's width (where that is at least
/// [`MIN_WIDTH`]).
#[must_use]
pub fn render<R: Reported>(block: &Block<'_>, view: &mut View<R>) -> String {
    let width = view.width.map(|width| width.max(MIN_WIDTH));
    let mut text = String::new();
    for line in head::lines(block, view) {
        push(&mut text, &line, width);
    }
    let table = push_table(&mut text, block, view, width);
    for row in block.holders {
        for line in holders::lines(row, view.units, block.host.page_size, width) {
            text.push_str(&line);
            text.push('\n');
        }
    }
    for line in lines::footer(block, &table, view) {
        push(&mut text, &line, width);
    }
    text.push('\n');
    text
}

/// The text of the summary at the end.
#[must_use]
pub fn render_summary<R: Reported>(summary: &FinalSummary<'_>, view: &View<R>) -> String {
    let width = view.width.map(|width| width.max(MIN_WIDTH));
    let mut text = String::new();
    for line in lines::summary(summary, view) {
        push(&mut text, &line, width);
    }
    text
}

fn push(text: &mut String, line: &str, width: Option<usize>) {
    for line in text::flow(line, width) {
        text.push_str(&line);
        text.push('\n');
    }
}

/// Appends the table.
fn push_table<R: Reported>(
    text: &mut String,
    block: &Block<'_>,
    view: &mut View<R>,
    width: Option<usize>,
) -> Shown<R> {
    let rows = R::shown(block);
    let fields: Vec<&'static Field<R>> = view
        .fields
        .iter()
        .copied()
        .filter(|field| {
            !(view.hide_empty && field.optional)
                || rows.iter().any(|row| field.get(row, block.host) != Value::Empty)
        })
        .collect();
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| fields.iter().map(|field| cell(field, row, block.host, view.units)).collect())
        .collect();
    let (columns, mut hidden) = columns(&fields, &cells, view, width);
    hidden.sort_by_key(|column| column.index);
    let header: Vec<_> = columns.iter().map(|column| pad(fields[column.index].header, column)).collect();
    let header = header.join(GAP);
    text.push_str(&paint(header.trim_end(), view.colour.then_some(BOLD)));
    text.push('\n');
    for (row, cells) in rows.iter().zip(&cells) {
        let last = columns.len().saturating_sub(1);
        for (place, column) in columns.iter().enumerate() {
            let padded = pad(&cells[column.index], column);
            // Blanks at a line's end would only be copied along.
            let shown = if place == last { padded.trim_end() } else { &padded };
            let code = if view.colour { code(fields[column.index], row) } else { None };
            text.push_str(&paint(shown, code));
            if place != last {
                text.push_str(GAP);
            }
        }
        text.push('\n');
    }
    Shown {
        hidden: hidden.iter().map(|column| fields[column.index].header).collect(),
        fields: columns.iter().map(|column| fields[column.index]).collect(),
    }
}

/// The columns that fit, and those that do not. Each stays as wide as it ever was, as long as none has to go for that.
fn columns<R: Reported>(
    fields: &[&'static Field<R>],
    cells: &[Vec<String>],
    view: &mut View<R>,
    width: Option<usize>,
) -> (Vec<Column>, Vec<Column>) {
    let needed: Vec<Column> = fields
        .iter()
        .enumerate()
        .map(|(index, field)| Column {
            index,
            width: cells.iter().map(|row| text::width(&row[index])).fold(field.header.len(), usize::max),
            elastic: field.unit == Unit::Text,
            path: field.path,
            priority: field.priority,
        })
        .collect();
    let fit = |mut columns: Vec<Column>| {
        let hidden = width.map_or_else(Vec::new, |width| fit(&mut columns, width));
        (columns, hidden)
    };
    let widest = &view.widest;
    let before = |column: &Column| widest.get(fields[column.index].name).copied().unwrap_or(0);
    let steady =
        needed.iter().map(|column| Column { width: column.width.max(before(column)), ..column.clone() });
    let (mut shown, mut hidden) = fit(steady.collect());
    if !hidden.is_empty() {
        let (narrow, gone) = fit(needed);
        if gone.len() < hidden.len() {
            // What was wide once, in a row that is gone, takes no column away.
            view.widest.clear();
            (shown, hidden) = (narrow, gone);
        }
    }
    view.widest.extend(shown.iter().map(|column| (fields[column.index].name, column.width)));
    (shown, hidden)
}

/// A value as the terminal shows it. What is empty gets a `-`, so that every row has as many words as the header.
fn cell<R: Reported>(field: &Field<R>, row: &R, host: &Host, units: Units) -> String {
    match field.get(row, host) {
        Value::Empty => "-".to_owned(),
        Value::Bytes(bytes) if field.signed => {
            // A bare number stays one.
            let moving = units == Units::Human && field.name == "drift_bytes" && row.is_moving();
            format!("{}{}", if moving { MOVING } else { "" }, units.difference(bytes))
        }
        Value::Bytes(bytes) => units.cell(bytes),
        Value::AtLeast(bytes) => format!(">={}", units.cell(bytes)),
        Value::Number(number) if units == Units::Human && field.unit == Unit::Number => grouped(number),
        Value::Number(number) => number.to_string(),
        Value::Real(number) => format!("{number:.2}"),
        Value::Flag(flag) => flag.to_string(),
        Value::Time(time) if field.unit == Unit::Clock => clock(time),
        Value::Time(time) => shown(&rfc3339(time)),
        Value::Text(text) => shown(&text),
    }
}

/// Drift beyond the bound is red: there one of the two figures is wrong. A large share is yellow.
fn code<R: Reported>(field: &Field<R>, row: &R) -> Option<&'static str> {
    if !matches!(field.name, "drift_bytes" | "drift_percent") {
        return None;
    }
    if row.bound().zip(row.drift()).is_some_and(|(bound, drift)| drift.unsigned_abs() > bound) {
        return Some(RED);
    }
    row.drift_percent().filter(|percent| percent.abs() >= REMARKABLE_PERCENT).map(|_| YELLOW)
}

fn paint(text: &str, code: Option<&str>) -> String {
    code.map_or_else(|| text.to_owned(), |code| format!("{code}{text}{RESET}"))
}

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "human_tests.rs"]
mod human_tests;

#[cfg(test)]
#[path = "group_tests.rs"]
mod group_tests;
