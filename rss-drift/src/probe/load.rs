//! Loading the programs: layout in, programs verified, CPUs found.

use std::{
    io,
    os::fd::{AsFd, AsRawFd},
};

use aya::{
    Btf, Ebpf, EbpfLoader, Endianness, VerifierLogLevel,
    maps::{Array, Map, MapError},
    programs::{Iter, ProgramError, links::LinkError},
};
use aya_log::EbpfLogger;
use rss_drift_common::shadow::Counts;

use crate::{
    kernel::{Accounting, Cast, Kernel, KernelError, btf::blob_of, symbols::Symbols},
    probe::{
        caches::Caches,
        code::{self, Code},
        full::{self, EndOfMm, Ends, FullOptions, Scheme},
        link::{Known, link},
        locate::{self, SlotReader},
        percpu, run,
        snapshot::{Reader, Snapshot},
        statistics::{self, RunStatistics},
    },
};

/// The object that build.rs makes from rss-drift-ebpf.
pub(super) static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("RSS_DRIFT_EBPF"));

/// The iterator of passive mode on per-task accounting; it reads every task's cache for `--where` too.
const TASKS: &str = "rss_pertask";

/// Why the programs could not be loaded or read.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The object is not one this aya can load: a broken build.
    #[error("the eBPF object inside this program cannot be loaded: {0:#}; build it again")]
    Object(aya::EbpfError),
    /// The kernel refused to make a map: there is no memory for it, or a limit is in the way.
    #[error("the kernel refuses our map {map}: {error}")]
    NoMap {
        /// Name of the map.
        map: String,
        /// What the kernel said.
        error: io::Error,
    },
    /// aya could not use the kernel's BTF.
    #[error("the kernel's type information (BTF) cannot be used: {0}")]
    Btf(#[from] aya::BtfError),
    /// The object lacks a program or map that this code names: a broken build.
    #[error("the eBPF object inside this program has no {0:?}; build it again")]
    Missing(&'static str),
    /// The object is no ELF file: a broken build.
    #[error("the eBPF object inside this program cannot be read: {0}; build it again")]
    NoElf(object::Error),
    /// The object's code is not what the figures can be put into: a broken build.
    #[error(
        "the eBPF object inside this program has no place for what is known of the kernel; build it again"
    )]
    Unlinked,
    /// The object wants a figure that this program does not have: a broken build.
    #[error("the eBPF object inside this program wants the unknown figure {0:#x}; build it again")]
    Mark(u16),
    /// A field lies too far from the start of its struct.
    #[error("a field of a kernel struct lies {0} bytes behind its start: a load of our eBPF programs reaches {max}", max = i16::MAX)]
    Offset(u32),
    /// The kernel's structs are not what `run` knows.
    #[error(transparent)]
    Kernel(#[from] KernelError),
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

impl From<aya::EbpfError> for ProbeError {
    fn from(error: aya::EbpfError) -> Self {
        match error {
            aya::EbpfError::MapError(MapError::CreateError { name, io_error }) => {
                Self::NoMap { map: name, error: io_error }
            }
            error => Self::Object(error),
        }
    }
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
    pub(super) ebpf: Ebpf,
    pub(super) accounting: Accounting,
    reader: Reader,
    slots: SlotReader,
    kernel: String,
    /// Set in full mode.
    pub(super) full: Option<Full>,
}

/// What our programs write to the log; drained once per reading.
type EventLog = EbpfLogger<&'static dyn log::Log>;

/// What full mode adds to a probe.
pub(super) struct Full {
    /// Mms that the maps hold.
    capacity: u32,
    /// How ends of mms are seen.
    pub(super) ends: Ends,
    /// Whether faults are counted.
    faults: bool,
    /// The largest |drift| of `stat` that the programs know of, in pages.
    bound: u64,
    /// Rare events that the programs told of; none where the log could not be opened.
    log: Option<EventLog>,
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
    /// Loads what passive mode needs on `kernel`.
    ///
    /// # Errors
    /// When the kernel refuses a program: the text holds the end of the verifier's log.
    pub fn open(kernel: &Kernel) -> Result<Self, ProbeError> {
        let btf = Btf::parse(&blob_of(&kernel.targets), Endianness::default())?;
        let object = link(OBJECT, &Known { layout: kernel.layout, ..Known::default() })?;
        let mut ebpf = loader(kernel).load(bytemuck::cast_slice(&object))?;
        let program = match kernel.accounting {
            Accounting::PerTask => TASKS,
            Accounting::PerCpu => "rss_percpu",
        };
        load_iterator(&mut ebpf, program, &btf, &kernel.release)?;
        if kernel.layout.counter_has_slots != 0 {
            find_cpus(&mut ebpf, kernel, &btf)?;
        }
        Ok(Self {
            ebpf,
            accounting: kernel.accounting,
            reader: Reader::new(program),
            slots: SlotReader::new(kernel),
            kernel: kernel.release.clone(),
            full: None,
        })
    }

    /// Loads and attaches full mode: from its return on the shadow follows every mm that is visited or has an event.
    /// `live` is how many mms there are about, `bound` the largest |drift| of `stat` in pages.
    ///
    /// # Errors
    /// As [`Probe::open`].
    pub fn open_full(
        kernel: &Kernel,
        options: &FullOptions,
        live: usize,
        bound: u64,
    ) -> Result<Self, ProbeError> {
        let cast = kernel.cast.filter(|_| !options.hidden.cast);
        Self::open_full_with(kernel, options, live, bound, cast).or_else(|error| {
            // A kernel without a JIT has the function and calls none.
            let without =
                cast.is_some().then(|| Self::open_full_with(kernel, options, live, bound, None).ok());
            without.flatten().inspect(|_| log::info!("a helper instead of a cast: {error}")).ok_or(error)
        })
    }

    fn open_full_with(
        kernel: &Kernel,
        options: &FullOptions,
        live: usize,
        bound: u64,
        cast: Option<Cast>,
    ) -> Result<Self, ProbeError> {
        let scheme = Scheme::of(kernel.accounting);
        let btf = Btf::parse(&blob_of(&kernel.targets), Endianness::default())?;
        let capacity = options.capacity(kernel.layout.cpu_ids, live);
        let config = full::config(kernel, options, capacity, cast);
        let known = Known {
            layout: kernel.layout,
            config,
            run: run::layout(options.run)?,
            rdonly_cast: cast.map_or(0, |cast| cast.function),
        };
        let object = link(OBJECT, &known)?;
        let mut loader = loader(kernel);
        full::size_maps(&mut loader, kernel, options, capacity);
        let mut ebpf = loader.load(bytemuck::cast_slice(&object))?;
        load_iterator(&mut ebpf, scheme.reader, &btf, &kernel.release)?;
        let offsets = match kernel.accounting {
            Accounting::PerCpu => find_cpus(&mut ebpf, kernel, &btf)?,
            Accounting::PerTask => {
                // For `--where`.
                load_iterator(&mut ebpf, TASKS, &btf, &kernel.release)?;
                Vec::new()
            }
        };
        full::fill_maps(&mut ebpf, &kernel.cpus.possible, &offsets, capacity)?;
        full::set_bound(&mut ebpf, bound)?;
        let log = full::log(&mut ebpf);
        let ends = full::attach(&mut ebpf, &btf, kernel, options, scheme)?;
        Ok(Self {
            ebpf,
            accounting: kernel.accounting,
            reader: Reader::new(scheme.reader),
            slots: SlotReader::new(kernel),
            kernel: kernel.release.clone(),
            full: Some(Full {
                capacity,
                ends,
                faults: options.faults.attached(kernel.accounting),
                bound,
                log,
            }),
        })
    }

    /// Mms that full mode can follow, and how it sees their end; `None` in passive mode.
    #[must_use]
    pub fn full_mode(&self) -> Option<(u32, EndOfMm)> {
        self.full.as_ref().map(|full| (full.capacity, full.ends.seen_by))
    }

    /// Whether our programs count the page faults of each mm.
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
            let mut counts = full::counts(&self.ebpf)?;
            self.reader.sweep.add_to(&mut counts);
            Ok(counts)
        })
    }

    /// One reading of all processes; what our programs had to tell meanwhile goes to the log.
    pub fn snapshot(&mut self) -> Result<Snapshot, ProbeError> {
        if let Some(log) = self.full.as_mut().and_then(|full| full.log.as_mut()) {
            log.flush();
        }
        self.reader.read(&mut self.ebpf, self.accounting)
    }

    /// Where the pages of `pids` sit that their global counts lack: a reading of its own. A process that is gone has no
    /// list; what never held still is marked as not valid.
    pub fn caches(&mut self, pids: &[u32]) -> Result<Vec<Caches>, ProbeError> {
        match self.accounting {
            Accounting::PerTask => locate::in_tasks(&mut self.ebpf, &mut Reader::new(TASKS), pids),
            Accounting::PerCpu => self.slots.read(&mut self.ebpf, pids, &self.kernel),
        }
    }

    /// Events that our programs missed so far: runs that the recursion guard left out, and updates that came while a slot
    /// was busy. `None` in passive mode.
    #[must_use]
    pub fn missed_events(&self) -> Option<u64> {
        self.full.as_ref()?;
        let refused: RunStatistics = self.run_statistics().into_iter().map(|(_, one)| one).sum();
        let nested = full::counts(&self.ebpf).map_or(0, |counts| counts.nested);
        Some(refused.recursion_misses + nested)
    }

    /// What the kernel counted of each of our programs.
    #[must_use]
    pub fn run_statistics(&self) -> Vec<(String, RunStatistics)> {
        statistics::of_programs(&self.ebpf)
    }

    /// What the kernel's JIT made of our programs.
    ///
    /// # Errors
    /// When the kernel does not show it.
    pub fn code(&self, symbols: &Symbols) -> io::Result<Vec<Code>> {
        code::code_of(&self.ebpf, symbols)
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
}

/// What both modes are loaded with.
fn loader(kernel: &Kernel) -> EbpfLoader<'static> {
    let mut loader = EbpfLoader::new();
    loader
        .btf(None)
        // A refusal's reason, without the trace of every instruction: on a program that is found too complex that trace takes
        // minutes to write, and aya asks for it ten times.
        .verifier_log_level(VerifierLogLevel::STATS)
        .map_max_entries("CPU_OFFSETS", kernel.layout.cpus.max(1))
        // A page: its messages are rare, and each names a process.
        .map_max_entries("AYA_LOGS", 4096);
    loader
}

/// Learns each possible CPU's `__per_cpu_offset` and hands them to the reading program.
fn find_cpus(ebpf: &mut Ebpf, kernel: &Kernel, btf: &Btf) -> Result<Vec<u64>, ProbeError> {
    const PROGRAM: &str = "rss_cpu_offsets";
    load_iterator(ebpf, PROGRAM, btf, &kernel.release)?;
    let bytes = Reader::new(PROGRAM).read_records(ebpf)?;
    let offsets = percpu::offsets(&bytes, &kernel.cpus.possible)
        .map_err(|cpu| ProbeError::NoOffset(cpu, kernel.release.clone()))?;
    let map = ebpf.map_mut("CPU_OFFSETS").ok_or(ProbeError::Missing("CPU_OFFSETS"))?;
    let error = |error| ProbeError::Map { map: "CPU_OFFSETS", error };
    let mut array = Array::<_, u64>::try_from(map).map_err(error)?;
    for (index, &offset) in (0..).zip(&offsets) {
        array.set(index, offset, 0).map_err(error)?;
    }
    // It has done its work: what is not needed does not stay in the kernel.
    iterator(ebpf, PROGRAM)?.unload().map_err(|error| program_error(&kernel.release, PROGRAM, error))?;
    Ok(offsets)
}

/// Loads one `iter/task` program; on refusal aya tries once more with the verifier's log, for the message.
pub(super) fn load_iterator(
    ebpf: &mut Ebpf,
    name: &'static str,
    btf: &Btf,
    kernel: &str,
) -> Result<(), ProbeError> {
    iterator(ebpf, name)?.load("task", btf).map_err(|error| program_error(kernel, name, error))
}

/// A program that the kernel refused.
pub(super) fn program_error(kernel: &str, program: &'static str, error: ProgramError) -> ProbeError {
    ProbeError::Program { kernel: kernel.to_owned(), program, error }
}

/// The program of this name as an iterator.
pub(super) fn iterator<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut Iter, ProbeError> {
    ebpf.program_mut(name)
        .and_then(|program| <&mut Iter>::try_from(program).ok())
        .ok_or(ProbeError::Missing(name))
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
