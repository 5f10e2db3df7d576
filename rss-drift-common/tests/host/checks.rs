//! What has to hold of per-cpu accounting when all is quiet.

use super::{Check as _, Fifo as _, Host, Kind, List as _, Table as _, address, at, narrow, unpack};
use rss_drift_common::{
    protocol::limbo,
    shadow::{SHADOW_VALID, ShadowRecord, State},
};

/// An mm that no scenario uses.
const NOBODY: u64 = 0xdead_0000;

impl<K: Kind> Host<K> {
    /// The shadow of this mm is what its counters come to. What the reader said of it.
    pub(crate) fn check_read(&self, mm: u64) -> ShadowRecord {
        let record = self.visit(mm);
        assert_eq!((record.shadow, record.flags), (self.mm(mm).truth(), SHADOW_VALID), "shadow of {mm:#x}");
        record
    }

    /// And nothing was left for that reading to correct.
    pub(crate) fn check_shadow(&self, mm: u64) -> ShadowRecord {
        let repaired = self.table.find(mm).map_or(0, |index| self.state_now(at(index)).repaired);
        let record = self.check_read(mm);
        assert_eq!(record.repaired, repaired, "repaired of {mm:#x}");
        record
    }

    /// Every event was counted: as a hit, as a miss, or as one that came in the middle of another BPF program. `missed` were not seen.
    pub(crate) fn check_events(&self, missed: u64) {
        (0..self.cpus.len()).for_each(|cpu| self.switch(narrow(cpu as u64), NOBODY));
        let counts = self.all_counts_now();
        let events: u64 = self.mms.iter().map(|mm| mm.events.peek()).sum();
        assert_eq!(
            counts.hits + counts.misses + counts.nested + missed,
            events,
            "hits + misses + nested = events"
        );
    }

    /// Nothing was found at an mm's end that should not be there.
    pub(crate) fn check_no_residue(&self) {
        let counts = self.all_counts_now();
        assert_eq!((counts.deaths_with_residue, counts.residue), (0, 0), "residue");
    }

    /// So many states were made, so many of them have ended, and so many could not be made.
    pub(crate) fn check_lives(&self, births: u64, deaths: u64, refused: u64) {
        let counts = self.all_counts_now();
        assert_eq!((counts.births, counts.deaths, counts.refused), (births, deaths, refused));
    }

    /// These mms live, each with its right shadow; what ended left nothing.
    pub(crate) fn check_living(&self, mms: &[u64]) {
        self.check_no_residue();
        for &mm in mms {
            self.check_shadow(mm);
        }
        self.check_indexes();
    }

    /// Where each index is.
    pub(crate) fn places(&self) -> Vec<Vec<&'static str>> {
        let mut places = vec![Vec::new(); self.states.len()];
        let waiting: Vec<_> = std::iter::from_fn(|| self.limbo.pop()).collect();
        for packed in waiting {
            assert!(self.limbo.push(packed));
            let index = unpack(packed).index;
            if index != limbo::LOST {
                places[at(narrow(index))].push("limbo");
            }
        }
        let free: Vec<_> = std::iter::from_fn(|| self.free.pop()).collect();
        for index in free.into_iter().rev() {
            places[at(index)].push("free");
            assert!(self.free.push(index));
        }
        for mm in (0..self.mms.len()).map(address) {
            if let Some(index) = self.table.find(mm) {
                places[at(index)].push("an mm's");
                assert_ne!(self.state_now(at(index)).id, 0, "a state that can be found has an id");
            }
        }
        places
    }

    /// When time has passed: every index is free or some mm's, once, and nothing is left in the states that are free.
    pub(crate) fn check_indexes(&self) {
        let places = self.places();
        assert!(places.iter().all(|places| places.len() == 1), "each index is in one place: {places:?}");
        if places.iter().any(|places| places[0] == "limbo") {
            self.pass(2 * limbo::WAIT);
            limbo::release(&self.program(0));
            return self.check_indexes();
        }
        for (index, places) in places.iter().enumerate().filter(|(_, places)| places[0] == "free") {
            // A state that was another CPU's after all keeps the address: without an id it says nothing.
            let state = State { visited: 0, mm: 0, ..self.state_now(index) };
            assert_eq!(state, State::default(), "state {index}, {places:?}");
            for seen in &self.seen {
                assert!(seen[index].iter().all(|word| word.peek() == 0), "state {index} was seen");
            }
        }
    }
}
