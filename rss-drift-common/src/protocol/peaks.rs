//! The peaks of an mm: its largest RSS, and the largest |drift|.

use super::handle::Handle;
use crate::{
    member,
    memory::{Exchange, Live, Word},
    room::Room,
};

impl<W: Live> Handle<'_, W> {
    /// Whether an RSS of `exact` pages is beyond the peak of RSS, or its |drift| from the approximate figure beyond that of drift.
    #[inline(always)]
    #[must_use]
    pub fn is_beyond_peaks(&self, exact: i64) -> bool {
        exact > self.state.peak_exact.get()
            || (exact - self.state.approximate.get()).unsigned_abs().cast_signed()
                > self.state.peak_drift.get()
    }

    /// Whether an RSS of so many pages is no new peak of RSS.
    #[inline(always)]
    #[must_use]
    pub fn is_below_peak(&self, exact: i64) -> bool {
        exact <= self.state.peak_exact.get()
    }

    /// How far an RSS of so many pages may go until it is beyond a peak, while the approximate reader prints so many; less than 0 where it
    /// is.
    #[inline(always)]
    #[must_use]
    pub fn room(&self, exact: i64, approximate: i64) -> Room {
        let drift = self.state.peak_drift.get();
        let rise = (self.state.peak_exact.get() - exact).min(approximate + drift - exact);
        Room { rise, fall: exact - approximate + drift }
    }

    /// Whether one CPU alone changes the mm, which lives and has peaks, and no reading is about to take deltas of it.
    #[inline(always)]
    #[must_use]
    pub fn is_undisturbed(&self) -> bool {
        self.state.active_cpus.get() == 1
            && !self.is_settling()
            && self.state.seeded.get() != 0
            && self.lives()
    }

    /// Number of the CPU that may have the mm in [`crate::slot::Slot::alone`].
    #[inline(always)]
    #[must_use]
    pub fn last_alone(&self) -> Option<u32> {
        u32::try_from(self.state.alone.get()).ok()?.checked_sub(1)
    }

    /// Raises the peaks to an RSS of so many pages. `bound`: the largest |drift| that can be.
    #[inline(always)]
    pub fn raise_peaks(&self, exact: i64, bound: u64) {
        self.raise_exact(exact);
        self.raise_drift(exact, self.seen_approximate(), bound);
    }

    /// RSS as the approximate reader prints it, from one word.
    #[inline(always)]
    #[must_use]
    pub fn seen_approximate(&self) -> i64 {
        self.state.approximate.get()
    }

    /// Raises the peak of RSS.
    #[inline(always)]
    pub fn raise_exact(&self, exact: i64) {
        if exact > self.state.peak_exact.get() {
            raise(&self.state.peak_exact, exact);
        }
    }

    /// Raises the peak of |drift|, by an RSS of `exact` pages while the approximate reader prints `approximate`.
    #[inline(always)]
    pub fn raise_drift(&self, exact: i64, approximate: i64, bound: u64) {
        let drift = (exact - approximate).unsigned_abs().cast_signed();
        // Beyond the bound: only half of another CPU's fold was seen.
        if drift > self.state.peak_drift.get() && drift.cast_unsigned() <= bound {
            raise(&self.state.peak_drift, drift);
        }
    }

    /// RSS as the kernel's approximate reader prints it, by the global counts as last seen, in pages.
    #[inline(always)]
    #[must_use]
    pub fn approximate(&self) -> i64 {
        member::rss_clamped(&self.global())
    }
}

/// Raises a word to `value` if it is lower, against other CPUs that do the same.
#[inline(always)]
pub(super) fn raise<T: Exchange<i64>>(word: &T, value: i64) {
    /// Each failure means that another CPU raised the word meanwhile. If so many CPUs work on
    /// one mm, its peaks have an error that is larger than what the last of them could add.
    const TRIES: u32 = 16;
    let mut tries = 0;
    while tries < TRIES {
        let old = word.get();
        if old >= value || word.replace(old, value) {
            return;
        }
        tries += 1;
    }
}
