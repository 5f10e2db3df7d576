//! What a run has come to: begun, followed and read.

use std::os::fd::AsFd as _;

use aya::{
    Ebpf,
    maps::{HashMap, Map, MapData},
};
use rss_drift_common::{
    MEMBERS,
    run::{Largest, MemberCounts, RunCpu, RunShared, RunState, Visits, kind::KINDS},
    shadow::State,
};

use super::{CPUS, SHARED, STATES, TASKS, sites};
use crate::{
    kernel::Accounting,
    probe::{
        error::ProbeError,
        maps::{self, Value, array, failed, hash, hash_mut, map, set_all},
        scheme::pertask,
    },
};

/// What a run has come to so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunTotals {
    /// Updates by member.
    pub members: [MemberCounts; MEMBERS],
    /// Slots that gave a measured mm's deltas up for another mm.
    pub flushes: u64,
    /// Updates by the kind of their site, see [`rss_drift_common::run::kind`].
    pub kinds: [MemberCounts; KINDS],
    /// Flushes of slots with updates by the RFC's own sites.
    pub rfc_flushes: u64,
    /// Updates whose site found no room: among the kinds all the same.
    pub sites_lost: u64,
    /// Misses whose stack found no room.
    pub chains_lost: u64,
    /// CPUs that a reader would have had to visit.
    pub visits: Visits,
    /// Context switches by which a CPU took a measured mm.
    pub switches: u64,
    /// Processes that were forked, beside the command.
    pub forks: u64,
    /// Programs that were executed.
    pub execs: u64,
    /// Processes that ended.
    pub exits: u64,
    /// Page faults of threads that have ended, by the kernel's count.
    pub faults: u64,
    /// Page faults of the command before it executed its program: included in the others.
    pub faults_before: u64,
    /// Processes that could not be followed: the map of them is full.
    pub refused: u64,
    /// The mm with the largest peak.
    pub largest: Option<Largest>,
    /// The same of the command's own.
    pub command: Option<Largest>,
    /// The mm with the largest |exact - approximate|.
    pub drift: Option<Largest>,
}

impl RunTotals {
    /// Updates of all members together.
    #[must_use]
    pub fn updates(&self) -> MemberCounts {
        let mut sum = MemberCounts::default();
        for member in &self.members {
            sum.add(member);
        }
        sum
    }

    /// Updates of one kind of site.
    #[must_use]
    pub fn of_kind(&self, kind: u64) -> MemberCounts {
        usize::try_from(kind).ok().and_then(|kind| self.kinds.get(kind)).copied().unwrap_or_default()
    }

    /// Takes the figures of an mm in, whosever it was.
    fn look_at(&mut self, of: &Largest) {
        raise(&mut self.largest, of, |of| of.peak);
        raise(&mut self.drift, of, |of| of.drift);
    }

    /// Takes the figures of an mm of the command in.
    fn look_at_command(&mut self, of: &Largest) {
        self.look_at(of);
        raise(&mut self.command, of, |of| of.peak);
    }
}

/// Keeps what is larger; a process of 0 is none.
fn raise(kept: &mut Option<Largest>, of: &Largest, by: fn(&Largest) -> i64) {
    if of.tgid != 0 && kept.as_ref().is_none_or(|kept| by(kept) < by(of)) {
        *kept = Some(*of);
    }
}

/// The command and its descendants, as far as they live.
pub(in crate::probe) fn alive(ebpf: &Ebpf) -> Result<Vec<u32>, ProbeError> {
    let mut alive: Vec<u32> = hash::<u32, u32>(ebpf, TASKS)?.keys().filter_map(Result::ok).collect();
    alive.sort_unstable();
    Ok(alive)
}

/// Says of a process whether it is the command or descends from it, and lives; for another thread.
pub(in crate::probe) fn follows(ebpf: &Ebpf) -> Result<impl Fn(u32) -> bool + Send + use<>, ProbeError> {
    let Map::HashMap(data) = map(ebpf, TASKS)? else { return Err(ProbeError::Missing(TASKS)) };
    let fd = data.fd().as_fd().try_clone_to_owned().map_err(|source| failed(TASKS)(source.into()))?;
    let data = MapData::from_fd(fd).map_err(failed(TASKS))?;
    let tasks = HashMap::<_, u32, u32>::try_from(Map::HashMap(data)).map_err(failed(TASKS))?;
    Ok(move |pid: u32| tasks.get(&pid, 0).is_ok())
}

/// Forgets all and measures `command` from here on. It must have no state of a measured mm, and run nothing meanwhile.
pub(in crate::probe) fn begin(ebpf: &mut Ebpf, command: u32) -> Result<(), ProbeError> {
    let left = alive(ebpf)?;
    let mut tasks = hash_mut::<u32, u32>(ebpf, TASKS)?;
    for tgid in left {
        // One that has ended meanwhile is gone already.
        let _ = tasks.remove(&tgid);
    }
    set_all(ebpf, STATES, |_| RunState::default())?;
    sites::forget(ebpf)?;
    // Which mm a CPU holds stays true.
    set_all(ebpf, CPUS, |RunCpu { mm, id, .. }| RunCpu { mm, id, ..RunCpu::default() })?;
    // How sites are told does so too.
    set_all(ebpf, SHARED, |RunShared { skip, last, chains, .. }| RunShared {
        command: command.into(),
        skip,
        last,
        chains,
        ..RunShared::default()
    })?;
    hash_mut::<u32, u32>(ebpf, TASKS)?.insert(command, 1, 0).map_err(failed(TASKS))
}

/// What was counted, mms that live on included.
pub(in crate::probe) fn totals(ebpf: &Ebpf, accounting: Accounting) -> Result<RunTotals, ProbeError> {
    let mut totals = RunTotals::default();
    let shared: RunShared = maps::get(ebpf, SHARED, 0)?;
    totals.faults_before = shared.faults_before;
    totals.visits = shared.visits;
    let cpus = array::<RunCpu>(ebpf, CPUS)?;
    for cpu in cpus.iter() {
        let Value(cpu) = cpu.map_err(failed(CPUS))?;
        for (sum, member) in totals.members.iter_mut().zip(&cpu.members) {
            sum.add(member);
        }
        for (sum, kind) in totals.kinds.iter_mut().zip(&cpu.kinds) {
            sum.add(kind);
        }
        totals.rfc_flushes += cpu.rfc_flushes;
        totals.sites_lost += cpu.sites_lost;
        totals.chains_lost += cpu.chains_lost;
        totals.flushes += cpu.flushes;
        totals.switches += cpu.switches;
        totals.forks += cpu.forks;
        totals.execs += cpu.execs;
        totals.exits += cpu.exits;
        totals.faults += cpu.faults;
        totals.refused += cpu.refused;
        totals.look_at(&cpu.largest);
        totals.look_at(&cpu.drift);
        // Only this one is an mm of the command for sure: with `--system` the others may be the one that it had before execve.
        totals.look_at_command(&cpu.command);
    }
    let states = array::<RunState>(ebpf, STATES)?;
    let capacity = states.len();
    for (index, state) in (0..).zip(states.iter()) {
        let Value(state) = state.map_err(failed(STATES))?;
        // Measured, and its process is known.
        if state.of.tgid != 0 {
            let of = with_peaks(ebpf, accounting, index, cpus.len(), capacity, state.of)?;
            let of_program = of.tgid == shared.command && of.executed != 0;
            if of_program { totals.look_at_command(&of) } else { totals.look_at(&of) }
        }
    }
    Ok(totals)
}

/// Whether a measured mm that still has pages is left.
pub(in crate::probe) fn pages_left(ebpf: &Ebpf, accounting: Accounting) -> Result<bool, ProbeError> {
    let states = array::<RunState>(ebpf, STATES)?;
    for (index, state) in (0..).zip(states.iter()) {
        let Value(state) = state.map_err(failed(STATES))?;
        if state.measured == 0 {
            continue;
        }
        let left = match accounting {
            Accounting::PerCpu => shadow_state(ebpf, index)?.totals != [0; MEMBERS],
            // Its tasks are gone with their caches: pages go by the first update of its end.
            Accounting::PerTask => state.of.ended == 0,
        };
        if left {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The shadow's state of an mm, per-cpu accounting.
fn shadow_state(ebpf: &Ebpf, index: u32) -> Result<State, ProbeError> {
    maps::get(ebpf, "STATES", index)
}

/// The figures of an mm whose state lives on.
fn with_peaks(
    ebpf: &Ebpf,
    accounting: Accounting,
    index: u32,
    cpus: u32,
    capacity: u32,
    of: Largest,
) -> Result<Largest, ProbeError> {
    Ok(match accounting {
        Accounting::PerCpu => {
            let state = shadow_state(ebpf, index)?;
            Largest { peak: state.peak_exact, drift: state.peak_drift, cpus: state.active_max, ..of }
        }
        Accounting::PerTask => {
            let peak = pertask::peak(ebpf, index, cpus, capacity)?;
            Largest {
                peak: peak.exact,
                drift: peak.drift.into(),
                cpus: peak.active_max.into(),
                hidden: peak.hidden.into(),
                twice: peak.twice.into(),
                ..of
            }
        }
    })
}
