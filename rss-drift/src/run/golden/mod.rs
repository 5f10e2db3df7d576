//! Reports of `run` whose CSV and JSON never change: `*.csv` and `*.json` beside this file.

use std::time::Duration;

use rss_drift_common::run::{MemberCounts, Visits};

use super::{
    child::Ended,
    csv,
    figures::FIGURES,
    json,
    opened::Openings,
    report::{Costs, Peak, Report},
    samples::Samples,
    sites::Sites,
    text,
};
use crate::{
    drift::{behaviour::Precisions, fixture, stats::Reading},
    kernel::{Accounting, symbols::Symbols},
    output::ShadowCheck,
    probe::{RunTotals, Scope},
    table::{Names, csv_header},
};

/// What could not be read is missing.
fn sparse() -> Report {
    let rules = fixture::rules();
    Report {
        host: fixture::host(),
        command: "true".to_owned(),
        scope: Scope::Command,
        began: fixture::time(),
        duration: Duration::from_millis(1500),
        stopped: None,
        ended: None,
        totals: RunTotals::default(),
        sites: Sites::default(),
        faults_of_living: 0,
        openings: Err("no fanotify".to_owned()),
        outlived: Vec::new(),
        peaks: [None, None],
        drift_comm: String::new(),
        samples: Samples::default(),
        threshold: 1 << 20,
        rules,
        check: ShadowCheck::default(),
        costs: Costs::default(),
    }
}

/// Counts that differ from each other and from those of another `first`.
const fn counts(first: u64) -> MemberCounts {
    MemberCounts { hits: first, misses: first + 1, added: first + 2, removed: first + 3, missed: first + 4 }
}

fn totals() -> RunTotals {
    RunTotals {
        members: [counts(10), counts(20), counts(30), counts(40)],
        flushes: 50,
        kinds: [counts(60), counts(70), counts(80)],
        rfc_flushes: 90,
        sites_lost: 91,
        chains_lost: 92,
        visits: Visits { readings: 8, ran: 12, ran_max: 2, mask: 20, mask_max: 4 },
        switches: 93,
        forks: 94,
        execs: 95,
        exits: 96,
        faults: 197,
        faults_before: 98,
        refused: 99,
        largest: None,
        command: None,
        drift: Some(rss_drift_common::run::Largest { tgid: 7, drift: -63, ..Default::default() }),
    }
}

/// Nothing is missing.
fn full() -> Report {
    let peak = |pid, maxrss| {
        Some(Peak {
            pid,
            comm: "a,\"b\"\n".to_owned(),
            exact: 1 << 20,
            error: 4096,
            vm_hwm: Some(1 << 19),
            maxrss,
        })
    };
    let mut samples = Samples::default();
    samples.readings = 3;
    samples.above = 1;
    samples.bound = 189;
    for reported in [100, 80, 30] {
        let reading = Reading { exact: 90, reported };
        samples.drift.record(reading, || (7, "sh".to_owned(), fixture::time()));
    }
    Report {
        command: "sh -c 'echo \"a, b\"'".to_owned(),
        scope: Scope::System,
        stopped: Some(Duration::from_millis(1250)),
        ended: Some(Ended { status: 9, maxrss: 1 << 20 }),
        totals: totals(),
        faults_of_living: 5,
        openings: Ok(Openings { stat: 1, statm: 2, status: 3, smaps: 4, unnamed: 5, overflows: 6 }),
        outlived: vec![(8, "daemon".to_owned())],
        peaks: [peak(7, Some(1 << 21)), peak(9, None)],
        samples,
        check: ShadowCheck {
            missed: 1,
            refused: 2,
            idle_error: 3,
            repaired: 4,
            deaths: 5,
            residues: 6,
            nested: 7,
            unsettled: 8,
            late: 9,
            unjudged: 10,
            swept: 11,
            inherited: 12,
            caught: 13,
            programs_percent: Some(14.0),
        },
        costs: Costs {
            cpu_time: Duration::from_millis(1250),
            rss: Some(5 << 20),
            peak_rss: Some(9 << 20),
            maps: 6 << 20,
        },
        ..sparse()
    }
}

#[test]
fn the_csv_never_changes() {
    let csv = [csv_header(FIGURES), csv(&full(), Names::Whole), csv(&sparse(), Names::Whole)].concat();
    assert_eq!(String::from_utf8(csv).unwrap(), include_str!("reports.csv"));
}

#[test]
fn the_json_never_changes() {
    let json = json(&full()) + &json(&sparse());
    assert_eq!(json, include_str!("reports.jsonl"));
}

#[test]
fn where_no_file_is_known_to_be_approximate_nothing_is_called_drift() {
    let mut report = full();
    report.rules.precisions = Precisions::UNKNOWN;
    let row: serde_json::Value = serde_json::from_str(&json(&report)).unwrap();
    for (key, value) in row.as_object().unwrap() {
        let of_drift =
            key.starts_with("drift_") && key != "drift_readings" || key == "above_threshold_percent";
        assert!(!of_drift || value.is_null(), "{key}: {value}");
    }
    let text = text::text(&report);
    assert!(text.contains(" drift not known: stat, statm, status (") && !text.contains("|drift|"), "{text}");
}

#[test]
fn where_no_site_has_a_name_nothing_is_said_of_sites() {
    let of_sites = |accounting, symbols| {
        let mut report = full();
        report.host.accounting = accounting;
        report.sites.symbols = Some(symbols);
        let row: serde_json::Value = serde_json::from_str(&json(&report)).unwrap();
        let row = row.as_object().unwrap();
        let of_sites = row.iter().filter(|(key, _)| key.starts_with("rfc_") || key.starts_with("other_"));
        let known = of_sites.filter(|(_, value)| !value.is_null());
        known.map(|(key, _)| key.clone()).collect::<Vec<_>>()
    };
    let hidden = || Err("hidden".to_owned());
    assert_eq!(of_sites(Accounting::PerCpu, Ok(Symbols::parse(""))).len(), 10);
    assert_eq!(of_sites(Accounting::PerCpu, hidden()), [""; 0]);
    let cached = of_sites(Accounting::PerTask, hidden());
    assert_eq!(cached.len(), 8);
    assert!(cached.iter().all(|key| key.starts_with("rfc_")), "a task's cache needs no name: {cached:?}");
}
