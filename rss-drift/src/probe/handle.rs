//! A probe: the BPF programs, loaded, and what can be asked of them.

use std::{
    io,
    os::fd::{AsFd, AsRawFd},
};

use aya::{Ebpf, maps::Map};
use aya_log::EbpfLogger;
use rss_drift_common::shadow::Counts;

use super::{
    code::{self, Code},
    counts::counts,
    error::ProbeError,
    fentry::NoFentry,
    full::{self, EndOfMm, Ends},
    holders::{self, Holders, SlotReader},
    programs::{self, TASKS},
    reader::Reader,
    snapshot::Snapshot,
    statistics::{self, ProgramStatistics},
    stream::Stream,
};
use crate::{
    kernel::{Accounting, symbols::Symbols},
    proc::CgroupVersion,
};

/// What one of the BPF programs or maps costs the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Bytes of kernel memory locked by the BPF programs and maps, where the kernel tells.
    pub bytes: u64,
    /// Name and verified instructions of each loaded BPF program (0 where the kernel does not tell: before 5.16).
    pub programs: Vec<(String, u32)>,
}

/// The BPF programs, loaded; nothing is attached to a hot path. Dropping it unloads everything.
#[derive(Debug)]
pub struct Probe {
    pub(super) ebpf: Ebpf,
    pub(super) accounting: Accounting,
    pub(super) reader: Reader,
    pub(super) slots: SlotReader,
    pub(super) kernel: String,
    /// Of which version the ids of control groups in the records are.
    pub(super) cgroup_version: Option<CgroupVersion>,
    /// Set in full mode.
    pub(super) full: Option<Full>,
}

/// What the BPF programs write to the log; drained once per reading.
pub(super) type EventLog = EbpfLogger<&'static dyn log::Log>;

/// What full mode adds to a probe.
pub(super) struct Full {
    /// Mms that the maps hold.
    pub(super) capacity: u32,
    /// How ends of mms are seen.
    pub(super) ends: Ends,
    /// Whether faults are counted.
    pub(super) faults: bool,
    /// The largest |drift| of `stat` that the BPF programs know of, in pages.
    pub(super) bound: u64,
    /// Rare events that the BPF programs told of; none where the log could not be opened.
    pub(super) log: Option<EventLog>,
}

impl std::fmt::Debug for Full {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { capacity, ends, faults, bound, log: _ } = self;
        f.debug_struct("Full")
            .field("capacity", capacity)
            .field("ends", ends)
            .field("faults", faults)
            .field("bound", bound)
            .finish_non_exhaustive()
    }
}

impl Probe {
    /// Mms that full mode can follow, and how it sees their end; `None` in passive mode.
    #[must_use]
    pub fn full_mode(&self) -> Option<(u32, EndOfMm)> {
        self.full.as_ref().map(|full| (full.capacity, full.ends.seen_by))
    }

    /// Of which version the ids of control groups in a reading are; `None` where it has none.
    #[must_use]
    pub const fn cgroup_version(&self) -> Option<CgroupVersion> {
        self.cgroup_version
    }

    /// Why full mode does not see ends by fentry, where that was tried in vain.
    #[must_use]
    pub fn no_fentry(&self) -> Option<NoFentry> {
        self.full.as_ref()?.ends.no_fentry
    }

    /// Whether the BPF programs count the page faults of each mm.
    #[must_use]
    pub fn counts_faults(&self) -> bool {
        self.full.as_ref().is_some_and(|full| full.faults)
    }

    /// Tells full mode the largest |drift| of `stat` that there can be now, in pages: it follows the CPUs that are online.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub fn set_bound(&mut self, bound: u64) -> Result<(), ProbeError> {
        if let Some(full) = self.full.as_mut().filter(|full| full.bound != bound) {
            full::set_bound(&mut self.ebpf, bound)?;
            full.bound = bound;
        }
        Ok(())
    }

    /// Our own counts in full mode; `None` in passive mode.
    #[must_use]
    pub fn counts(&self) -> Option<Result<Counts, ProbeError>> {
        self.full.as_ref().map(|_| {
            let mut counts = counts(&self.ebpf)?;
            self.reader.add_to(&mut counts);
            Ok(counts)
        })
    }

    /// One reading of all processes; what the BPF programs had to tell meanwhile goes to the log.
    pub fn snapshot(&mut self) -> Result<Snapshot, ProbeError> {
        if let Some(log) = self.full.as_mut().and_then(|full| full.log.as_mut()) {
            log.flush();
        }
        self.reader.read(&mut self.ebpf)
    }

    /// Who holds the pages of `pids` that their global counts do not have yet: a reading of its own. A process that is gone has no
    /// list; what never held still is marked as not valid. `None` where `give_up` said so between two passes over the tasks.
    pub fn holders(
        &mut self,
        pids: &[u32],
        give_up: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<Holders>>, ProbeError> {
        match self.accounting {
            Accounting::PerTask => holders::in_tasks(&mut self.ebpf, &mut Stream::new(TASKS), pids, give_up),
            Accounting::PerCpu => self.slots.read(&mut self.ebpf, pids, &self.kernel, give_up),
        }
    }

    /// Events that the BPF programs missed so far: runs of a BPF program that the recursion guard left out, and updates that came while a slot
    /// was busy. `None` in passive mode.
    #[must_use]
    pub fn missed_events(&self) -> Option<u64> {
        self.full.as_ref()?;
        let refused: ProgramStatistics = self.program_statistics().into_iter().map(|(_, one)| one).sum();
        let nested = counts(&self.ebpf).map_or(0, |counts| counts.nested);
        Some(refused.recursion_misses + nested)
    }

    /// What the kernel counted of each of the BPF programs.
    #[must_use]
    pub fn program_statistics(&self) -> Vec<(String, ProgramStatistics)> {
        statistics::of_programs(&self.ebpf)
    }

    /// What the kernel's JIT made of the BPF programs.
    ///
    /// # Errors
    /// When the kernel does not show it.
    pub fn code(&self, symbols: &Symbols) -> io::Result<Vec<Code>> {
        code::code_of(&self.ebpf, symbols)
    }

    /// Takes every BPF program out of the kernel: nothing is measured any more, and no reading succeeds. The maps stay until the probe is
    /// dropped.
    pub fn unload(&mut self) {
        for (name, program) in self.ebpf.programs_mut() {
            if let Err(error) = programs::unload(program) {
                log::debug!("{name}: {error}");
            }
        }
    }

    /// What the BPF programs and maps cost the kernel.
    #[must_use]
    pub fn footprint(&self) -> Footprint {
        let mut footprint = Footprint::default();
        for (name, program) in self.ebpf.programs() {
            // A BPF program that is not loaded has no info: that is not an error here.
            if let Ok(info) = program.info() {
                footprint.bytes += u64::from(info.memory_locked().unwrap_or(0));
                footprint.programs.push((name.to_owned(), info.verified_instruction_count().unwrap_or(0)));
            }
        }
        footprint.bytes += self.ebpf.maps().map(|(_, map)| map_bytes(map)).sum::<u64>();
        footprint
    }
}

/// Bytes of kernel memory that a map locks, from its fdinfo; 0 where the kernel does not tell.
fn map_bytes(map: &Map) -> u64 {
    let (Map::Array(data)
    | Map::PerCpuArray(data)
    | Map::HashMap(data)
    | Map::Queue(data)
    | Map::StackTraceMap(data)
    | Map::Stack(data)) = map
    else {
        return 0;
    };
    let path = format!("/proc/self/fdinfo/{}", data.fd().as_fd().as_raw_fd());
    let Ok(text) = std::fs::read_to_string(path) else { return 0 };
    text.lines()
        .find_map(|line| line.strip_prefix("memlock:"))
        .and_then(|bytes| bytes.trim().parse().ok())
        .unwrap_or(0)
}
