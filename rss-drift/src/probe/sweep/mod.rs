//! States whose mm ended unseen, per-task accounting: swept by user space, because 5.10's BPF programs cannot walk a hash. (On
//! per-cpu accounting the iterator does it.)
//!
//! A state that no task has is looked at by each reading; one that had no event for a second ended. If its mm lives all the
//! same, a BPF program on another CPU can be in the middle of an event of it: the index is free another second later.

mod maps;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::{Duration, Instant},
};

use aya::Ebpf;
use rss_drift_common::{protocol::limbo, shadow::Counts};

use crate::probe::error::ProbeError;

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
    taskless: HashMap<u64, Sighting>,
    /// States without an entry, by id.
    orphans: HashMap<u64, Sighting>,
    /// Whether there may be any.
    lost: bool,
    /// Indices that nobody finds any more; the oldest first.
    waiting: VecDeque<(Instant, u32)>,
    swept: u64,
}

/// What was seen of a state that may be nobody's.
#[derive(Clone, Copy, Debug)]
struct Sighting {
    /// [`Found::events`] then.
    events: u64,
    since: Instant,
    readings: u32,
}

impl Sighting {
    const fn begin(events: u64, now: Instant) -> Self {
        Self { events, since: now, readings: 0 }
    }

    /// Looks again; true when its mm is taken for gone.
    fn again(&mut self, events: u64, now: Instant) -> bool {
        if self.events != events {
            *self = Self::begin(events, now);
        }
        self.readings += 1;
        self.readings >= READINGS && now.duration_since(self.since) >= QUIET
    }
}

/// A state as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Found {
    mm: u64,
    index: u32,
    id: u64,
    /// A number that changes with each event of the state.
    events: u64,
}

/// What the sweep does with the maps, each in a step of its own: BPF programs run in between.
trait Table {
    /// The BPF programs' own counts.
    fn counts(&mut self) -> Result<Counts, ProbeError>;
    /// The states that entries lead to. One that goes while they are read is left out.
    fn entries(&mut self) -> Result<Vec<Found>, ProbeError>;
    /// All states that are not free.
    fn states(&mut self) -> Result<Vec<Found>, ProbeError>;
    /// The index that the entry of an mm has.
    fn entry(&mut self, mm: u64) -> Result<Option<u32>, ProbeError>;
    /// The id of the state at an index.
    fn id(&mut self, index: u32) -> Result<u64, ProbeError>;
    /// Takes the entry of an mm away; false where there was none.
    fn remove(&mut self, mm: u64) -> Result<bool, ProbeError>;
    /// From here on no slot that still names the state at this index finds it.
    fn finish(&mut self, index: u32) -> Result<(), ProbeError>;
    /// Clears what is at an index, and puts it to the free ones.
    fn free(&mut self, index: u32) -> Result<(), ProbeError>;
    /// Takes what a BPF program wants to be free after a while: an index, or [`limbo::LOST`].
    fn waiting(&mut self) -> Result<Option<u64>, ProbeError>;
}

/// What came of [`take_away`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    /// The entry of this state: it is ours to free.
    Ours,
    /// Nothing: the mm's end was faster.
    Nothing,
    /// The entry of another state.
    Another,
}

/// Takes the entry of a state away that was read some time ago.
///
/// The kernel removes an entry by its mm's address, whatever index it has. Between the looks here and the removal the mm can end after
/// all, and another one can get the address, with a state of its own: then the entry of that goes. It shows: an end takes the id from
/// the state before the address is free. (A new mm that takes the state over has another id, too.) Then this index is not ours,
/// and the state that lost its entry is looked for ([`Sweep::orphans`]): its mm gets another state at its next event on a CPU that does
/// not hold it, and some seconds later the one that was lost is free. Until then the mm's shadow is not right; it is seeded anew.
fn take_away(table: &mut impl Table, found: &Found) -> Result<Taken, ProbeError> {
    if table.entry(found.mm)? != Some(found.index)
        || table.id(found.index)? != found.id
        || !table.remove(found.mm)?
    {
        return Ok(Taken::Nothing);
    }
    if table.id(found.index)? != found.id {
        return Ok(Taken::Another);
    }
    table.finish(found.index)?;
    Ok(Taken::Ours)
}

impl Sweep {
    /// What it adds to the BPF programs' own counts.
    pub(super) const fn add_to(&self, counts: &mut Counts) {
        counts.deaths += self.swept;
        counts.swept += self.swept;
    }

    /// Behind a reading that found tasks of these states.
    pub(super) fn after_reading(
        &mut self,
        ebpf: &mut Ebpf,
        visited: &HashSet<u64>,
    ) -> Result<(), ProbeError> {
        let mut table = maps::Maps::new(ebpf);
        let now = Instant::now();
        self.release(&mut table, now)?;
        self.sweep(&mut table, visited, now)?;
        if self.lost { self.find_orphans(&mut table, now) } else { Ok(()) }
    }

    /// Frees what has waited long enough, and takes over what the BPF programs let go of.
    fn release(&mut self, table: &mut impl Table, now: Instant) -> Result<(), ProbeError> {
        while self.waiting.front().is_some_and(|&(since, _)| now.duration_since(since) >= WAIT) {
            let Some((_, index)) = self.waiting.pop_front() else { break };
            if table.id(index)? == 0 {
                table.free(index)?;
            } else {
                // A new mm at the address was about to take the state over when its entry went.
                table.finish(index)?;
                self.waiting.push_back((now, index));
            }
        }
        while let Some(waiting) = table.waiting()? {
            match u32::try_from(waiting) {
                Ok(index) => self.waiting.push_back((now, index)),
                Err(_) => self.lost |= waiting == limbo::LOST,
            }
        }
        Ok(())
    }

    /// Looks at the states that no task has, if there are more states than were visited.
    fn sweep(
        &mut self,
        table: &mut impl Table,
        visited: &HashSet<u64>,
        now: Instant,
    ) -> Result<(), ProbeError> {
        let mut counts = table.counts()?;
        self.add_to(&mut counts);
        if counts.births.saturating_sub(counts.deaths) <= visited.len() as u64 {
            self.taskless.clear();
            return Ok(());
        }
        let mut taskless = HashMap::new();
        for found in table.entries()? {
            if found.id == 0 || visited.contains(&found.id) {
                continue;
            }
            let mut sighting = self.taskless.remove(&found.id).unwrap_or(Sighting::begin(found.events, now));
            if !sighting.again(found.events, now) {
                taskless.insert(found.id, sighting);
                continue;
            }
            match take_away(table, &found)? {
                Taken::Ours => self.wait(found.index, now),
                Taken::Nothing => {}
                Taken::Another => self.lost = true,
            }
        }
        self.taskless = taskless;
        Ok(())
    }

    /// Looks for states that lost their entry. (One that is being made has none yet: it has a second for that.)
    fn find_orphans(&mut self, table: &mut impl Table, now: Instant) -> Result<(), ProbeError> {
        let mut orphans = HashMap::new();
        self.lost = false;
        for found in table.states()? {
            if table.entry(found.mm)? == Some(found.index) {
                continue;
            }
            self.lost = true;
            // That its mm's slots go on with it is no reason to keep it.
            let mut sighting = self.orphans.remove(&found.id).unwrap_or(Sighting::begin(0, now));
            if !sighting.again(0, now) {
                orphans.insert(found.id, sighting);
            } else if table.id(found.index)? == found.id {
                table.finish(found.index)?;
                self.wait(found.index, now);
            }
        }
        self.orphans = orphans;
        Ok(())
    }

    /// The state at this index is nobody's any more.
    fn wait(&mut self, index: u32, now: Instant) {
        self.swept += 1;
        self.waiting.push_back((now, index));
    }
}

#[cfg(test)]
mod tests;
