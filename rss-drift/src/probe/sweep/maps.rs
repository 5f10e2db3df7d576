//! The maps as the sweep uses them.

use aya::{
    Ebpf,
    maps::{Array, HashMap as BpfHash, MapData, MapError, Queue, Stack},
};
use rss_drift_common::{
    protocol::limbo::Waiting,
    running::{Peak, Seed},
    shadow::{Counts, State},
};

use super::{Found, Table};
use crate::probe::{full, load::ProbeError};

/// An element of a map as aya wants it.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Value<T>(T);

// SAFETY: plain old data (it is `bytemuck::Pod`): any bytes are a value, and it has no padding.
unsafe impl aya::Pod for Value<State> {}
// SAFETY: as above.
unsafe impl aya::Pod for Value<Seed> {}
// SAFETY: as above.
unsafe impl aya::Pod for Value<Peak> {}
// SAFETY: two integers of 64 bits: any bytes are a value, and it has no padding.
unsafe impl aya::Pod for Value<Waiting> {}

/// The maps of the programs that are loaded.
pub(super) struct Maps<'a> {
    ebpf: &'a mut Ebpf,
}

const fn failed(map: &'static str) -> impl Fn(MapError) -> ProbeError {
    move |error| ProbeError::Map { map, error }
}

impl<'a> Maps<'a> {
    pub(super) const fn new(ebpf: &'a mut Ebpf) -> Self {
        Self { ebpf }
    }

    fn array<T>(&mut self, map: &'static str) -> Result<Array<&mut MapData, T>, ProbeError>
    where
        T: aya::Pod,
    {
        let found = self.ebpf.map_mut(map).ok_or(ProbeError::Missing(map))?;
        Array::try_from(found).map_err(failed(map))
    }

    fn index(&mut self) -> Result<BpfHash<&mut MapData, u64, u32>, ProbeError> {
        let map = self.ebpf.map_mut("INDEX").ok_or(ProbeError::Missing("INDEX"))?;
        BpfHash::try_from(map).map_err(failed("INDEX"))
    }

    fn state(&mut self, index: u32) -> Result<State, ProbeError> {
        Ok(self.array::<Value<State>>("STATES")?.get(&index, 0).map_err(failed("STATES"))?.0)
    }

    fn set_state(&mut self, index: u32, state: &State) -> Result<(), ProbeError> {
        self.array("STATES")?.set(index, Value(*state), 0).map_err(failed("STATES"))
    }
}

const fn found(mm: u64, index: u32, state: &State) -> Found {
    Found { mm, index, id: state.id, moves: state.moves() }
}

impl Table for Maps<'_> {
    fn counts(&mut self) -> Result<Counts, ProbeError> {
        full::counts(self.ebpf)
    }

    fn entries(&mut self) -> Result<Vec<Found>, ProbeError> {
        let entries: Vec<_> = self.index()?.iter().filter_map(Result::ok).collect();
        entries.into_iter().map(|(mm, index)| Ok(found(mm, index, &self.state(index)?))).collect()
    }

    fn states(&mut self) -> Result<Vec<Found>, ProbeError> {
        let states = self.array::<Value<State>>("STATES")?;
        let mut all = Vec::new();
        for index in 0..states.len() {
            let Value(state) = states.get(&index, 0).map_err(failed("STATES"))?;
            if state.id != 0 {
                all.push(found(state.mm, index, &state));
            }
        }
        Ok(all)
    }

    fn entry(&mut self, mm: u64) -> Result<Option<u32>, ProbeError> {
        match self.index()?.get(&mm, 0) {
            Ok(index) => Ok(Some(index)),
            Err(MapError::KeyNotFound) => Ok(None),
            Err(error) => Err(failed("INDEX")(error)),
        }
    }

    fn id(&mut self, index: u32) -> Result<u64, ProbeError> {
        Ok(self.state(index)?.id)
    }

    fn remove(&mut self, mm: u64) -> Result<bool, ProbeError> {
        Ok(self.index()?.remove(&mm).is_ok())
    }

    fn finish(&mut self, index: u32) -> Result<(), ProbeError> {
        // All of it is written; what a program adds meanwhile may be lost with the state.
        let state = self.state(index)?;
        self.set_state(index, &State { id: 0, ..state })
    }

    /// Whoever gets this index next begins with nothing.
    fn free(&mut self, index: u32) -> Result<(), ProbeError> {
        self.set_state(index, &State::default())?;
        self.array("SEEDS")?.set(index, Value(Seed::default()), 0).map_err(failed("SEEDS"))?;
        let capacity = self.array::<Value<Seed>>("SEEDS")?.len();
        let mut peaks = self.array("PEAKS")?;
        let mut place = index;
        while place < peaks.len() {
            peaks.set(place, Value(Peak::default()), 0).map_err(failed("PEAKS"))?;
            place += capacity;
        }
        let map = self.ebpf.map_mut("FREE").ok_or(ProbeError::Missing("FREE"))?;
        let mut indices = Stack::<_, u32>::try_from(map).map_err(failed("FREE"))?;
        indices.push(index, 0).map_err(failed("FREE"))?;
        self.array::<u64>("FULL")?.set(0, 0, 0).map_err(failed("FULL"))
    }

    fn waiting(&mut self) -> Result<Option<u64>, ProbeError> {
        let map = self.ebpf.map_mut("LIMBO").ok_or(ProbeError::Missing("LIMBO"))?;
        let mut limbo = Queue::<_, Value<Waiting>>::try_from(map).map_err(failed("LIMBO"))?;
        match limbo.pop(0) {
            Ok(Value(waiting)) => Ok(Some(waiting.index)),
            Err(MapError::ElementNotFound) => Ok(None),
            Err(error) => Err(failed("LIMBO")(error)),
        }
    }
}
