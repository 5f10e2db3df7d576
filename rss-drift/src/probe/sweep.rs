//! States whose mm ended unseen, per-task accounting: swept by user space, because 5.10's programs cannot walk a hash. (On
//! per-cpu accounting the iterator does it.)
//!
//! A state that no task has is looked at by each reading; one that had no event for a second ended. If its mm lives all the
//! same, a program on another CPU can be in the middle of an event of it: the index is free another second later.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::{Duration, Instant},
};

use aya::{
    Ebpf,
    maps::{Array, HashMap as BpfHash, MapData, MapError, Stack},
};
use rss_drift_common::{
    running::{Peak, Seed},
    shadow::{Counts, State},
};

use crate::probe::{full, load::ProbeError};

/// Readings that have to find a state without a task.
const READINGS: u32 = 3;
/// How long it must have had no event.
const QUIET: Duration = Duration::from_secs(1);
/// How long an index waits until it is free.
const WAIT: Duration = Duration::from_secs(1);

/// What is on its way out.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    /// States without a task, by id.
    looked: HashMap<u64, Looked>,
    /// Indices that nobody finds any more; the oldest first.
    waiting: VecDeque<(Instant, u32)>,
    swept: u64,
}

/// What was seen of a state without a task.
#[derive(Clone, Copy, Debug)]
struct Looked {
    moves: u64,
    since: Instant,
    readings: u32,
}

impl Looked {
    /// Looks again; true when its mm is taken for gone.
    fn again(&mut self, moves: u64, now: Instant) -> bool {
        if self.moves != moves {
            *self = Self { moves, since: now, readings: 0 };
        }
        self.readings += 1;
        self.readings >= READINGS && now.duration_since(self.since) >= QUIET
    }
}

/// An element of `STATES`, `SEEDS` or `PEAKS` as aya wants it.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Value<T>(T);

// SAFETY: plain old data (it is `bytemuck::Pod`): any bytes are a value, and it has no padding.
unsafe impl aya::Pod for Value<State> {}
// SAFETY: as above.
unsafe impl aya::Pod for Value<Seed> {}
// SAFETY: as above.
unsafe impl aya::Pod for Value<Peak> {}

impl Sweep {
    /// What it adds to the programs' own counts.
    pub(super) const fn add_to(&self, counts: &mut Counts) {
        counts.deaths += self.swept;
        counts.swept += self.swept;
    }

    /// Behind a reading that found tasks of these states, and let go of the states at `let_go`.
    pub(super) fn after_reading(
        &mut self,
        ebpf: &mut Ebpf,
        visited: &HashSet<u64>,
        let_go: impl Iterator<Item = u32>,
    ) -> Result<(), ProbeError> {
        let now = Instant::now();
        while self.waiting.front().is_some_and(|&(since, _)| now.duration_since(since) >= WAIT) {
            let Some((_, index)) = self.waiting.pop_front() else { break };
            free(ebpf, index)?;
        }
        self.waiting.extend(let_go.map(|index| (now, index)));
        let mut counts = full::counts(ebpf)?;
        self.add_to(&mut counts);
        if counts.births.saturating_sub(counts.deaths) <= visited.len() as u64 {
            self.looked.clear();
            return Ok(());
        }
        let mut looked = HashMap::new();
        for (mm, index, state) in states(ebpf)? {
            if state.id == 0 || visited.contains(&state.id) {
                continue;
            }
            let moves = state.moves();
            let mut seen = self.looked.remove(&state.id).unwrap_or(Looked { moves, since: now, readings: 0 });
            if !seen.again(moves, now) {
                looked.insert(state.id, seen);
            } else if take_away(ebpf, mm, index, &state)? {
                self.swept += 1;
                self.waiting.push_back((now, index));
            }
        }
        self.looked = looked;
        Ok(())
    }
}

const fn failed(map: &'static str) -> impl Fn(MapError) -> ProbeError {
    move |error| ProbeError::Map { map, error }
}

fn array<'a, T>(ebpf: &'a mut Ebpf, map: &'static str) -> Result<Array<&'a mut MapData, Value<T>>, ProbeError>
where
    Value<T>: aya::Pod,
{
    let found = ebpf.map_mut(map).ok_or(ProbeError::Missing(map))?;
    Array::try_from(found).map_err(failed(map))
}

/// The mm, the index and the state of each entry. One that goes while they are read is left out.
fn states(ebpf: &Ebpf) -> Result<Vec<(u64, u32, State)>, ProbeError> {
    let index = ebpf.map("INDEX").ok_or(ProbeError::Missing("INDEX"))?;
    let index = BpfHash::<_, u64, u32>::try_from(index).map_err(failed("INDEX"))?;
    let states = ebpf.map("STATES").ok_or(ProbeError::Missing("STATES"))?;
    let states = Array::<_, Value<State>>::try_from(states).map_err(failed("STATES"))?;
    index
        .iter()
        .filter_map(Result::ok)
        .map(|(mm, index)| Ok((mm, index, states.get(&index, 0).map_err(failed("STATES"))?.0)))
        .collect()
}

/// Takes the entry away; false when the mm's end was faster.
fn take_away(ebpf: &mut Ebpf, mm: u64, index: u32, state: &State) -> Result<bool, ProbeError> {
    let map = ebpf.map_mut("INDEX").ok_or(ProbeError::Missing("INDEX"))?;
    let mut entries = BpfHash::<_, u64, u32>::try_from(map).map_err(failed("INDEX"))?;
    if entries.remove(&mm).is_err() {
        return Ok(false);
    }
    // From here on no slot that still names this state finds it.
    let ended = Value(State { id: 0, ..*state });
    array(ebpf, "STATES")?.set(index, ended, 0).map_err(failed("STATES"))?;
    Ok(true)
}

/// Whoever gets this index next begins with nothing.
fn free(ebpf: &mut Ebpf, index: u32) -> Result<(), ProbeError> {
    array(ebpf, "STATES")?.set(index, Value(State::default()), 0).map_err(failed("STATES"))?;
    array(ebpf, "SEEDS")?.set(index, Value(Seed::default()), 0).map_err(failed("SEEDS"))?;
    let capacity = array::<Seed>(ebpf, "SEEDS")?.len();
    let mut peaks = array(ebpf, "PEAKS")?;
    let mut place = index;
    while place < peaks.len() {
        peaks.set(place, Value(Peak::default()), 0).map_err(failed("PEAKS"))?;
        place += capacity;
    }
    let map = ebpf.map_mut("FREE").ok_or(ProbeError::Missing("FREE"))?;
    let mut indices = Stack::<_, u32>::try_from(map).map_err(failed("FREE"))?;
    indices.push(index, 0).map_err(failed("FREE"))?;
    let map = ebpf.map_mut("FULL").ok_or(ProbeError::Missing("FULL"))?;
    let mut full = Array::<_, u64>::try_from(map).map_err(failed("FULL"))?;
    full.set(0, 0, 0).map_err(failed("FULL"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_gone_after_readings_and_a_second_without_an_event() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut seen = Looked { moves: 5, since: start, readings: 0 };
        assert!(!seen.again(5, at(0)));
        assert!(!seen.again(5, at(10)));
        assert!(!seen.again(5, at(20)), "readings can follow each other at once");
        assert!(seen.again(5, at(1000)));
        assert!(!seen.again(6, at(1500)), "an event");
        assert!(!seen.again(6, at(2600)));
        assert!(seen.again(6, at(2700)));
    }
}
