//! Whether the shadow is right: compared while mms are idle.
//!
//! A process is idle when readings have equal exact figures and no update of its counters came between them. What
//! the shadow says of it then must be exact to the page, and a reader that refreshes its words must find nothing to
//! correct. Both are errors of rss-drift and never drift.
//!
//! What one reading found is judged by the next. An update between the kernel's words and the shadow of one reading looks
//! like an error of rss-drift: the next reading has other words, so that the process was not idle.

use std::collections::HashMap;

use rss_drift_common::{
    Pages,
    record::FLAG_VALID,
    shadow::{SHADOW_VALID, ShadowRecord},
};

use crate::probe::{Mm, Snapshot};

/// What one reading said of an mm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    exact: Pages,
    updates: u64,
    repaired: u64,
    /// What is wrong with it, where it equals the reading before.
    wrong: Option<Wrong>,
}

/// What was wrong at a reading, in pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wrong {
    /// The largest |shadow - exact| of a member.
    error: u64,
    /// What had to be corrected.
    repaired: u64,
}

impl Seen {
    fn of(exact: Pages, shadow: &ShadowRecord, before: Option<&Self>) -> Self {
        let (updates, repaired) = (shadow.updates(), shadow.repaired);
        let wrong =
            before.filter(|before| (before.exact, before.updates) == (exact, updates)).map(|before| {
                let errors = shadow.shadow.iter().zip(exact).map(|(shadow, exact)| shadow.abs_diff(exact));
                Wrong { error: errors.max().unwrap_or(0), repaired: repaired.saturating_sub(before.repaired) }
            });
        Self { exact, updates, repaired, wrong }
    }
}

/// What was found at one reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IdleFindings {
    /// Mms that were idle at the reading before: nothing moved from the one before that to this one.
    pub mms: u64,
    /// The largest |shadow - exact| of a member of an idle mm, in pages.
    pub largest_error: u64,
    /// Pages that had to be corrected for idle mms: an event was missed.
    pub repaired: u64,
    /// Processes without a state: the map is full.
    pub without_state: u64,
    /// Shadows that a flush disturbed each time they were read.
    pub disturbed: u64,
}

/// Compares each reading with the one before.
#[derive(Debug, Default)]
pub struct IdleTracker {
    seen: HashMap<u64, Seen>,
}

impl IdleTracker {
    /// Takes the next reading of full mode, and judges the one before by it.
    pub fn judge(&mut self, snapshot: &Snapshot) -> IdleFindings {
        let mut findings = IdleFindings::default();
        let mut now = HashMap::with_capacity(self.seen.len());
        for mm in snapshot.mms() {
            match snapshot.shadow(mm.tgid) {
                None => findings.without_state += 1,
                Some(shadow) => {
                    let seen = self.compare(mm, shadow, &mut findings);
                    now.extend(seen.map(|seen| (shadow.id, seen)));
                }
            }
        }
        self.seen = now;
        findings
    }

    fn compare(&self, mm: &Mm, shadow: &ShadowRecord, findings: &mut IdleFindings) -> Option<Seen> {
        if shadow.flags & SHADOW_VALID == 0 {
            findings.disturbed += 1;
            return None;
        }
        if !mm.has(FLAG_VALID) {
            return None;
        }
        let before = self.seen.get(&shadow.id);
        let seen = Seen::of(mm.exact(), shadow, before);
        if seen.wrong.is_some()
            && let Some(wrong) = before.and_then(|before| before.wrong)
        {
            findings.mms += 1;
            findings.largest_error = findings.largest_error.max(wrong.error);
            findings.repaired += wrong.repaired;
        }
        Some(seen)
    }
}

#[cfg(test)]
mod tests {
    use rss_drift_common::Pages;

    use super::*;

    /// Feeds readings of one mm: its exact pages, its shadow, its updates, its repaired pages.
    fn findings(readings: &[(i64, i64, u64, u64)]) -> IdleFindings {
        let mut tracker = IdleTracker::default();
        let mut sum = IdleFindings::default();
        for &(exact, shadow, hits, repaired) in readings {
            let mm = Mm { count: anon(exact), flags: FLAG_VALID, ..bytemuck::Zeroable::zeroed() };
            let shadow = ShadowRecord {
                id: 7,
                shadow: anon(shadow),
                hits,
                repaired,
                flags: SHADOW_VALID,
                ..ShadowRecord::default()
            };
            let seen = tracker.compare(&mm, &shadow, &mut sum);
            tracker.seen.extend(seen.map(|seen| (shadow.id, seen)));
        }
        sum
    }

    const fn anon(pages: i64) -> Pages {
        [0, pages, 0, 0]
    }

    #[test]
    fn an_error_that_stays_is_found() {
        let found = findings(&[(10, 10, 1, 0), (10, 9, 1, 0), (10, 9, 1, 0)]);
        assert_eq!((found.mms, found.largest_error, found.repaired), (1, 1, 0));
    }

    #[test]
    fn what_had_to_be_corrected_is_found() {
        let found = findings(&[(10, 10, 1, 0), (10, 10, 1, 3), (10, 10, 1, 3), (10, 10, 1, 3)]);
        assert_eq!((found.mms, found.largest_error, found.repaired), (2, 0, 3));
    }

    #[test]
    fn an_update_on_its_way_is_no_error() {
        // It came between the kernel's words and the shadow of the third reading; its event came behind it.
        let found = findings(&[(10, 10, 1, 0), (10, 10, 1, 0), (10, 26, 1, 16), (26, 26, 2, 16)]);
        assert_eq!((found.mms, found.largest_error, found.repaired), (1, 0, 0));
    }

    #[test]
    fn updates_that_cancel_out_are_not_idle() {
        let found = findings(&[(10, 10, 1, 0), (10, 10, 3, 0), (10, 11, 5, 0)]);
        assert_eq!(found, IdleFindings::default());
    }
}
