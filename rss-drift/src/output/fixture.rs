//! Blocks for tests of outputs.

use super::{Block, Faults, Headline};
use crate::{
    drift::{
        holders::Holders,
        sample::{Host, Note, Row, ShadowFigures},
        stats::{Reading, Summary},
    },
    proc::{ProcFigures, Source},
};

pub use crate::drift::fixture::{host, row, rules, time};

/// A row of passive mode with most of it unreadable, and one of full mode.
pub fn passive_and_full() -> [Row; 2] {
    let mut passive = row(42, "sh", 100, 90);
    passive.files = ProcFigures::default();
    (passive.process.uid, passive.process.cgroup, passive.process.faults) = (None, None, None);
    (passive.moved, passive.bound) = (None, None);
    let mut full = row(43, "a \"b\", c\n", 100, -7);
    full.exact = [1, 2, 3, 4];
    full.global = [-5, 6, -7, 8];
    full.files.resident = Some(9);
    full.moved = Some(10);
    full.missed_events = Some(11);
    full.notes = vec![Note::DeadLeader, Note::Uncertain];
    full.shadow = Some(ShadowFigures {
        shadow: 12,
        uncertainty: Some(13),
        peak_exact: 14,
        peak_drift: 15,
        peak_error: 16,
        hits: 17,
        misses: 18,
        flushes: 19,
        faults: Some(20),
    });
    [passive, full]
}

/// What a [`Block`] borrows.
pub struct Report {
    pub host: Host,
    pub headline: Headline,
    pub rows: Vec<Row>,
    pub holders: Vec<Holders>,
    pub left_out: u64,
    pub events: Vec<String>,
    pub faults: Faults,
}

impl Report {
    pub fn of(rows: Vec<Row>) -> Self {
        let readings: Vec<_> = rows
            .iter()
            .filter_map(|row| Some(Reading { exact: row.exact_rss(), reported: row.reported()? }))
            .collect();
        Self {
            host: host(),
            headline: Headline {
                source: Source::Stat,
                exact_sources: vec![Source::Status],
                processes: rows.len() as u64,
                summary: Summary::of(readings),
            },
            rows,
            holders: Vec::new(),
            left_out: 0,
            events: Vec::new(),
            faults: Faults { cpu_percent: Some(0.4), rss_bytes: Some(5 << 20), ..Faults::default() },
        }
    }

    pub fn block(&self) -> Block<'_> {
        Block {
            host: &self.host,
            interval: 1,
            time: time(),
            headline: &self.headline,
            rows: &self.rows,
            holders: &self.holders,
            left_out: self.left_out,
            events: &self.events,
            faults: &self.faults,
        }
    }
}
