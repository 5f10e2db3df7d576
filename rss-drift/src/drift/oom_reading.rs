//! How the OOM killer reads RSS on this kernel, found by behaviour: a change of that is as likely to be backported as that of `statm`.
//!
//! `/proc/PID/oom_score` is the OOM killer's own badness (`fs/proc/base.c:proc_oom_score` calls `oom_badness`), in steps of some megabytes.
//! The edge of a step lies where `oom_score_adj` puts it: an adjustment of k moves it by k times what is left of the total over whole
//! thousands, less than k pages. A child of ours that has drift gets the adjustment by which the score of its exact figure is
//! another than that of its approximate one, and the file says which of the two the kernel took.

use std::ops::RangeInclusive;

use super::{
    badness::{Counted, score},
    behaviour::{BehaviourError, STEP, STEPS, Toucher},
};
use crate::{
    kernel::{meminfo::Meminfo, room},
    probe::Probe,
    proc::{Precision, TaskFolder},
};

/// The most pages that the child touches to come to the edge of a step: enough for any host of 32 GiB, and for larger ones as a rule.
const MOST_PAGES: u64 = 8192;
/// How far before the edge the steps begin: what a child that touches many pages may have in a cache.
const BEFORE: u64 = 64;
/// The adjustments that are tried: to set one below that of this process takes `CAP_SYS_RESOURCE`.
const ADJUSTMENTS: RangeInclusive<i64> = 0..=1000;

/// Finds it; [`Precision::Unknown`] where no edge is near enough, or something disturbs.
///
/// As [`super::behaviour::find_precisions`], to be called while this process has no other thread that holds a lock of the allocator.
///
/// # Errors
/// Where the child or the reading fails.
pub fn find_oom_precision(
    probe: &mut Probe,
    page_size: u64,
    host: Meminfo,
) -> Result<Precision, BehaviourError> {
    let total = pages(host.total(), page_size);
    let most = affordable(host, page_size);
    let steps = usize::from(STEP) * STEPS;
    let mut child = Toucher::spawn(page_size, usize::try_from(most).unwrap_or(0) + steps)?;
    let Some(first) = Seen::of(probe, child.pid(), page_size)? else { return Ok(Precision::Unknown) };
    let Some(missing) = to_an_edge(first.exact, most, total) else { return Ok(Precision::Unknown) };
    let mut missing = missing.saturating_sub(BEFORE);
    while missing > 0 {
        let pages = u8::try_from(missing).unwrap_or(u8::MAX);
        child.touch(pages)?;
        missing -= u64::from(pages);
    }
    for _ in 0..STEPS {
        child.touch(STEP)?;
        let Some(before) = Seen::of(probe, child.pid(), page_size)? else { break };
        let Some(adj) = telling(before, total) else { continue };
        let folder = TaskFolder::process(child.pid());
        if folder.set_oom_score_adj(adj).is_err() {
            break;
        }
        let found = folder.memory();
        if Seen::of(probe, child.pid(), page_size)? != Some(before) || found.oom_score_adj != Some(adj) {
            continue;
        }
        let is = |badness: i64| found.oom_score == u64::try_from(score_of(badness, adj, total)).ok();
        match (is(before.approximate), is(before.exact)) {
            (true, false) => return Ok(Precision::Approximate),
            (false, true) => return Ok(Precision::Exact),
            _ => {}
        }
    }
    Ok(Precision::Unknown)
}

/// What counts of the child before an adjustment, in pages, by each of the two readings of one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    approximate: i64,
    exact: i64,
}

impl Seen {
    /// `None` where it is gone or not readable.
    fn of(probe: &mut Probe, pid: u32, page_size: u64) -> Result<Option<Self>, BehaviourError> {
        let tables = TaskFolder::process(pid).memory().page_table_pages(page_size);
        let snapshot = probe.snapshot()?;
        Ok(snapshot.process(pid).zip(tables).map(|(mm, tables)| {
            let pages = |precision| Counted::of(mm, precision, tables).pages();
            Self { approximate: pages(Precision::Approximate), exact: pages(Precision::Exact) }
        }))
    }
}

/// How many pages the child may touch: little of what is free, on the host and in the control group of this process, as neither shall
/// come nearer to an OOM by this.
fn affordable(host: Meminfo, page_size: u64) -> u64 {
    let room = room::of_this_process().map_or(u64::MAX, |room| room.bytes / 4);
    (room.min(host.available / 32) / page_size.max(1)).min(MOST_PAGES)
}

fn score_of(pages: i64, adj: i64, total: i64) -> i64 {
    score(Counted { rss: pages, ..Counted::default() }.badness(adj, total), total)
}

/// The adjustment by which the two readings have different scores.
fn telling(seen: Seen, total: i64) -> Option<i64> {
    let differs = |&adj: &i64| score_of(seen.approximate, adj, total) != score_of(seen.exact, adj, total);
    ADJUSTMENTS.into_iter().find(differs)
}

/// How many pages more than `now` it takes, at least, that the score becomes another for some adjustment: `most` at most.
fn to_an_edge(now: i64, most: u64, total: i64) -> Option<u64> {
    let edge = |adj: i64| {
        let changes =
            |more: u64| score_of(now.saturating_add_unsigned(more), adj, total) != score_of(now, adj, total);
        let (mut low, mut high) = (0, most);
        if !changes(high) {
            return None;
        }
        // A score rises with the pages: it is the same up to `low`.
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            *(if changes(middle) { &mut high } else { &mut low }) = middle;
        }
        Some(high)
    };
    ADJUSTMENTS.filter_map(edge).min()
}

fn pages(bytes: u64, page_size: u64) -> i64 {
    i64::try_from(bytes / page_size.max(1)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 23.5 GiB.
    const TOTAL: i64 = 6_171_023;

    #[test]
    fn an_adjustment_tells_readings_apart_at_an_edge() {
        for now in [0, 10, 700, 5000, 50_000] {
            let more = to_an_edge(now, 1 << 20, TOTAL).unwrap();
            let exact = now + i64::try_from(more).unwrap();
            let adj = telling(Seen { approximate: exact - 1, exact }, TOTAL).unwrap();
            assert_ne!(score_of(exact - 1, adj, TOTAL), score_of(exact, adj, TOTAL));
            assert!(
                more == 1 || telling(Seen { approximate: now, exact: exact - 1 }, TOTAL).is_none(),
                "{now}: the nearest"
            );
        }
    }

    #[test]
    fn without_drift_nothing_tells() {
        assert_eq!(telling(Seen { approximate: 700, exact: 700 }, TOTAL), None);
    }

    #[test]
    fn what_is_too_far_is_not_gone_to() {
        // A terabyte, whose total is whole thousands: steps are a gigabyte, and no adjustment moves their edges.
        assert_eq!(to_an_edge(700, MOST_PAGES, 268_435_000), None);
        assert_eq!(to_an_edge(700, 0, TOTAL), None);
    }
}
