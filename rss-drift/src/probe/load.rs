//! Loading the programs: layout in, programs verified, CPUs found.

use std::{
    io,
    os::fd::{AsFd, AsRawFd},
};

use crate::{
    kernel::{Accounting, Kernel, btf::blob_of},
    probe::{
        caches::Caches,
        locate::{self, SlotReader},
        percpu,
        snapshot::{Reader, Snapshot},
    },
};
use aya::{
    Btf, Ebpf, EbpfLoader, Endianness,
    maps::{Array, Map, MapError},
    programs::{Iter, ProgramError, links::LinkError},
};

/// The object that build.rs makes from rss-drift-ebpf.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("RSS_DRIFT_EBPF"));

/// Why the programs could not be loaded or read.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The object is not one this aya can load: a broken build.
    #[error("the eBPF object inside this program cannot be loaded: {0:#}; build it again")]
    Object(#[from] aya::EbpfError),
    /// aya could not use the kernel's BTF.
    #[error("the kernel's type information (BTF) cannot be used: {0}")]
    Btf(#[from] aya::BtfError),
    /// The object lacks a program or map that this code names: a broken build.
    #[error("the eBPF object inside this program has no {0:?}; build it again")]
    Missing(&'static str),
    /// The kernel refused a program.
    #[error("kernel {kernel} refuses the eBPF program {program}: {}", refusal(.error))]
    Program {
        /// Release of the running kernel.
        kernel: String,
        /// Name of the program.
        program: &'static str,
        /// What the kernel said.
        error: ProgramError,
    },
    /// A map could not be written.
    #[error("cannot write our map {map}: {error}")]
    Map {
        /// Name of the map.
        map: &'static str,
        /// What the kernel said.
        error: MapError,
    },
    /// The kernel does not start the iterator.
    #[error("cannot start the task iterator {program}: {error}")]
    Attach {
        /// Name of the program.
        program: &'static str,
        /// What the kernel said.
        error: ProgramError,
    },
    /// The iterator could not be opened.
    #[error("cannot open the task iterator: {0}")]
    Link(#[from] LinkError),
    /// Reading the iterator failed.
    #[error("cannot read the task iterator: {0}")]
    Read(#[from] io::Error),
    /// What the iterator wrote is not whole records.
    #[error("the task iterator wrote {0} bytes, not a whole number of records; build this program again")]
    Torn(usize),
    /// A CPU whose per-CPU memory was not found.
    #[error("the per-CPU memory of CPU {0} was not found: its slots cannot be read on kernel {1}")]
    NoOffset(u32, String),
}

/// What the kernel said of a program, with the last lines of the verifier's log, where there is one: the reason of a
/// refusal stands there. (aya's own text holds the whole log: hundreds of lines.)
fn refusal(error: &ProgramError) -> String {
    const LINES: usize = 6;
    let ProgramError::LoadError { io_error, verifier_log } = error else { return error.to_string() };
    let log = verifier_log.to_string();
    let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(LINES)..]
        .iter()
        .fold(io_error.to_string(), |text, line| text + "\n    " + line)
}

/// What one of our programs or maps costs the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Bytes of kernel memory locked by our programs and maps, where the kernel tells.
    pub bytes: u64,
    /// Name and verified instructions of each loaded program (0 where the kernel does not tell: before 5.16).
    pub programs: Vec<(String, u32)>,
}

/// Our programs, loaded; nothing is attached to a hot path. Dropping it unloads everything.
#[derive(Debug)]
pub struct Probe {
    ebpf: Ebpf,
    accounting: Accounting,
    reader: Reader,
    slots: SlotReader,
    kernel: String,
}

impl Probe {
    /// Loads what passive mode needs on `kernel`.
    ///
    /// # Errors
    /// When the kernel refuses a program: the text holds the end of the verifier's log.
    pub fn open(kernel: &Kernel) -> Result<Self, ProbeError> {
        let btf = Btf::parse(&blob_of(&kernel.targets), Endianness::default())?;
        let mut ebpf = EbpfLoader::new()
            .btf(None)
            .override_global("LAYOUT", bytemuck::bytes_of(&kernel.layout), true)
            .map_max_entries("CPU_OFFSETS", kernel.layout.cpus.max(1))
            .load(OBJECT)?;
        let program = match kernel.accounting {
            Accounting::PerTask => "rss_pertask",
            Accounting::PerCpu => "rss_percpu",
        };
        load_iterator(&mut ebpf, program, &btf, &kernel.release)?;
        let mut probe = Self {
            ebpf,
            accounting: kernel.accounting,
            reader: Reader::new(program),
            slots: SlotReader::new(kernel.cpus.possible.clone()),
            kernel: kernel.release.clone(),
        };
        if kernel.layout.counter_has_slots != 0 {
            probe.find_cpus(kernel, &btf)?;
        }
        Ok(probe)
    }

    /// One reading of all processes.
    pub fn snapshot(&mut self) -> Result<Snapshot, ProbeError> {
        self.reader.read(&mut self.ebpf, self.accounting)
    }

    /// Where the pages of `pids` sit that their global counts lack: a reading of its own. A process that is gone has no
    /// list; what never held still is marked as not valid.
    pub fn caches(&mut self, pids: &[u32]) -> Result<Vec<Caches>, ProbeError> {
        match self.accounting {
            Accounting::PerTask => locate::in_tasks(&mut self.ebpf, &mut self.reader, pids),
            Accounting::PerCpu => self.slots.read(&mut self.ebpf, pids, &self.kernel),
        }
    }

    /// What our programs and maps cost the kernel.
    #[must_use]
    pub fn footprint(&self) -> Footprint {
        let mut footprint = Footprint::default();
        for (name, program) in self.ebpf.programs() {
            // A program that is not loaded has no info: that is not an error here.
            if let Ok(info) = program.info() {
                footprint.bytes += u64::from(info.memory_locked().unwrap_or(0));
                footprint.programs.push((name.to_owned(), info.verified_instruction_count().unwrap_or(0)));
            }
        }
        footprint.bytes += self.ebpf.maps().map(|(_, map)| map_bytes(map)).sum::<u64>();
        footprint
    }

    /// Learns each CPU's `__per_cpu_offset` and hands them to the reading program.
    fn find_cpus(&mut self, kernel: &Kernel, btf: &Btf) -> Result<(), ProbeError> {
        const PROGRAM: &str = "rss_cpu_offsets";
        load_iterator(&mut self.ebpf, PROGRAM, btf, &self.kernel)?;
        let bytes = Reader::new(PROGRAM).read_records(&mut self.ebpf)?;
        let offsets = percpu::offsets(&bytes, &kernel.cpus.possible)
            .map_err(|cpu| ProbeError::NoOffset(cpu, self.kernel.clone()))?;
        let map = self.ebpf.map_mut("CPU_OFFSETS").ok_or(ProbeError::Missing("CPU_OFFSETS"))?;
        let error = |error| ProbeError::Map { map: "CPU_OFFSETS", error };
        let mut array = Array::<_, u64>::try_from(map).map_err(error)?;
        for (index, offset) in (0..).zip(offsets) {
            array.set(index, offset, 0).map_err(error)?;
        }
        let program = iterator(&mut self.ebpf, PROGRAM)?;
        // It has done its work: what is not needed does not stay in the kernel.
        program.unload().map_err(|error| ProbeError::Program {
            kernel: self.kernel.clone(),
            program: PROGRAM,
            error,
        })
    }
}

/// Loads one `iter/task` program; on refusal aya tries once more with the verifier's log, for the message.
pub(super) fn load_iterator(
    ebpf: &mut Ebpf,
    name: &'static str,
    btf: &Btf,
    kernel: &str,
) -> Result<(), ProbeError> {
    iterator(ebpf, name)?.load("task", btf).map_err(|error| ProbeError::Program {
        kernel: kernel.to_owned(),
        program: name,
        error,
    })
}

/// The program of this name as an iterator.
pub(super) fn iterator<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut Iter, ProbeError> {
    ebpf.program_mut(name)
        .and_then(|program| <&mut Iter>::try_from(program).ok())
        .ok_or(ProbeError::Missing(name))
}

/// Bytes of kernel memory that a map locks, from its fdinfo; 0 where the kernel does not tell.
fn map_bytes(map: &Map) -> u64 {
    let (Map::Array(data) | Map::PerCpuArray(data)) = map else { return 0 };
    let path = format!("/proc/self/fdinfo/{}", data.fd().as_fd().as_raw_fd());
    let Ok(text) = std::fs::read_to_string(path) else { return 0 };
    text.lines()
        .find_map(|line| line.strip_prefix("memlock:"))
        .and_then(|bytes| bytes.trim().parse().ok())
        .unwrap_or(0)
}
