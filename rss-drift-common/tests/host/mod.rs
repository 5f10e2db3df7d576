//! One host for all tests of the protocol: what the BPF programs' maps are, and the part of the kernel that changes RSS counters.
//!
//! What a word is differs between the targets, and nothing else does: a step of the model (`steps.rs`), an atomic of loom
//! (`loom_words.rs`), a plain cell (`cells.rs`). A scenario reads like this:
//!
//! ```ignore
//! Scenario::new("a fold beside a reading", Config { batch: 3, ..Config::anon(QUIET) }, |host| host.runs(0, MM, &[2]))
//!     .updates(0, MM, &[1])
//!     .reads(1, MM)
//!     .end(|host| _ = host.check_read(MM))
//! ```
#![allow(dead_code, unused_imports, reason = "each target uses a part")]

mod acts;
mod checks;
mod exact;
mod kernel;
mod kind;
mod on;
mod program;
mod quiet;
mod scenario;
pub(crate) mod smoke;
mod tasks;
mod words;

pub(crate) use kind::{Check, Fifo, Kind, List, Name, Table};
pub(crate) use on::{IDLE, On, each, on};
pub(crate) use program::{ByCpu, ByTask, Program, Visitor};
pub(crate) use quiet::{APART, COUNTED, OWNERS, PEAKS, Quiet};
pub(crate) use scenario::{Part, Scenario};

use kernel::Mm;
pub(crate) use kernel::Watch;
use rss_drift_common::{
    MEMBERS,
    memory::Words,
    protocol::{
        limbo::{self, Waiting},
        percpu::reader::{self, Reading},
    },
    running::{Peak, Running, Seed},
    shadow::{Counts, Cpu, ShadowRecord, Shared, State},
    slot::Slot,
};
use tasks::TaskWords;
use words::Place;

/// `MM_FILEPAGES`
pub(crate) const FILE: u32 = 0;
/// `MM_ANONPAGES`
pub(crate) const ANON: u32 = 1;
/// `MM_SWAPENTS`
pub(crate) const SWAP: u32 = 2;
/// `MM_SHMEMPAGES`
pub(crate) const SHMEM: u32 = 3;

/// How large a host is, and which of its words a scenario is about.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// CPUs, at most 64. Arrays of those from 4 on have no number in their names.
    pub(crate) cpus: usize,
    /// States of mms.
    pub(crate) states: usize,
    /// Addresses that an mm can have.
    pub(crate) mms: usize,
    /// Tasks; with any, accounting is per-task.
    pub(crate) tasks: usize,
    /// Members that the scenario uses.
    pub(crate) members: [bool; MEMBERS],
    /// Fields whose words are quiet (see [`Kind::u64`]) though the scenario varies them: figures that no check is about.
    pub(crate) quiet: Quiet,
    /// The kernel's `percpu_counter_batch`.
    pub(crate) batch: i32,
    /// See [`rss_drift_common::memory::Memory::threshold`].
    pub(crate) threshold: u32,
    /// See [`rss_drift_common::protocol::percpu::PerCpu::bound`].
    pub(crate) bound: u64,
    /// Whether the slots of the four members lie side by side (since 6.6).
    pub(crate) together: bool,
    /// The true peaks are kept too. A model has more states then.
    pub(crate) peaks: bool,
    /// [`Host::watch`] is used, likewise.
    pub(crate) instants: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cpus: 2,
            states: 2,
            mms: 1,
            tasks: 0,
            members: [true; MEMBERS],
            quiet: Quiet::default(),
            batch: 4,
            threshold: 4,
            bound: 1 << 20,
            together: false,
            peaks: false,
            instants: false,
        }
    }
}

impl Config {
    /// Anonymous pages only, and quiet words.
    pub(crate) fn anon(quiet: Quiet) -> Self {
        Self { members: [false, true, false, false], quiet, ..Self::default() }
    }
}

/// Everything that threads share.
pub(crate) struct Host<K: Kind> {
    pub(crate) config: Config,
    pub(crate) cpus: Vec<Cpu<K>>,
    pub(crate) states: Vec<State<K>>,
    /// Slots as last seen, by CPU and state; per-cpu accounting only.
    pub(crate) seen: Vec<Vec<[<K as Words>::I32; MEMBERS]>>,
    pub(crate) shared: Shared<K>,
    /// Per-task accounting only, as the two below.
    pub(crate) running: Vec<Running<K>>,
    /// By CPU and state.
    pub(crate) peaks: Vec<Vec<Peak<K>>>,
    pub(crate) seeds: Vec<Seed<K>>,
    pub(crate) table: K::Table,
    pub(crate) free: K::List,
    /// Not 0 while `free` is empty.
    pub(crate) full: K::U64,
    /// See [`pack`].
    pub(crate) limbo: K::Fifo,
    /// What `now()` answers, in nanoseconds.
    pub(crate) now: K::U64,
    /// The mm of the task that each CPU runs; 0 is none.
    pub(crate) current: Vec<K::U64>,
    /// The mm that the task has which the reader visits.
    pub(crate) visited: K::U64,
    pub(crate) mms: Vec<Mm<K>>,
    pub(crate) tasks: Vec<TaskWords<K>>,
}

/// Arrays that have a CPU's number in their name, since a word's name has room for one index.
const SEEN: [&str; 4] = ["cpu0.seen", "cpu1.seen", "cpu2.seen", "cpu3.seen"];
const PEAK: [&str; 4] = ["cpu0.peak", "cpu1.peak", "cpu2.peak", "cpu3.peak"];

/// The name of a CPU's array.
fn name(names: &[&'static str], cpu: usize, other: &'static str) -> &'static str {
    names.get(cpu).copied().unwrap_or(other)
}

impl<K: Kind> Host<K> {
    /// A host on which nothing has happened.
    pub(crate) fn new(config: &Config) -> Self {
        let place = |array, index| Place { config, array, index };
        let by_task = config.tasks != 0;
        let cpus_by_cpu = if by_task { 0 } else { config.cpus };
        let cpus_by_task = if by_task { config.cpus } else { 0 };
        let free = K::list("free", config.states);
        for index in (0..config.states).rev() {
            assert!(free.push(narrow(index as u64)));
        }
        Self {
            cpus: (0..config.cpus).map(|cpu| words::cpu(place("cpu", cpu))).collect(),
            states: (0..config.states).map(|index| words::state(place("state", index))).collect(),
            seen: (0..cpus_by_cpu)
                .map(|cpu| {
                    (0..config.states)
                        .map(|index| words::seen::<K>(place(name(&SEEN, cpu, "seen"), index)))
                        .collect()
                })
                .collect(),
            shared: words::shared(place("shared", 0)),
            running: (0..cpus_by_task).map(|cpu| words::running(place("running", cpu))).collect(),
            peaks: (0..cpus_by_task)
                .map(|cpu| {
                    (0..config.states)
                        .map(|index| words::peak(place(name(&PEAK, cpu, "peak"), index)))
                        .collect()
                })
                .collect(),
            seeds: (0..if by_task { config.states } else { 0 })
                .map(|index| words::seed(place("seed", index)))
                .collect(),
            table: K::table("table", config.mms),
            free,
            full: K::u64(Name::new("host", 0, "full"), 0, true),
            limbo: K::fifo("limbo", config.states),
            now: K::u64(Name::new("host", 0, "now"), 1, false),
            current: (0..config.cpus)
                .map(|cpu| K::u64(Name::new("host", cpu, "current mm"), 0, true))
                .collect(),
            visited: K::u64(Name::new("host", 0, "visited mm"), address(0), true),
            mms: (0..config.mms).map(|mm| Mm::new(config, mm)).collect(),
            tasks: (0..config.tasks).map(|task| TaskWords::new(config, task)).collect(),
            config: config.clone(),
        }
    }

    /// A run of a BPF program on this CPU, under per-cpu accounting.
    pub(crate) fn program(&self, cpu: u32) -> Program<'_, K, ByCpu> {
        Program::new(self, cpu)
    }

    /// As [`Host::program`], under per-task accounting.
    pub(crate) fn task_program(&self, cpu: u32) -> Program<'_, K, ByTask> {
        Program::new(self, cpu)
    }

    /// The reader of full mode visits a task on this CPU, under per-cpu accounting.
    pub(crate) fn read(&self, cpu: u32, mm: u64) -> ShadowRecord {
        let mut record = ShadowRecord::default();
        let program = self.program(cpu);
        let (visitor, mut reading) = (Visitor { tgid: 1 }, Reading::NONE);
        reader::begin(&program, &visitor, mm, &mut reading);
        reader::read(&program, &visitor, mm, reading, &mut record);
        record
    }

    /// Time goes on, without a step.
    pub(crate) fn pass(&self, nanoseconds: u64) {
        self.now.add_quietly(nanoseconds);
    }

    // The words as they stand, without a step: for checks.

    pub(crate) fn state_now(&self, index: usize) -> State {
        words::state_now(&self.states[index])
    }

    pub(crate) fn slot_now(&self, cpu: usize) -> Slot {
        words::slot_now(&self.cpus[cpu].slot)
    }

    /// What the slots hold back of a state: pages, and hits.
    pub(crate) fn held(&self, id: u64) -> ([i64; MEMBERS], u64) {
        let (mut pages, mut hits) = ([0; MEMBERS], 0);
        for slot in (0..self.cpus.len()).map(|cpu| self.slot_now(cpu)).filter(|slot| slot.id == id) {
            pages.iter_mut().zip(slot.pending).for_each(|(sum, pages)| *sum += i64::from(pages));
            hits += slot.hits;
        }
        (pages, hits)
    }

    pub(crate) fn counts_now(&self, cpu: usize) -> Counts {
        words::counts_now(&self.cpus[cpu].counts)
    }

    /// The counts of all CPUs together.
    pub(crate) fn all_counts_now(&self) -> Counts {
        let mut all = Counts::default();
        (0..self.cpus.len()).for_each(|cpu| all.add(&self.counts_now(cpu)));
        all
    }

    pub(crate) fn shared_now(&self) -> Shared {
        words::shared_now(&self.shared)
    }

    pub(crate) fn running_now(&self, cpu: usize) -> Running {
        words::running_now(&self.running[cpu])
    }

    pub(crate) fn peak_now(&self, cpu: usize, index: usize) -> Peak {
        words::peak_now(&self.peaks[cpu][index])
    }

    pub(crate) fn seed_now(&self, index: usize) -> Seed {
        words::seed_now(&self.seeds[index])
    }
}

/// The address of the mm with this number.
pub(crate) const fn address(number: usize) -> u64 {
    (number as u64 + 1) * 0x1000
}

/// The number of the mm at this address, or a little behind it.
pub(crate) fn number(address: u64) -> usize {
    at(narrow(address / 0x1000)) - 1
}

/// A CPU, a member or a state as an index of arrays.
pub(crate) const fn at(number: u32) -> usize {
    number as usize
}

/// Numbers of tests are small.
pub(crate) fn narrow(number: u64) -> u32 {
    u32::try_from(number).expect("a small number")
}

/// [`limbo::LOST`] as it is packed.
const PACKED_LOST: u64 = 255;

/// The limbo holds integers. Indexes of tests are small.
pub(crate) fn pack(waiting: Waiting) -> u64 {
    assert!(waiting.index < PACKED_LOST || waiting.index == limbo::LOST);
    waiting.since << 8 | waiting.index.min(PACKED_LOST)
}

/// See [`pack`].
pub(crate) const fn unpack(packed: u64) -> Waiting {
    let index = packed & 255;
    Waiting { since: packed >> 8, index: if index == PACKED_LOST { limbo::LOST } else { index } }
}
