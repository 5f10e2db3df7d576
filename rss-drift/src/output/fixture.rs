//! Rows for tests of fields and outputs.

use std::time::{Duration, SystemTime};

use super::{Block, Faults, Headline};
use crate::{
    drift::{
        holders::Holders,
        sample::{Host, ProcFigures, Process, Row, Source},
        stats::{Reading, Summary},
    },
    kernel::accounting::Accounting,
};

/// 2026-01-02 03:04:05.678 UTC.
pub fn time() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(1_767_323_045_678)
}

pub fn host() -> Host {
    Host {
        hostname: "box".to_owned(),
        boot_id: "00000000-1111-2222-3333-444444444444".to_owned(),
        kernel: "6.12.0".to_owned(),
        accounting: Accounting::PerCpu,
        mode: "passive",
        page_size: 4096,
    }
}

/// A row whose exact pages are all anonymous.
pub fn row(pid: u32, comm: &str, exact: i64, reported: i64) -> Row {
    Row {
        time: time(),
        process: Process {
            pid,
            start_ticks: 1234,
            mm_generation: 2,
            comm: comm.to_owned(),
            uid: Some(1000),
            cgroup: Some("/user.slice".to_owned()),
            threads: 3,
            faults: Some(77),
        },
        source: Source::Stat,
        exact: [0, exact, 0, 0],
        global: [0, reported, 0, 0],
        files: ProcFigures {
            stat: Some(reported),
            statm: Some(reported),
            status: Some(exact),
            vm_hwm: Some(exact),
            resident: None,
        },
        moved: Some(0),
        bound: Some(192),
        shadow: None,
        missed_events: None,
        notes: Vec::new(),
    }
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
