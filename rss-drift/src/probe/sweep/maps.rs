//! The maps as the sweep uses them.

use aya::{Ebpf, maps::MapError};
use rss_drift_common::{
    protocol::limbo::Waiting,
    running::{Peak, Seed},
    shadow::{Counts, State},
};

use super::{Found, Table};
use crate::probe::{
    counts::counts,
    error::ProbeError,
    maps::{self, Value, array, array_mut, failed, hash, hash_mut, queue_mut, stack_mut},
};

const STATES: &str = "STATES";
const INDEX: &str = "INDEX";
const SEEDS: &str = "SEEDS";
const PEAKS: &str = "PEAKS";
const FREE: &str = "FREE";
const LIMBO: &str = "LIMBO";

/// An element of `LIMBO` as aya wants it.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct WaitingValue(Waiting);

// SAFETY: two integers of 64 bits: any bytes are a value, and it has no padding.
unsafe impl aya::Pod for WaitingValue {}

/// The maps of the BPF programs that are loaded.
pub(super) struct Maps<'a> {
    ebpf: &'a mut Ebpf,
}

impl<'a> Maps<'a> {
    pub(super) const fn new(ebpf: &'a mut Ebpf) -> Self {
        Self { ebpf }
    }

    fn state(&self, index: u32) -> Result<State, ProbeError> {
        maps::get(self.ebpf, STATES, index)
    }

    fn set_state(&mut self, index: u32, state: &State) -> Result<(), ProbeError> {
        maps::set(self.ebpf, STATES, index, *state)
    }
}

const fn found(mm: u64, index: u32, state: &State) -> Found {
    Found { mm, index, id: state.id, events: state.events() }
}

impl Table for Maps<'_> {
    fn counts(&mut self) -> Result<Counts, ProbeError> {
        counts(self.ebpf)
    }

    fn entries(&mut self) -> Result<Vec<Found>, ProbeError> {
        let index = hash::<u64, u32>(self.ebpf, INDEX)?;
        let entries: Vec<_> = index.iter().filter_map(Result::ok).collect();
        entries.into_iter().map(|(mm, index)| Ok(found(mm, index, &self.state(index)?))).collect()
    }

    fn states(&mut self) -> Result<Vec<Found>, ProbeError> {
        let states = array::<State>(self.ebpf, STATES)?;
        let mut all = Vec::new();
        for index in 0..states.len() {
            let Value(state) = states.get(&index, 0).map_err(failed(STATES))?;
            if state.id != 0 {
                all.push(found(state.mm, index, &state));
            }
        }
        Ok(all)
    }

    fn entry(&mut self, mm: u64) -> Result<Option<u32>, ProbeError> {
        match hash(self.ebpf, INDEX)?.get(&mm, 0) {
            Ok(index) => Ok(Some(index)),
            Err(MapError::KeyNotFound) => Ok(None),
            Err(error) => Err(failed(INDEX)(error)),
        }
    }

    fn id(&mut self, index: u32) -> Result<u64, ProbeError> {
        Ok(self.state(index)?.id)
    }

    fn remove(&mut self, mm: u64) -> Result<bool, ProbeError> {
        Ok(hash_mut::<u64, u32>(self.ebpf, INDEX)?.remove(&mm).is_ok())
    }

    fn finish(&mut self, index: u32) -> Result<(), ProbeError> {
        // All of it is written; what a BPF program adds meanwhile may be lost with the state.
        let state = self.state(index)?;
        self.set_state(index, &State { id: 0, ..state })
    }

    /// Whoever gets this index next begins with nothing.
    fn free(&mut self, index: u32) -> Result<(), ProbeError> {
        self.set_state(index, &State::default())?;
        maps::set(self.ebpf, SEEDS, index, <Seed>::default())?;
        let capacity = array::<Seed>(self.ebpf, SEEDS)?.len();
        let mut peaks = array_mut::<Peak>(self.ebpf, PEAKS)?;
        let mut place = index;
        while place < peaks.len() {
            peaks.set(place, Value(<Peak>::default()), 0).map_err(failed(PEAKS))?;
            place += capacity;
        }
        stack_mut::<u32>(self.ebpf, FREE)?.push(index, 0).map_err(failed(FREE))?;
        maps::set(self.ebpf, "FULL", 0, 0_u64)
    }

    fn waiting(&mut self) -> Result<Option<u64>, ProbeError> {
        match queue_mut(self.ebpf, LIMBO)?.pop(0) {
            Ok(WaitingValue(waiting)) => Ok(Some(waiting.index)),
            Err(MapError::ElementNotFound) => Ok(None),
            Err(error) => Err(failed(LIMBO)(error)),
        }
    }
}
