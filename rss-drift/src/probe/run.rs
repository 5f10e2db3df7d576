//! What our programs count for `rss-drift run`: told whom to measure, and read.

use std::os::fd::AsFd as _;

use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, HashMap, Map, MapData},
};
use rss_drift_common::{
    MEMBERS,
    run::{
        Largest, MemberCounts, RunCpu, RunLayout, RunShared, RunState, Site, SiteCounts, Visits, kind::KINDS,
    },
    shadow::State,
};

use crate::{
    kernel::{Accounting, Kernel, KernelError, symbols::Symbols},
    probe::{
        load::{Probe, ProbeError},
        sites::{self, Chain},
        tasks::{self, array},
    },
};

/// The programs with their tracepoints, in the order in which they are attached.
pub(super) static EVENTS: &[(&str, &str)] = &[
    ("run_exit", "sched_process_exit"),
    ("run_exec", "sched_process_exec"),
    ("run_newtask", "task_newtask"),
];

const TASKS: &str = "RUN_TASKS";
const STATES: &str = "RUN_STATES";
const CPUS: &str = "RUN_CPUS";
pub(super) const SHARED: &str = "RUN_SHARED";

/// Sizes the maps.
pub(super) fn size_maps(loader: &mut EbpfLoader<'_>, cpus: u32, capacity: u32) {
    loader.map_max_entries(TASKS, capacity).map_max_entries(STATES, capacity).map_max_entries(CPUS, cpus);
    sites::size_maps(loader);
}

/// Whom a run measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The command and all that descends from it.
    Command,
    /// Every process of the host.
    System,
}

/// Where the kernel has what a run reads, and whom it measures.
pub(super) fn layout(scope: Option<Scope>) -> Result<RunLayout, KernelError> {
    Ok(match scope {
        None => RunLayout::default(),
        Some(scope) => RunLayout { system: u32::from(scope == Scope::System), ..Kernel::run_layout()? },
    })
}

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

    /// Takes an mm's figures in.
    fn look_at(&mut self, of: &Largest, command: u64) {
        if of.tgid == 0 {
            return;
        }
        let raise = |kept: &mut Option<Largest>, by: fn(&Largest) -> i64| {
            if kept.as_ref().is_none_or(|kept| by(kept) < by(of)) {
                *kept = Some(*of);
            }
        };
        raise(&mut self.largest, |of| of.peak);
        raise(&mut self.drift, |of| of.drift);
        if of.tgid == command {
            raise(&mut self.command, |of| of.peak);
        }
    }
}

/// Wrappers of plain old data, which aya wants to be its own.
macro_rules! values {
    ($($name:ident($of:ty))*) => {
        $(
            /// An element as aya wants it.
            #[derive(Clone, Copy)]
            #[repr(transparent)]
            pub(super) struct $name(pub(super) $of);

            // SAFETY: plain old data by bytemuck's derive: any bytes are a value, and it has no padding.
            unsafe impl aya::Pod for $name {}
        )*
    };
}
pub(super) use values;

values! {
    CpuValue(RunCpu)
    RunStateValue(RunState)
    SharedValue(RunShared)
    StateValue(State)
}

impl Probe {
    /// Begins to measure the process `command`, which has forked nobody yet, and all that descend from it; what was counted
    /// before is forgotten. Full mode with [`FullOptions::run`](super::FullOptions::run) only.
    pub fn begin_run(&mut self, command: u32) -> Result<(), ProbeError> {
        begin(&mut self.ebpf, command)
    }

    /// What was counted since [`Probe::begin_run`].
    pub fn run_totals(&self) -> Result<RunTotals, ProbeError> {
        totals(&self.ebpf, self.accounting)
    }

    /// Has sites be told by these symbols, and the stacks of misses be counted where `chains` says so; before [`Probe::begin_run`].
    pub fn prepare_sites(&mut self, symbols: Option<&Symbols>, chains: bool) -> Result<(), ProbeError> {
        sites::prepare(&mut self.ebpf, symbols, chains)
    }

    /// Updates by where they came from.
    pub fn run_sites(&self) -> Result<Vec<(Site, SiteCounts)>, ProbeError> {
        sites::sites(&self.ebpf)
    }

    /// Misses by their stacks, the commonest first.
    pub fn run_chains(&self) -> Result<Vec<Chain>, ProbeError> {
        sites::chains(&self.ebpf)
    }

    /// The command and its descendants, as far as they live.
    pub fn run_alive(&self) -> Result<Vec<u32>, ProbeError> {
        alive(&self.ebpf)
    }

    /// Whether a measured mm that still has pages is left: when nobody lives, somebody else holds what a process left behind.
    pub fn run_pages_left(&self) -> Result<bool, ProbeError> {
        pages_left(&self.ebpf, self.accounting)
    }

    /// Says of a process whether it is the command or descends from it, and lives; for another thread.
    pub fn run_follows(&self) -> Result<impl Fn(u32) -> bool + Send + use<>, ProbeError> {
        let error = |error| ProbeError::Map { map: TASKS, error };
        let map = self.ebpf.map(TASKS).ok_or(ProbeError::Missing(TASKS))?;
        let Map::HashMap(data) = map else { return Err(ProbeError::Missing(TASKS)) };
        let fd = data.fd().as_fd().try_clone_to_owned().map_err(|source| error(source.into()))?;
        let data = MapData::from_fd(fd).map_err(error)?;
        let tasks = HashMap::<_, u32, u32>::try_from(Map::HashMap(data)).map_err(error)?;
        Ok(move |pid: u32| tasks.get(&pid, 0).is_ok())
    }
}

fn processes(ebpf: &Ebpf) -> Result<HashMap<&MapData, u32, u32>, ProbeError> {
    let map = ebpf.map(TASKS).ok_or(ProbeError::Missing(TASKS))?;
    HashMap::try_from(map).map_err(|error| ProbeError::Map { map: TASKS, error })
}

/// The command and its descendants, as far as they live.
fn alive(ebpf: &Ebpf) -> Result<Vec<u32>, ProbeError> {
    let mut alive: Vec<u32> = processes(ebpf)?.keys().filter_map(Result::ok).collect();
    alive.sort_unstable();
    Ok(alive)
}

/// Forgets all and measures `command` from here on. It must have no state of a measured mm, and run nothing meanwhile.
fn begin(ebpf: &mut Ebpf, command: u32) -> Result<(), ProbeError> {
    let left = alive(ebpf)?;
    let error = |error| ProbeError::Map { map: TASKS, error };
    let map = ebpf.map_mut(TASKS).ok_or(ProbeError::Missing(TASKS))?;
    let mut tasks = HashMap::<_, u32, u32>::try_from(map).map_err(error)?;
    for tgid in left {
        // One that has ended meanwhile is gone already.
        let _ = tasks.remove(&tgid);
    }
    set_all(ebpf, STATES, |_: RunStateValue| RunStateValue(RunState::default()))?;
    sites::forget(ebpf)?;
    // Which mm a CPU holds stays true.
    set_all(ebpf, CPUS, |CpuValue(RunCpu { mm, id, .. })| CpuValue(RunCpu { mm, id, ..RunCpu::default() }))?;
    // How sites are told does so too.
    set_all(ebpf, SHARED, |SharedValue(RunShared { skip, last, chains, .. })| {
        SharedValue(RunShared { command: command.into(), skip, last, chains, ..RunShared::default() })
    })?;
    let map = ebpf.map_mut(TASKS).ok_or(ProbeError::Missing(TASKS))?;
    HashMap::try_from(map).map_err(error)?.insert(command, 1_u32, 0).map_err(error)
}

/// Changes every element of an array that is not what the change makes of it.
pub(super) fn set_all<T: aya::Pod>(
    ebpf: &mut Ebpf,
    map: &'static str,
    change: impl Fn(T) -> T,
) -> Result<(), ProbeError> {
    let error = |error| ProbeError::Map { map, error };
    let mut array =
        Array::<_, T>::try_from(ebpf.map_mut(map).ok_or(ProbeError::Missing(map))?).map_err(error)?;
    for index in 0..array.len() {
        let value = array.get(&index, 0).map_err(error)?;
        array.set(index, change(value), 0).map_err(error)?;
    }
    Ok(())
}

/// What was counted, mms that live on included.
fn totals(ebpf: &Ebpf, accounting: Accounting) -> Result<RunTotals, ProbeError> {
    let mut totals = RunTotals::default();
    let shared: Array<_, SharedValue> = array(ebpf, SHARED)?;
    let SharedValue(shared) = shared.get(&0, 0).map_err(|error| ProbeError::Map { map: SHARED, error })?;
    totals.faults_before = shared.faults_before;
    totals.visits = shared.visits;
    let cpus: Array<_, CpuValue> = array(ebpf, CPUS)?;
    for cpu in cpus.iter() {
        let CpuValue(cpu) = cpu.map_err(|error| ProbeError::Map { map: CPUS, error })?;
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
        for of in [&cpu.largest, &cpu.command, &cpu.drift] {
            totals.look_at(of, shared.command);
        }
    }
    let states: Array<_, RunStateValue> = array(ebpf, STATES)?;
    let capacity = states.len();
    for (index, state) in (0..).zip(states.iter()) {
        let RunStateValue(state) = state.map_err(|error| ProbeError::Map { map: STATES, error })?;
        // Measured, and its process is known.
        if state.of.tgid != 0 {
            let of = with_peaks(ebpf, accounting, index, cpus.len(), capacity, state.of)?;
            totals.look_at(&of, shared.command);
        }
    }
    Ok(totals)
}

/// Whether a measured mm that still has pages is left.
fn pages_left(ebpf: &Ebpf, accounting: Accounting) -> Result<bool, ProbeError> {
    let states: Array<_, RunStateValue> = array(ebpf, STATES)?;
    for (index, state) in (0..).zip(states.iter()) {
        let RunStateValue(state) = state.map_err(|error| ProbeError::Map { map: STATES, error })?;
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
    const STATES: &str = "STATES";
    let states: Array<_, StateValue> = array(ebpf, STATES)?;
    let StateValue(state) = states.get(&index, 0).map_err(|error| ProbeError::Map { map: STATES, error })?;
    Ok(state)
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
            let peak = tasks::peak(ebpf, index, cpus, capacity)?;
            Largest {
                peak: peak.exact,
                drift: peak.drift.into(),
                cpus: peak.active.into(),
                hidden: peak.hidden.into(),
                twice: peak.twice.into(),
                ..of
            }
        }
    })
}
