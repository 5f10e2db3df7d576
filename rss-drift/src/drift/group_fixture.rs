//! Groups for tests.

use super::{
    by::By,
    fixture::time,
    groups::{Aggregate, GroupName, Walked, Worst},
    sample::ReportId,
};
use crate::{
    kernel::{
        charge::{Above, Charge},
        room::GroupMemory,
    },
    proc::Source,
};

/// A group of two processes, of which all pages are anonymous.
pub(crate) fn group(by: By, text: &str, exact: i64, reported: i64) -> Aggregate {
    Aggregate {
        place: 0,
        report: ReportId { interval: 5, time: time() },
        name: GroupName { text: Some(text.to_owned()), ..GroupName::unknown(by) },
        source: Source::Stat,
        processes: 2,
        mms: 2,
        threads: 3,
        exact: [0, exact, 0, 0],
        global: [0, reported, 0, 0],
        reported: Some(reported),
        bound: 384,
        worst: Some(Worst { pid: 42, comm: "sh".to_owned(), drift: exact - reported }),
        uncertain: 0,
        walked: None,
        charge: None,
        charged_exact: None,
        missed_events: None,
    }
}

/// A container of which all is known, and processes of which it is not known in which they are, where little can be read.
pub(crate) fn all_and_little() -> [Aggregate; 2] {
    let mut all = group(By::Container, &"5e1ec7ed".repeat(8), 1000, 900);
    all.name.container = Some("a \"b\",\nc".to_owned());
    all.name.uid = Some(7);
    all.name.cgroup = Some("/x".to_owned());
    (all.exact, all.global) = ([1, 2, 3, 4], [-5, 6, -7, 8]);
    all.reported = Some(9);
    all.walked = Some(Walked { mms: 2, resident: 8192, pss: 5000 });
    all.charge = Some(Charge {
        memory: GroupMemory { usage: 1 << 20, peak: Some(2 << 20), limit: Some(4 << 20), file: "/f".into() },
        page_cache: Some(10),
        kernel: Some(11),
        page_tables: Some(12),
        of_subtree: true,
        above: Some(Above { path: "/".to_owned(), usage: 30, limit: 40 }),
    });
    all.charged_exact = Some(512);
    all.missed_events = Some(13);
    let mut little = group(By::Container, "", 100, 130);
    little.name.text = None;
    (little.reported, little.worst) = (None, None);
    [all, little]
}
