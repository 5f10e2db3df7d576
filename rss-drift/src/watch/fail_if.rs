//! `--fail-if`: which rows of each report fulfil the conditions, since how many reports, and what is said when one comes true.

use std::collections::HashMap;

use super::condition::{Condition, Figure, Figures};
use crate::{
    drift::{
        groups::Aggregate,
        sample::{Host, ReportId, Row},
    },
    table::{Column, Record, Units, Value, bytes, find, rfc3339, shown},
};

/// What names a row in all reports.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Identity {
    /// A pid is used again: the start tells processes apart.
    Process { pid: u32, start_ticks: u64 },
    /// Two users may have units of one name, and two accounts one name: path and number tell them apart.
    Group { text: String, cgroup: Option<String>, uid: Option<u32> },
}

/// A row that fulfils a condition.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    identity: Identity,
    /// As people call it.
    name: String,
    /// The file of the reported figure.
    source: &'static str,
    figures: Figures,
}

/// Rows of reports that can be judged.
pub(super) trait Judged: Record {
    fn identity(&self) -> Identity;

    /// As people call it; names are not cleaned yet.
    fn called(&self) -> String;

    /// The file of the reported figure.
    fn source(&self) -> &'static str;

    fn figures(&self, host: &Host) -> Figures;
}

impl Judged for Row {
    fn identity(&self) -> Identity {
        Identity::Process { pid: self.process.pid, start_ticks: self.process.start_ticks }
    }

    fn called(&self) -> String {
        format!("{} (pid {})", shown(&self.process.comm), self.process.pid)
    }

    fn source(&self) -> &'static str {
        self.source.name()
    }

    fn figures(&self, _: &Host) -> Figures {
        Figures {
            exact: self.exact_rss(),
            reported: self.reported(),
            has_drift: self.drift().is_some(),
            uncertainty: self.uncertainty(),
            charge_percent: None,
            charged_exact_percent: None,
        }
    }
}

impl Judged for Aggregate {
    fn identity(&self) -> Identity {
        let name = &self.name;
        Identity::Group { text: name.text().to_owned(), cgroup: name.cgroup.clone(), uid: name.uid }
    }

    fn called(&self) -> String {
        format!("{} {}", self.name.by.nouns().0, shown(self.name.shown()))
    }

    fn source(&self) -> &'static str {
        self.source.name()
    }

    fn figures(&self, host: &Host) -> Figures {
        let share = |figure: Figure| {
            let column: &Column<Self> = find(figure.name())?;
            match column.get(self, host) {
                Value::Real(share) => Some(share),
                _ => None,
            }
        };
        Figures {
            exact: self.exact_rss(),
            reported: self.reported,
            has_drift: self.drift().is_some(),
            // All of a group is of one reading. Of how much a process is off that moved all the time nobody knows.
            uncertainty: (self.uncertain == 0).then_some(0),
            charge_percent: share(Figure::ChargePercent),
            charged_exact_percent: share(Figure::ChargedExactPercent),
        }
    }
}

/// The rows of one report that fulfil each condition, in the conditions' order.
pub(super) type Fulfilled = Vec<Vec<Subject>>;

/// All conditions, and the rows that fulfil them.
#[derive(Debug)]
pub(super) struct Conditions {
    all: Vec<Condition>,
    /// For each: in how many reports in a row, up to the last one, a row has fulfilled it.
    streaks: Vec<HashMap<Identity, u64>>,
    came_true: bool,
}

impl Conditions {
    pub(super) fn new(all: Vec<Condition>) -> Self {
        Self { streaks: vec![HashMap::new(); all.len()], all, came_true: false }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether one of them came true.
    pub(super) const fn came_true(&self) -> bool {
        self.came_true
    }

    /// Whether they take what control groups say of themselves.
    pub(super) fn need_charges(&self) -> bool {
        self.all.iter().filter_map(Condition::figure).any(Figure::is_of_charge)
    }

    /// The first one that needs drift.
    pub(super) fn of_drift(&self) -> Option<&Condition> {
        self.all.iter().find(|condition| condition.is_of_drift())
    }

    /// The rows that fulfil them.
    pub(super) fn judge<'a, R: Judged + 'a>(
        &self,
        rows: &(impl Iterator<Item = &'a R> + Clone),
        host: &Host,
    ) -> Fulfilled {
        let of = |condition: &Condition| {
            let subjects = rows.clone().filter_map(|row| {
                let figures = row.figures(host);
                figures.pass(condition.test, host.page_size).then(|| Subject {
                    identity: row.identity(),
                    name: row.called(),
                    source: row.source(),
                    figures,
                })
            });
            subjects.collect()
        };
        self.all.iter().map(of).collect()
    }

    /// Counts a report that is made. What is to be said: a line for each condition that came true.
    pub(super) fn count(
        &mut self,
        fulfilled: Fulfilled,
        report: ReportId,
        host: &Host,
        units: Units,
    ) -> Vec<String> {
        let mut lines = Vec::new();
        for ((condition, streaks), subjects) in self.all.iter().zip(&mut self.streaks).zip(fulfilled) {
            let before = std::mem::take(streaks);
            let mut named: Option<(f64, &Subject)> = None;
            let mut enough = 0;
            for subject in &subjects {
                let reports = before.get(&subject.identity).map_or(1, |reports| reports + 1);
                streaks.insert(subject.identity.clone(), reports);
                if reports < condition.reports {
                    continue;
                }
                enough += 1;
                let beyond = subject.figures.beyond(condition.test, host.page_size);
                if named.is_none_or(|(most, _)| beyond > most) {
                    named = Some((beyond, subject));
                }
            }
            if let Some((_, subject)) = named {
                let more = match enough {
                    1 => String::new(),
                    2 => "; 1 more fulfils it".to_owned(),
                    enough => format!("; {} more fulfil it", enough - 1),
                };
                let said = subject.figures_said(condition, host, units);
                let (number, time) = (report.interval, rfc3339(report.time));
                lines.push(format!(
                    "the condition '{}' is true in report {number} ({time}): {}: {said}{more}",
                    condition.text, subject.name
                ));
            }
        }
        self.came_true |= !lines.is_empty();
        lines
    }
}

impl Subject {
    /// Its figures in a sentence.
    fn figures_said(&self, condition: &Condition, host: &Host, units: Units) -> String {
        let size = |pages: i64| units.text(bytes(pages, host.page_size));
        let Figures { exact, reported, has_drift, uncertainty, charge_percent, charged_exact_percent } =
            self.figures;
        let reported_said = reported.map_or_else(|| "unreadable".to_owned(), size);
        let mut said = vec![format!("{} {reported_said}", self.source), format!("exact {}", size(exact))];
        if let Some(reported) = reported.filter(|_| has_drift) {
            let drift = exact.saturating_sub(reported);
            let sign = if drift > 0 { "+" } else { "" };
            let share = drift as f64 * 100.0 / exact as f64;
            let share = if exact == 0 { String::new() } else { format!(" ({share:.2} %)") };
            said.push(format!("drift {sign}{}{share}", size(drift)));
            match uncertainty.map(|pages| bytes(pages, host.page_size)) {
                Some(0) => {}
                Some(moved) => said.push(format!("of which {} may have moved meanwhile", units.text(moved))),
                None => said.push("not of one instant".to_owned()),
            }
        }
        let share = match condition.figure() {
            Some(Figure::ChargePercent) => charge_percent,
            Some(Figure::ChargedExactPercent) => charged_exact_percent,
            _ => None,
        };
        if let (Some(share), Some(figure)) = (share, condition.figure()) {
            said.push(format!("{} {share:.2} %", figure.name()));
        }
        said.join(", ")
    }
}

#[cfg(test)]
#[path = "fail_if_tests.rs"]
mod tests;
