//! What scenarios of lives and preemption have in common.

use crate::{
    host::{
        ANON, Check as _, Config, Fifo as _, Host, Kind, List as _, Quiet, Table as _, address, at, narrow,
        unpack,
    },
    steps::Steps,
};
use rss_drift_common::{
    protocol::{
        limbo,
        percpu::{events, life},
    },
    shadow::{SHADOW_VALID, State},
};

/// A host on the engine's words.
pub(crate) type World = Host<Steps>;

/// The mms of scenarios.
pub(crate) const A: u64 = address(0);
pub(crate) const B: u64 = address(1);
pub(crate) const C: u64 = address(2);

/// Figures that no step depends on.
pub(crate) const FIGURES: Quiet = Quiet::of(&[
    "hits",
    "misses",
    "flushes",
    "faults",
    "churn",
    "publications",
    "repaired",
    "peak_exact",
    "peak_drift",
    "active",
    "active_max",
    "entered",
    "rss",
    "approximate",
    "cpus",
    "visited",
    "looked",
    "looked_at",
    "tgid",
    "owned",
    "unused",
    "pass",
    "zero",
    "lock",
]);

/// Anonymous pages only.
pub(crate) fn config(cpus: usize, mms: usize, states: usize) -> Config {
    let members = [false, true, false, false];
    Config { cpus, mms, states, members, quiet: FIGURES, ..Config::default() }
}

impl<K: Kind> Host<K> {
    /// This CPU goes on with a task that has this mm (0: none), and the event of that is seen.
    pub(crate) fn go_on_with(&self, cpu: u32, mm: u64) {
        self.current[at(cpu)].poke(mm);
        events::switched(&self.program(cpu), mm);
    }

    /// A life begins at this address, and this CPU runs it and changes its counter, with an event.
    pub(crate) fn begin(&self, cpu: u32, mm: u64, pages: i32) {
        self.go_on_with(cpu, mm);
        self.update(cpu, mm, ANON, pages);
    }

    /// The last pages go, with an event, then the mm.
    pub(crate) fn exit(&self, cpu: u32, mm: u64, pages: i32) {
        self.update(cpu, mm, ANON, -pages);
        life::end(&self.program(cpu), mm);
    }

    /// After all, the shadow of this mm is what its counters come to, and a reading has nothing to correct.
    pub(crate) fn check_shadow(&self, mm: u64) {
        self.visited.poke(mm);
        let repaired = self.table.find(mm).map_or(0, |index| self.state_now(at(index)).repaired);
        let record = self.read(0, mm);
        assert_eq!((record.shadow, record.repaired), (self.mm(mm).truth(), repaired), "shadow of {mm:#x}");
        assert_eq!(record.flags, SHADOW_VALID);
    }

    /// Every event was counted: as a hit, as a miss, or as one that came in the middle of another program. `missed` were not seen.
    pub(crate) fn check_events(&self, missed: u64) {
        (0..self.cpus.len()).for_each(|cpu| events::switched(&self.program(narrow(cpu as u64)), NOBODY));
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
        assert_eq!((counts.deaths_with_rest, counts.rest), (0, 0), "residue");
    }

    /// When all is quiet and time has passed: every index is free or some mm's, once, and nothing is left in the states that are free.
    pub(crate) fn check_indexes(&self) {
        let mut waiting = Vec::new();
        while let Some(packed) = self.limbo.pop() {
            waiting.push(packed);
        }
        let waits = waiting.len();
        let mut places = vec![Vec::new(); self.states.len()];
        for packed in waiting {
            assert!(self.limbo.push(packed));
            places[at(narrow(unpack(packed).index))].push("limbo");
        }
        let mut free = Vec::new();
        while let Some(index) = self.free.pop() {
            places[at(index)].push("free");
            free.push(index);
        }
        while let Some(index) = free.pop() {
            assert!(self.free.push(index));
        }
        for mm in (0..self.mms.len()).map(address) {
            if let Some(index) = self.table.find(mm) {
                places[at(index)].push("an mm's");
                assert_ne!(self.state_now(at(index)).id, 0, "a state that can be found has an id");
            }
        }
        assert!(places.iter().all(|places| places.len() == 1), "each index is in one place: {places:?}");
        if waits != 0 {
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

/// An mm that no scenario uses.
const NOBODY: u64 = 0xdead_0000;
