//! Processes summed up by what they have in common: a control group, a user, a name.
//!
//! All figures are of one reading of the iterator, so that what moves meanwhile is no drift. Each mm counts once.

use std::collections::HashSet;

use rss_drift_common::{Pages, member, record::FLAG_VALID};

use super::{
    by::By,
    collect::{Rules, comm, reading},
    sample::ReportId,
    stats::Reading,
};
use crate::{
    kernel::charge::Charge,
    probe::{Mm, Snapshot},
    proc::{Precision, Rollup, Source},
};

/// What a group is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupName {
    pub by: By,
    /// What tells it from the others; `None`: of the processes of which that cannot be told.
    pub text: Option<String>,
    /// The name of a container whose id is the text.
    pub container: Option<String>,
    /// The user's number.
    pub uid: Option<u32>,
    /// The path of its control group.
    pub cgroup: Option<String>,
}

impl GroupName {
    /// Digits of a container's id that people see.
    const SHORT_ID: usize = 12;

    /// That of the processes of which it cannot be told.
    #[must_use]
    pub const fn unknown(by: By) -> Self {
        Self { by, text: None, container: None, uid: None, cgroup: None }
    }

    /// The text for machines.
    #[must_use]
    pub fn text(&self) -> &str {
        self.text.as_deref().unwrap_or("-")
    }

    /// What people call it: a container by its name, or by the beginning of its id.
    #[must_use]
    pub fn shown(&self) -> &str {
        match (&self.container, self.by) {
            (Some(name), _) => name,
            (None, By::Container) => self.text().get(..Self::SHORT_ID).unwrap_or(self.text()),
            _ => self.text(),
        }
    }
}

/// The process with the largest |drift| of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worst {
    pub pid: u32,
    pub comm: String,
    /// Exact - reported, in pages.
    pub drift: i64,
}

/// What walks of page tables found, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Walked {
    /// Mms that were walked: of those that ended meanwhile or refuse it nothing is in the sums.
    pub mms: u64,
    pub resident: i64,
    /// Each page divided by how often it is mapped.
    pub pss: i64,
}

/// One group at one reading. Figures are pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aggregate {
    /// Its number in this reading.
    pub place: usize,
    /// The report that it stands in.
    pub report: ReportId,
    pub name: GroupName,
    /// Which file is `reported`.
    pub source: Source,
    pub processes: u64,
    /// Mms that count here: one that several processes share counts in the group of the one with the lowest pid.
    pub mms: u64,
    pub threads: u64,
    /// Exact pages per member.
    pub exact: Pages,
    /// The kernel's global counts per member; can be negative.
    pub global: Pages,
    /// What the source would print of all mms; `None` where its precision is not known.
    pub reported: Option<i64>,
    /// The largest |drift| that they can have together.
    pub bound: u64,
    /// Of equal ones the first.
    pub worst: Option<Worst>,
    /// Mms whose counters kept moving while they were read.
    pub uncertain: u64,
    /// What page tables say; `None`: not asked for, or no walk succeeded.
    pub walked: Option<Walked>,
    /// What its control group is charged for.
    pub charge: Option<Charge>,
    /// Exact RSS of every process that the charge is of, selected or not.
    pub charged_exact: Option<i64>,
    /// Events that the BPF programs missed on this host so far; `None` in passive mode.
    pub missed_events: Option<u64>,
}

impl Aggregate {
    fn new(place: usize, name: GroupName, rules: &Rules) -> Self {
        let is_known = rules.precisions.of(rules.source) != Precision::Unknown;
        Self {
            place,
            report: ReportId::NONE,
            name,
            source: rules.source,
            processes: 0,
            mms: 0,
            threads: 0,
            exact: [0; 4],
            global: [0; 4],
            reported: is_known.then_some(0),
            bound: 0,
            worst: None,
            uncertain: 0,
            walked: None,
            charge: None,
            charged_exact: None,
            missed_events: None,
        }
    }

    /// Exact RSS in pages.
    #[must_use]
    pub fn exact_rss(&self) -> i64 {
        member::rss(&self.exact)
    }

    /// Exact and reported; `None` where the precision of the source is not known.
    #[must_use]
    pub fn reading(&self) -> Option<Reading> {
        self.reported.map(|reported| Reading { exact: self.exact_rss(), reported })
    }

    /// Exact - reported, in pages; positive: the kernel under-reports.
    #[must_use]
    pub fn drift(&self) -> Option<i64> {
        self.reading().map(Reading::drift)
    }

    /// Drift as a share of exact, in percent; `None` with an exact figure of 0.
    #[must_use]
    pub fn drift_percent(&self) -> Option<f64> {
        let exact = self.exact_rss();
        self.drift().filter(|_| exact != 0).map(|drift| drift as f64 * 100.0 / exact as f64)
    }

    /// Counts an mm, by the first process that has it.
    fn count(&mut self, mm: &Mm, rules: &Rules) {
        let precision = rules.precisions.of(rules.source);
        let add = |sum: &mut Pages, pages: Pages| {
            for (sum, pages) in sum.iter_mut().zip(pages) {
                *sum = sum.saturating_add(pages);
            }
        };
        self.mms += 1;
        add(&mut self.exact, mm.exact());
        add(&mut self.global, mm.count);
        self.bound = self.bound.saturating_add(rules.batching().bound(precision, mm.tasks));
        self.uncertain += u64::from(!mm.has(FLAG_VALID));
        let Some(reading) = reading(mm, precision) else { return };
        self.reported = self.reported.map(|sum| sum.saturating_add(reading.reported));
        let drift = reading.drift();
        if self.worst.as_ref().is_none_or(|worst| worst.drift.unsigned_abs() < drift.unsigned_abs()) {
            self.worst = Some(Worst { pid: mm.tgid, comm: comm(mm), drift });
        }
    }

    /// Adds the walk of one of its mms.
    pub fn walk(&mut self, rollup: Rollup) {
        let bytes = |size: Option<u64>| size.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
        let (Some(resident), Some(pss)) = (bytes(rollup.rss), bytes(rollup.pss)) else { return };
        let walked = self.walked.get_or_insert_default();
        walked.mms += 1;
        walked.resident = walked.resident.saturating_add(resident);
        walked.pss = walked.pss.saturating_add(pss);
    }
}

/// Sums up the processes of a reading. `placed`: by rising pid, the group that each is in, by its place among `names`.
#[must_use]
pub fn sum(
    snapshot: &Snapshot,
    placed: &[(u32, usize)],
    names: Vec<GroupName>,
    rules: &Rules,
) -> Vec<Aggregate> {
    let group = |(place, name)| Aggregate::new(place, name, rules);
    let mut groups: Vec<_> = names.into_iter().enumerate().map(group).collect();
    let mut seen = HashSet::new();
    for &(pid, place) in placed {
        let (Some(mm), Some(group)) = (snapshot.process(pid), groups.get_mut(place)) else { continue };
        group.processes += 1;
        group.threads += u64::from(mm.threads);
        if !snapshot.is_shared(mm) || seen.insert(mm.mm) {
            group.count(mm, rules);
        }
    }
    groups
}

#[cfg(test)]
#[path = "groups_tests.rs"]
mod tests;
