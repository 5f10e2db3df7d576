//! Fields whose words are quiet (see [`super::Kind`]) in a scenario.

use super::words::{PEAK, RUNNING, SEED, SHARED, SLOT, STATE};

/// What the kernel has of an mm and of a task, and the slots last seen.
const KERNEL: &[&str] = &["lock", "count", "slot", "users", "task_mm", "cache", "seen"];

/// Every name there is.
const FIELDS: [&[&str]; 7] = [KERNEL, SLOT, STATE, SHARED, RUNNING, PEAK, SEED];

/// Names of fields, each of which is a word of every struct that has it. A name that no struct has does not compile.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Quiet(u128);

/// The peaks of an mm, and what they are found by.
pub(crate) const PEAKS: Quiet =
    Quiet::of(&["peak_exact", "peak_drift", "rss", "approximate", "active_cpus", "active_max", "entered"]);
/// What a slot counts of its updates.
pub(crate) const COUNTED: Quiet = Quiet::of(&["hits", "churn", "excess"]);
/// What is counted of an mm where it changes.
pub(crate) const APART: Quiet = Quiet::of(&["misses", "faults", "cpus", "low", "width", "folded", "ahead"]);
/// What the reader and the sweep know of the process that has an mm.
pub(crate) const OWNERS: Quiet = Quiet::of(&["events_seen", "events_seen_at", "tgid", "owned"]);

impl Quiet {
    /// These fields.
    pub(crate) const fn of(names: &[&str]) -> Self {
        Self(0).and(names)
    }

    /// These fields too.
    pub(crate) const fn and(self, names: &[&str]) -> Self {
        let (mut bits, mut at) = (self.0, 0);
        while at < names.len() {
            bits |= 1 << place(names[at]);
            at += 1;
        }
        Self(bits)
    }

    /// All but these fields.
    pub(crate) const fn without(self, names: &[&str]) -> Self {
        Self(self.0 & !Self::of(names).0)
    }

    /// The fields of both.
    pub(crate) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether one of these fields is among them.
    pub(super) const fn has(self, fields: Self) -> bool {
        self.0 & fields.0 != 0
    }
}

/// Where a name stands first.
const fn place(name: &str) -> u32 {
    let (mut place, mut list) = (0, 0);
    while list < FIELDS.len() {
        let mut at = 0;
        while at < FIELDS[list].len() {
            if same(FIELDS[list][at].as_bytes(), name.as_bytes()) {
                return place;
            }
            (place, at) = (place + 1, at + 1);
        }
        list += 1;
    }
    panic!("no struct has a field of this name")
}

/// `==`, which a constant cannot ask for.
const fn same(one: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}
