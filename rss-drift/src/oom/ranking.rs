//! The candidates in the order in which the OOM killer would take them, by both readings.

use std::cmp::Reverse;

use crate::drift::badness::{Counted, score};

/// A process that the OOM killer may take. Sizes are pages; `None`: unreadable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub pid: u32,
    pub comm: String,
    /// When it began, in nanoseconds since the start of the host.
    pub start: u64,
    /// What counts by the OOM killer's own reading, and by the exact one, each without page tables.
    pub read: Counted,
    pub exact: Counted,
    pub page_tables: Option<i64>,
    /// `oom_score_adj`
    pub adj: Option<i64>,
    /// What `/proc/PID/oom_score` says.
    pub oom_score: Option<u64>,
    /// Whether its counters stood still while they were read.
    pub certain: bool,
    /// Processes that have the same memory, and die with it.
    pub sharing: u64,
    /// Place by the OOM killer's own reading, from 1; `None` where its badness is not known.
    pub rank: Option<u64>,
    /// Place by the exact one.
    pub exact_rank: Option<u64>,
}

impl Candidate {
    /// Its badness by the OOM killer's own reading, in pages: of an OOM that concerns `total` pages.
    pub(super) fn badness(&self, total: i64) -> Option<i64> {
        self.of(self.read, total)
    }

    /// The same by the exact one.
    pub(super) fn exact_badness(&self, total: i64) -> Option<i64> {
        self.of(self.exact, total)
    }

    /// Its badness as `/proc/PID/oom_score` would print it if the host had `total` pages.
    pub(super) fn score(&self, total: i64) -> Option<i64> {
        self.badness(total).map(|badness| score(badness, total))
    }

    /// Whether the two readings give it different places.
    pub(super) fn moves(&self) -> bool {
        self.rank != self.exact_rank
    }

    fn of(&self, counted: Counted, total: i64) -> Option<i64> {
        Some(Counted { page_tables: self.page_tables?, ..counted }.badness(self.adj?, total))
    }
}

/// Puts them into the OOM killer's order and numbers them. Who has no badness comes last, without a rank.
///
/// Of equal ones the kernel takes the last that it looks at (`mm/oom_kill.c:oom_evaluate_task`): the one that began last, but where they
/// are in different groups.
pub(super) fn rank(candidates: &mut [Candidate], total: i64) {
    let order = |badness: Option<i64>, it: &Candidate| Reverse((badness, it.start, it.pid));
    candidates.sort_by_key(|it| order(it.exact_badness(total), it));
    for (place, it) in (1..).zip(candidates.iter_mut()) {
        it.exact_rank = it.exact_badness(total).map(|_| place);
    }
    candidates.sort_by_key(|it| order(it.badness(total), it));
    for (place, it) in (1..).zip(candidates.iter_mut()) {
        it.rank = it.badness(total).map(|_| place);
    }
}

/// Who the OOM killer would take by the exact reading.
pub(super) fn exact_victim(candidates: &[Candidate]) -> Option<&Candidate> {
    candidates.iter().find(|it| it.exact_rank == Some(1))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A million pages.
    pub(in crate::oom) const TOTAL: i64 = 1_000_000;

    /// A process whose RSS is read as `read` and is `exact`, with a page of page tables.
    pub(in crate::oom) fn candidate(pid: u32, read: i64, exact: i64, adj: i64) -> Candidate {
        Candidate {
            pid,
            comm: format!("c{pid}"),
            start: pid.into(),
            read: Counted { rss: read, swap: 2, page_tables: 0 },
            exact: Counted { rss: exact, swap: 2, page_tables: 0 },
            page_tables: Some(1),
            adj: Some(adj),
            oom_score: Some(700),
            certain: true,
            sharing: 0,
            rank: None,
            exact_rank: None,
        }
    }

    fn ranks(candidates: &mut [Candidate]) -> Vec<(u32, Option<u64>, Option<u64>)> {
        rank(candidates, TOTAL);
        candidates.iter().map(|it| (it.pid, it.rank, it.exact_rank)).collect()
    }

    #[test]
    fn the_largest_is_first_and_marked_where_the_readings_differ() {
        let mut all = [candidate(1, 50, 50, 0), candidate(2, 100, 105, 0), candidate(3, 90, 110, 0)];
        let found = ranks(&mut all);
        assert_eq!(found, [(2, Some(1), Some(2)), (3, Some(2), Some(1)), (1, Some(3), Some(3))]);
        assert_eq!(all.each_ref().map(Candidate::moves), [true, true, false]);
        assert_eq!(exact_victim(&all).map(|it| it.pid), Some(3));
        assert_eq!((all[0].badness(TOTAL), all[0].exact_badness(TOTAL)), (Some(103), Some(108)));
    }

    #[test]
    fn an_adjustment_outweighs_size() {
        let mut all = [candidate(1, 5000, 5000, -4), candidate(2, 10, 10, 0), candidate(3, 10, 10, 10)];
        assert_eq!(ranks(&mut all).iter().map(|it| it.0).collect::<Vec<_>>(), [3, 1, 2]);
        assert_eq!(all[1].badness(TOTAL), Some(5003 - 4000));
        assert_eq!(all[0].score(TOTAL), Some((1000 + 10) * 2 / 3));
        let mut all = [candidate(1, 5000, 5000, -6), candidate(2, 10, 10, 0)];
        assert_eq!(ranks(&mut all)[0].0, 2, "a badness may be below 0");
    }

    #[test]
    fn of_equal_ones_the_youngest_is_taken() {
        let mut all = [candidate(7, 10, 10, 0), candidate(9, 10, 10, 0), candidate(8, 10, 10, 0)];
        all[0].start = 100;
        assert_eq!(ranks(&mut all), [(7, Some(1), Some(1)), (9, Some(2), Some(2)), (8, Some(3), Some(3))]);
    }

    #[test]
    fn what_is_unreadable_has_no_rank() {
        let mut all = [candidate(1, 500, 500, 0), candidate(2, 10, 10, 0), candidate(3, 900, 900, 0)];
        all[0].adj = None;
        all[2].page_tables = None;
        assert_eq!(ranks(&mut all), [(2, Some(1), Some(1)), (3, None, None), (1, None, None)]);
        assert_eq!(all[1].score(TOTAL), None);
        assert!(!all[1].moves());
        assert_eq!(exact_victim(&[]), None);
    }
}
