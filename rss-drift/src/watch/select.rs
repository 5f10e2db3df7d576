//! Which processes a report is of.

use std::{borrow::Borrow, collections::BTreeMap};

use super::{options::Options, sort::Sort};
use crate::{
    drift::{
        collect::{Prediction, Rules},
        sample::{Host, Row},
    },
    probe::{Mm, Snapshot},
    proc::{CgroupVersion, NoMemory, why_no_memory},
    select::Filter,
};

/// Fields that a prediction lacks, as only /proc, the shadow or two readings tell them: ranking by one of them takes the row of every
/// process.
const ONLY_IN_ROWS: &[&str] = &[
    "uid",
    "cgroup",
    "mm_pid",
    "faults",
    "resident_bytes",
    "vm_hwm_bytes",
    "moved_bytes",
    "uncertainty",
    "uncertainty_bytes",
    "band_low_bytes",
    "band_high_bytes",
    "shadow_bytes",
    "shadow_error",
    "peak_exact_bytes",
    "peak_drift_bytes",
    "peak_error",
    "hits",
    "misses",
    "flushes",
    "events_per_miss",
    "note",
    "timestamp",
    "time",
];

/// What the command line selects.
#[derive(Debug)]
pub(super) struct Selection {
    filter: Filter,
    /// The watched processes that still live: pid and the start by which a reused pid is told apart. `None`: all.
    watched: Option<BTreeMap<u32, u64>>,
    /// The selected processes of the last reading, by rising pid. `None`: all.
    chosen: Option<Vec<u32>>,
}

impl Selection {
    /// The selection of `options`. Of the pids one must be there; the others are told.
    ///
    /// # Errors
    /// The first pid that cannot be watched, where none can.
    pub(super) fn new(options: &Options, filter: Filter, snapshot: &Snapshot) -> Result<Self, NoMemory> {
        let mut watched = BTreeMap::new();
        let mut missing = Vec::new();
        for &pid in &options.pids {
            match snapshot.process(pid) {
                Some(mm) => {
                    watched.insert(pid, mm.start_boottime_ns);
                }
                None => missing.push(why_no_memory(pid)),
            }
        }
        match missing.first() {
            Some(why) if watched.is_empty() => return Err(why.clone()),
            _ => missing.iter().for_each(|why| log::warn!("{why}; the other processes of -p are watched")),
        }
        Ok(Self { filter, watched: (!options.pids.is_empty()).then_some(watched), chosen: None })
    }

    /// Whether only some of the host's processes are asked for.
    #[must_use]
    pub(super) fn is_selective(&self) -> bool {
        self.watched.is_some() || self.filter.is_selective()
    }

    /// Whether a process was selected at the start or in any report so far.
    #[must_use]
    pub(super) const fn found_any(&self) -> bool {
        self.filter.found_any()
    }

    /// Says which names and command lines no process has so far.
    pub(super) fn tell_unseen(&self) {
        self.filter.tell_unseen();
    }

    /// Picks the selected processes of a reading; whether all of it was looked at before `give_up` said so.
    #[must_use]
    pub(super) fn look(
        &mut self,
        snapshot: &Snapshot,
        version: Option<CgroupVersion>,
        rules: &Rules,
        give_up: &dyn Fn() -> bool,
    ) -> bool {
        let watched = self.watched.as_ref();
        let among = |mm: &Mm| watched.is_none_or(|watched| watched.contains_key(&mm.tgid));
        let chosen = self.filter.choose(snapshot, version, rules, &among, give_up);
        let is_whole = chosen.is_some();
        self.chosen = if watched.is_some() || self.filter.is_selective() { chosen } else { None };
        is_whole
    }

    /// Whether all watched processes have ended.
    #[must_use]
    pub(super) fn is_over(&self) -> bool {
        self.watched.as_ref().is_some_and(BTreeMap::is_empty)
    }

    /// The watched processes that `snapshot` has no more; from then on they are not watched.
    pub(super) fn take_gone(&mut self, snapshot: &Snapshot) -> Vec<u32> {
        let Some(watched) = &mut self.watched else { return Vec::new() };
        let lives =
            |pid: u32, start: u64| snapshot.process(pid).is_some_and(|mm| mm.start_boottime_ns == start);
        let gone = watched.iter().filter(|&(&pid, &start)| !lives(pid, start)).map(|(&pid, _)| pid).collect();
        watched.retain(|&pid, start| lives(pid, *start));
        gone
    }

    /// The processes whose files are to be read, the first in this order, and how many are left out where there is a limit.
    #[must_use]
    pub(super) fn pids(
        &self,
        snapshot: &Snapshot,
        rules: &Rules,
        host: &Host,
        sort: Sort<Row>,
        limit: Option<usize>,
    ) -> (Vec<u32>, u64) {
        let chosen = snapshot.processes().filter(|mm| self.selects(mm));
        if limit.is_none() || ONLY_IN_ROWS.contains(&sort.field.name) {
            return (chosen.map(|mm| mm.tgid).collect(), 0);
        }
        let mut ranked: Vec<Prediction> = chosen.map(|mm| Prediction::new(mm, rules)).collect();
        let left_out = sort.first(&mut ranked, limit, host);
        let pid = |row: &Row| row.process.pid;
        (ranked.iter().map(|row| pid(row.borrow())).collect(), left_out)
    }

    /// Whether it selects a process of the last reading.
    #[must_use]
    pub(super) fn selects(&self, mm: &Mm) -> bool {
        self.chosen.as_ref().is_none_or(|chosen| chosen.binary_search(&mm.tgid).is_ok())
    }

    /// Leaves out the rows that are smaller than what is asked for.
    pub(super) fn keep_large(&self, rows: &mut Vec<Row>, page_size: u64) {
        self.filter.keep_large(rows, page_size);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        drift::fixture::{host, rules},
        table::{Record as _, Value},
    };

    /// The same in all rows of a report: no order.
    const OF_THE_REPORT: &[&str] = &["missed_events", "interval", "reading_time", "step_down"];

    #[test]
    fn what_a_prediction_lacks_takes_the_rows() {
        let mm = Mm { tgid: 1, count: [0, 100, 0, 0], ..bytemuck::Zeroable::zeroed() };
        let prediction = Prediction::new(&mm, &rules());
        let host = host();
        for field in Row::columns().filter(|field| !OF_THE_REPORT.contains(&field.name)) {
            let lacks = matches!(field.get(prediction.borrow(), &host), Value::Empty);
            assert!(!lacks || ONLY_IN_ROWS.contains(&field.name), "--sort {} would rank nothing", field.name);
        }
        for name in ONLY_IN_ROWS {
            assert!(Row::columns().any(|field| field.name == *name), "{name}");
        }
    }
}
