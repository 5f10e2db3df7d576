//! Rows for tests.

use std::time::{Duration, SystemTime};

use super::{
    behaviour::Precisions,
    collect::Rules,
    sample::{Host, Note, Process, ReportId, Row, ShadowFigures},
};
use crate::{
    kernel::{Accounting, tunables::Cpus},
    proc::{Precision, ProcFigures, Source, Wanted},
};

/// 2026-01-02 03:04:05.678 UTC.
pub(crate) fn time() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(1_767_323_045_678)
}

pub(crate) fn host() -> Host {
    Host {
        hostname: "box".to_owned(),
        boot_id: "00000000-1111-2222-3333-444444444444".to_owned(),
        kernel: "6.12.0".to_owned(),
        accounting: Accounting::PerCpu,
        mode: "passive",
        step_down: None,
        page_size: 4096,
    }
}

/// Per-task accounting on two CPUs: no file is exact.
pub(crate) fn rules() -> Rules {
    let approximate = Precision::Approximate;
    Rules {
        source: Source::Stat,
        precisions: Precisions { stat: approximate, statm: approximate, status: approximate },
        accounting: Accounting::PerTask,
        cpus: Cpus { possible: vec![0, 1], online: vec![0, 1] },
        pages_per_fault: 16,
        caches: true,
        page_size: 4096,
        pending_limit: 0,
        ticks_per_second: 100,
        boottime_offset: 0,
        wanted: Wanted::default(),
    }
}

/// A row whose exact pages are all anonymous.
pub(crate) fn row(pid: u32, comm: &str, exact: i64, reported: i64) -> Row {
    Row {
        report: ReportId { interval: 5, time: time() - Duration::from_millis(678) },
        time: time(),
        process: Process {
            pid,
            start_ticks: 1234,
            mm_generation: 2,
            comm: comm.to_owned(),
            uid: Some(1000),
            cgroup: Some("/user.slice".to_owned()),
            mm_pid: None,
            threads: 3,
            faults: Some(77),
        },
        source: Source::Stat,
        precision: Precision::Approximate,
        exact: [0, exact, 0, 0],
        global: [0, reported, 0, 0],
        files: ProcFigures {
            stat: Some(reported),
            statm: Some(reported),
            status: Some(exact),
            vm_hwm: Some(exact),
            resident: None,
            pss: None,
        },
        moved: Some(0),
        bound: Some(192),
        shadow: None,
        missed_events: None,
        notes: Vec::new(),
    }
}

/// A row of passive mode with most of it unreadable, and one of full mode.
pub(crate) fn passive_and_full() -> [Row; 2] {
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
    full.process.mm_pid = Some(21);
    full.notes = vec![Note::DeadLeader, Note::Uncertain];
    full.shadow = Some(ShadowFigures {
        shadow: 12,
        uncertainty: Some(13),
        peak_exact: 14,
        peak_drift: Some(15),
        peak_error: 16,
        hits: 17,
        misses: 18,
        flushes: 19,
        faults: Some(20),
    });
    [passive, full]
}
