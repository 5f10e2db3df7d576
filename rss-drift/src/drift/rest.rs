//! Whether the shadow is right: looked at where nothing moves.
//!
//! A process is at rest when two readings have equal exact figures and no update of its counters came between them. What
//! the shadow says of it then must be exact to the page, and a reader that refreshes its words must find nothing to
//! correct. Both are our own errors and never drift.

use std::collections::HashMap;

use rss_drift_common::{
    Pages,
    record::FLAG_VALID,
    shadow::{SHADOW_VALID, ShadowRecord},
};

use crate::probe::{Mm, Snapshot};

/// What one reading said of a mm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    exact: Pages,
    updates: u64,
    repaired: u64,
}

/// What was found at one reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RestFindings {
    /// Mms that were at rest since the reading before.
    pub at_rest: u64,
    /// The largest |shadow - exact| of a member of an mm at rest, in pages.
    pub largest_error: u64,
    /// Pages that had to be corrected for mms at rest: an event was missed.
    pub repaired: u64,
    /// Processes without a state: the map is full.
    pub without_state: u64,
    /// Shadows that a flush disturbed each time they were read.
    pub disturbed: u64,
}

/// Compares each reading with the one before.
#[derive(Debug, Default)]
pub struct RestTracker {
    seen: HashMap<u64, Seen>,
}

impl RestTracker {
    /// Looks at a reading of full mode.
    pub fn look(&mut self, snapshot: &Snapshot) -> RestFindings {
        let mut findings = RestFindings::default();
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

    fn compare(&self, mm: &Mm, shadow: &ShadowRecord, findings: &mut RestFindings) -> Option<Seen> {
        if shadow.flags & SHADOW_VALID == 0 {
            findings.disturbed += 1;
            return None;
        }
        if !mm.has(FLAG_VALID) {
            return None;
        }
        let seen = Seen { exact: mm.exact(), updates: shadow.updates(), repaired: shadow.repaired };
        let before = self.seen.get(&shadow.id);
        if let Some(before) = before.filter(|it| (it.exact, it.updates) == (seen.exact, seen.updates)) {
            let errors = shadow.shadow.iter().zip(seen.exact).map(|(shadow, exact)| shadow.abs_diff(exact));
            findings.at_rest += 1;
            findings.largest_error = findings.largest_error.max(errors.max().unwrap_or(0));
            findings.repaired += seen.repaired.saturating_sub(before.repaired);
        }
        Some(seen)
    }
}
