//! What the OOM killer ranks processes by: the one home of its arithmetic.
//!
//! `mm/oom_kill.c:oom_badness` is the same from 5.10 to 7.x but for its reading of the counters: up to 6.18 `get_mm_rss` and
//! `get_mm_counter`, which read the global counts alone, in 7.x `get_mm_rss_sum` and `get_mm_counter_sum`, which read what is cached too.

use rss_drift_common::Member;

use crate::{probe::Mm, proc::Precision};

/// `include/uapi/linux/oom.h:OOM_SCORE_ADJ_MIN`: the OOM killer never takes a process with this `oom_score_adj`.
pub const NEVER: i64 = -1000;

/// The memory of a process that the OOM killer counts, in pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    pub rss: i64,
    /// Entries of swap in its page tables (`MM_SWAPENTS`).
    pub swap: i64,
    /// All levels of its page tables (`mm_pgtables_bytes`).
    pub page_tables: i64,
}

impl Counted {
    /// By the counters of a process as a reader of this precision has them. A precision that is not known counts as approximate.
    #[must_use]
    pub fn of(mm: &Mm, precision: Precision, page_tables: i64) -> Self {
        let swap = Member::Swap.index();
        let (rss, swap) = match precision {
            Precision::Exact => (mm.exact_rss(), mm.exact()[swap]),
            Precision::Approximate | Precision::Unknown => (mm.approximate_rss(), mm.count[swap]),
        };
        // As both readers of the kernel do with a count below 0 (`include/linux/mm.h:get_mm_counter`).
        Self { rss, swap: swap.max(0), page_tables }
    }

    /// What all of it comes to.
    #[must_use]
    pub const fn pages(self) -> i64 {
        self.rss.saturating_add(self.swap).saturating_add(self.page_tables)
    }

    /// The badness, in pages: of an OOM that concerns `total` pages (`totalpages`: of the host, or the limit of a control group), of a
    /// process with this `oom_score_adj`. It may be below 0.
    #[must_use]
    pub const fn badness(self, adj: i64, total: i64) -> i64 {
        // In this order: the kernel divides first.
        self.pages().saturating_add(adj.saturating_mul(total / 1000))
    }
}

/// A badness as `/proc/PID/oom_score` prints it (`fs/proc/base.c:proc_oom_score`, since 5.9). The file takes `total` for the memory and
/// the swap of the host.
#[must_use]
pub const fn score(badness: i64, total: i64) -> i64 {
    // A kernel has at least a page.
    let total = if total > 0 { total } else { 1 };
    (1000 + badness.saturating_mul(1000) / total) * 2 / 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_counts_is_added_up() {
        let mm = Mm { count: [10, -5, 3, 2], cached: [1, 7, -1, 0], ..bytemuck::Zeroable::zeroed() };
        let approximate = Counted::of(&mm, Precision::Approximate, 4);
        assert_eq!(approximate, Counted { rss: 12, swap: 3, page_tables: 4 });
        assert_eq!(Counted::of(&mm, Precision::Unknown, 4), approximate);
        assert_eq!(Counted::of(&mm, Precision::Exact, 4), Counted { rss: 15, swap: 2, page_tables: 4 });
        assert_eq!(approximate.pages(), 19);
        let below = Mm { count: [0, 0, -3, 0], ..bytemuck::Zeroable::zeroed() };
        assert_eq!(Counted::of(&below, Precision::Approximate, 0).swap, 0);
    }

    #[test]
    fn an_adjustment_is_thousandths_of_the_total() {
        let counted = Counted { rss: 90, swap: 6, page_tables: 4 };
        assert_eq!(counted.badness(0, 1_000_999), 100);
        assert_eq!(
            counted.badness(5, 1_000_999),
            100 + 5 * 1000,
            "what is less than 1,000 of the total is lost"
        );
        assert_eq!(counted.badness(-10, 1_000_999), 100 - 10 * 1000);
        // A group of less than 1,000 pages has no adjustments.
        assert_eq!(counted.badness(1000, 999), 100);
    }

    #[test]
    fn scores_are_those_of_the_file() {
        // Of a host of 4,000,000 pages.
        let score = |badness| score(badness, 4_000_000);
        assert_eq!([score(0), score(3_999), score(4_000), score(40_000)], [666, 666, 667, 673]);
        assert_eq!([score(-4_000_000), score(4_000_000), score(-3_999)], [0, 1333, 666]);
        assert_eq!(super::score(5, 0), (1000 + 5000) * 2 / 3, "nothing is divided by 0");
    }
}
