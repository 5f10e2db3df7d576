//! Blocks for tests of outputs.

use super::{Block, Headline, SelfCheck};
use crate::{
    drift::{
        behaviour::Precisions,
        holders::RowHolders,
        sample::{Host, Row},
        stats::{Reading, Summary},
        verdict::Verdict,
    },
    proc::{Precision, Source},
};

pub(crate) use crate::drift::fixture::{host, row, rules, time};

/// What a [`Block`] borrows.
pub(crate) struct Report {
    pub host: Host,
    pub headline: Headline,
    pub rows: Vec<Row>,
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
            },
            rows,
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

    pub(crate) fn block(&self) -> Block<'_> {
        Block {
            host: &self.host,
            interval: 1,
            time: time(),
            headline: &self.headline,
            rows: &self.rows,
            shown: self.shown.unwrap_or(self.rows.len()),
            holders: &self.holders,
            left_out: self.left_out,
            events: &self.events,
            check: &self.check,
            since: None,
        }
    }
}
