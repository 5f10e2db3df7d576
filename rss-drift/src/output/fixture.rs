//! Blocks for tests of outputs.

use super::{Block, GroupCount, Headline, Rows, SelfCheck};
use crate::{
    drift::{
        behaviour::Precisions,
        by::By,
        groups::Aggregate,
        holders::RowHolders,
        sample::{Host, Row},
        stats::{Reading, Summary},
        verdict::{Name, Verdict},
    },
    proc::{Precision, Source},
};

pub(crate) use crate::drift::{
    fixture::{host, row, rules, time},
    group_fixture::{all_and_little, group},
};

/// What a [`Block`] borrows.
pub(crate) struct Report {
    pub host: Host,
    pub headline: Headline,
    pub rows: Vec<Row>,
    /// The rows, where they are groups.
    pub groups: Vec<Aggregate>,
    pub holders: Vec<RowHolders>,
    /// `None`: all.
    pub shown: Option<usize>,
    pub left_out: u64,
    pub events: Vec<String>,
    pub check: SelfCheck,
}

impl Report {
    pub(crate) fn of(rows: Vec<Row>) -> Self {
        let readings: Vec<_> = rows
            .iter()
            .filter_map(|row| Some(Reading { exact: row.exact_rss(), reported: row.reported()? }))
            .collect();
        let mut verdict = Verdict::new(4096, None);
        for row in &rows {
            let reading = Reading { exact: row.exact_rss(), reported: row.reported().unwrap_or(0) };
            verdict.count(row.process.pid, reading, || row.process.comm.clone());
        }
        Self {
            host: host(),
            headline: Headline {
                source: Source::Stat,
                precisions: Precisions { status: Precision::Exact, ..rules().precisions },
                bound: 192,
                processes: rows.len() as u64,
                selected_of: None,
                summary: Summary::of(readings),
                verdict,
                groups: None,
            },
            rows,
            groups: Vec::new(),
            holders: Vec::new(),
            shown: None,
            left_out: 0,
            events: Vec::new(),
            check: SelfCheck {
                cpu_percent: Some(0.4),
                rss_bytes: Some(5 << 20),
                peak_rss_bytes: Some(9 << 20),
                ..SelfCheck::default()
            },
        }
    }

    /// Groups of two processes each, judged by this level.
    pub(crate) fn of_groups(by: By, groups: Vec<Aggregate>, near: Option<u64>) -> Self {
        let mut report = Self::of(Vec::new());
        let named = |group: &&Aggregate| group.name.text.is_some();
        report.headline.processes = groups.iter().map(|group| group.processes).sum();
        report.headline.summary = Summary::of(groups.iter().filter_map(Aggregate::reading));
        report.headline.verdict = Verdict::new(4096, near);
        for group in groups.iter().filter(named) {
            let reading = group.reading().unwrap();
            report.headline.verdict.count_named(reading, || Name::Group(group.name.shown().to_owned()));
        }
        report.headline.groups = Some(GroupCount {
            by,
            groups: groups.iter().filter(named).count() as u64,
            in_none: groups.iter().filter(|group| !named(group)).map(|group| group.processes).sum(),
        });
        report.groups = groups;
        report
    }

    pub(crate) fn block(&self) -> Block<'_> {
        let rows = match self.headline.groups {
            None => Rows::Processes(&self.rows),
            Some(_) => Rows::Groups(&self.groups),
        };
        Block {
            host: &self.host,
            interval: 1,
            time: time(),
            headline: &self.headline,
            rows,
            shown: self.shown.unwrap_or(rows.count()),
            holders: &self.holders,
            left_out: self.left_out,
            events: &self.events,
            check: &self.check,
            since: None,
        }
    }
}
