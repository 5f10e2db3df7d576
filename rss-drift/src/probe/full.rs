//! Full mode: the shadow's maps filled and its BPF programs attached.

use aya::{Btf, Ebpf, EbpfLoader, programs::Program};
use aya_log::EbpfLogger;
use rss_drift_common::shadow::{Cpu, ShadowConfig};

use super::{
    error::ProbeError,
    fentry::{self, NoFentry},
    maps::{self, failed, stack_mut},
    parallel::{Job, Refusals, Refused},
    programs::{EACH_TASK, TASKS, attach as attach_one},
    run::{self, Scope},
    scheme::{Scheme, pertask},
    tables,
};
use crate::kernel::{Accounting, Cast, Kernel};

/// Options of full mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FullOptions {
    /// Mms that can be followed at once; `None`: from the mms that live now.
    pub max_mms: Option<u32>,
    /// Largest memory of the maps that grow with the CPUs, in bytes.
    pub max_memory: Option<u64>,
    /// When slots publish updates.
    pub publish: Publish,
    /// When to have BPF programs on page faults.
    pub faults: FaultPrograms,
    /// Count for `rss-drift run`, and what.
    pub run: Option<Scope>,
    /// What to do without although the kernel has it: for tests.
    pub hidden: Hidden,
}

/// When a slot publishes its updates to the mm's totals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Publish {
    /// When it holds a batch of pages.
    #[default]
    Batches,
    /// At each update: peaks do not lack what other CPUs hold back.
    EveryUpdate,
}

/// What full mode uses where a kernel has it, and can do without.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hidden {
    /// fentry, which some security modules refuse.
    pub fentry: bool,
    /// The tracepoint `exit_mmap`, which 5.10 has not.
    pub exit_mmap: bool,
    /// The function `bpf_rdonly_cast`, new in 6.2.
    pub cast: bool,
}

/// When full mode has BPF programs on page faults, which cost more than what it does in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FaultPrograms {
    /// Where the shadow lives on them: on per-task accounting, where they see a running task's cache. On per-cpu accounting
    /// they count faults and nothing else, which the kernel does too (`mm/memory.c:mm_account_fault`).
    #[default]
    Needed,
    /// Always: each mm's faults are counted.
    Always,
    /// Never: on per-task accounting what a task changed is seen when it stops running.
    Never,
}

impl FaultPrograms {
    /// Whether they are attached under this accounting.
    pub(super) const fn attached(self, accounting: Accounting) -> bool {
        match self {
            Self::Needed => matches!(accounting, Accounting::PerTask),
            Self::Always => true,
            Self::Never => false,
        }
    }
}

/// Bytes that one mm takes per CPU (`SEEN`; on per-task accounting `PEAKS`).
const BYTES_PER_CPU: u64 = 16;
/// Fewest mms: a host that is idle at start is not always.
const MIN_MMS: u64 = 4096;
/// Memory for the words per CPU unless told otherwise.
const DEFAULT_MEMORY: u64 = 64 << 20;

impl FullOptions {
    /// How many mms the maps hold on a host with `cpus` CPU numbers and `live` mms.
    #[must_use]
    pub fn capacity(&self, cpus: u32, live: usize) -> u32 {
        let memory = self.max_memory.unwrap_or(DEFAULT_MEMORY);
        let of_all_cpus = BYTES_PER_CPU * u64::from(cpus.max(1));
        let most = (memory / of_all_cpus).max(1);
        // Who asks for more than a table has room for is told; nobody else is to lose full mode for it.
        let room = tables::MOST_BYTES / of_all_cpus;
        let wanted = self.max_mms.map_or((2 * live as u64).max(MIN_MMS).min(room), u64::from);
        u32::try_from(wanted.min(most)).unwrap_or(u32::MAX)
    }
}

/// Pages per member at which a slot publishes on per-task accounting, where a fault brings up to 16 pages at once: what is less would spare
/// atomic operations, and hide pages from other CPUs.
const PER_TASK_THRESHOLD: u64 = 16;

/// The figures that the BPF programs are told.
pub(super) fn config(
    kernel: &Kernel,
    options: &FullOptions,
    capacity: u32,
    cast: Option<Cast>,
) -> ShadowConfig {
    let threshold = match (options.publish, kernel.accounting) {
        (Publish::EveryUpdate, _) => 1,
        (Publish::Batches, Accounting::PerCpu) => kernel.cpus.batch(),
        (Publish::Batches, Accounting::PerTask) => PER_TASK_THRESHOLD,
    };
    ShadowConfig {
        max_mms: capacity,
        threshold: u32::try_from(threshold).unwrap_or(u32::MAX),
        word_type: cast.map_or(0, |cast| cast.word),
        mm_type: cast.map_or(0, |cast| cast.mm),
        cpus: kernel.layout.cpu_ids.max(1),
        seen: match kernel.accounting {
            Accounting::PerCpu => kernel.layout.cpu_ids.max(1).saturating_mul(capacity),
            Accounting::PerTask => 1,
        },
    }
}

/// Sizes the maps of full mode.
pub(super) fn size_maps(loader: &mut EbpfLoader<'_>, kernel: &Kernel, options: &FullOptions, capacity: u32) {
    let cpus = kernel.layout.cpu_ids.max(1);
    if options.run.is_some() {
        run::size_maps(loader, cpus, capacity);
    }
    loader
        .map_max_entries("STATES", capacity)
        .map_max_entries("INDEX", capacity)
        .map_max_entries("FREE", capacity)
        .map_max_entries("LIMBO", capacity);
    if kernel.accounting == Accounting::PerTask {
        pertask::size_maps(loader, cpus, capacity);
    }
}

/// Fills the maps: where each CPU's memory lies (per-cpu accounting), and every index as free.
pub(super) fn fill_maps(ebpf: &mut Ebpf, offsets: &[(u32, u64)], capacity: u32) -> Result<(), ProbeError> {
    let mut cpus: Vec<Cpu> = tables::read(ebpf, tables::CPUS)?;
    for &(cpu, offset) in offsets {
        if let Some(cpu) = cpus.get_mut(cpu as usize) {
            cpu.offset = offset;
        }
    }
    tables::write(ebpf, tables::CPUS, &cpus)?;
    let mut free = stack_mut::<u32>(ebpf, "FREE")?;
    // From the top, so that the lowest indices are used first: what is never used is never touched.
    for index in (0..capacity).rev() {
        free.push(index, 0).map_err(failed("FREE"))?;
    }
    Ok(())
}

/// Tells the BPF programs the largest |drift| of the approximate reader, in pages.
pub(super) fn set_bound(ebpf: &mut Ebpf, bound: u64) -> Result<(), ProbeError> {
    maps::set(ebpf, "BOUND", 0, bound)
}

/// The log of the BPF programs. Without it everything goes on: what it says is counted too.
pub(super) fn log(ebpf: &mut Ebpf) -> Option<EbpfLogger<&'static dyn log::Log>> {
    EbpfLogger::init(ebpf)
        .inspect_err(|error| log::warn!("cannot read the log of the BPF programs: {error}"))
        .ok()
}

/// What ends of mms are seen by.
const MMDROP: &str = "__mmdrop";
const EXIT_MMAP: &str = "exit_mmap";
const NEWTASK: &str = "task_newtask";

/// How the end of an mm is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndOfMm {
    /// fentry on `__mmdrop`: the last moment of every mm.
    Mmdrop,
    /// The tracepoint `mmap:exit_mmap`, where a kernel or its security module has no fentry: all of the mm is unmapped
    /// then. An mm without mappings has no such event up to 6.18: the sweep finds it, or a new mm at its address.
    ExitMmap,
    /// Neither (5.10 without fentry): a state whose mm no task has, without an event for a while, is swept away, and a new mm
    /// at the same address begins with a state of its own. No end is checked for a residue.
    Unseen,
}

impl EndOfMm {
    /// The words in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mmdrop => "fentry on __mmdrop",
            Self::ExitMmap => "tracepoint exit_mmap",
            Self::Unseen => "a sweep",
        }
    }
}

/// How ends are seen, and why no better.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    pub(super) seen_by: EndOfMm,
    /// Set where fentry was tried in vain.
    pub(super) no_fentry: Option<NoFentry>,
}

/// What is loaded, in the order in which that is begun.
pub(super) fn jobs(kernel: &Kernel, options: &FullOptions, scheme: &Scheme) -> Vec<Job> {
    let needed = |(name, target)| Job { name, target, refused: Refused::Fails };
    let exit_mmap = Job { name: scheme.exit_mmap, target: EXIT_MMAP, refused: Refused::Instead(Vec::new()) };
    let without_fentry: Vec<Job> = scheme
        .newtask
        .map(|newtask| needed((newtask, NEWTASK)))
        .into_iter()
        .chain((!options.hidden.exit_mmap).then_some(exit_mmap))
        .collect();
    // Whether it is refused is known at once, and decides what else there is to do.
    let mut jobs = if options.hidden.fentry {
        without_fentry
    } else {
        vec![Job { name: scheme.mmdrop, target: MMDROP, refused: Refused::Instead(without_fentry) }]
    };
    jobs.push(needed((scheme.reader, EACH_TASK)));
    // The last to be attached, which create states, are the largest.
    jobs.extend(events(kernel.accounting, options, scheme).into_iter().rev().map(needed));
    if kernel.accounting == Accounting::PerTask {
        // For `--where`.
        jobs.push(needed((TASKS, EACH_TASK)));
    }
    jobs
}

/// The BPF programs of the events with their tracepoints, in the order in which they are attached.
fn events(
    accounting: Accounting,
    options: &FullOptions,
    scheme: &Scheme,
) -> Vec<(&'static str, &'static str)> {
    let faults = options.faults.attached(accounting);
    // Behind the scheme's: whose an mm is can be said when it has a state.
    let of_run = if options.run.is_some() { run::EVENTS } else { &[] };
    let wanted = |tracepoint: &str| faults || !tracepoint.starts_with("page_fault");
    scheme.events.iter().chain(of_run).copied().filter(|(_, tracepoint)| wanted(tracepoint)).collect()
}

/// Attaches the loaded BPF programs of the events; who ends states comes before who creates them.
pub(super) fn attach(
    ebpf: &mut Ebpf,
    btf: &Btf,
    kernel: &Kernel,
    options: &FullOptions,
    scheme: &Scheme,
    refusals: Refusals,
) -> Result<Ends, ProbeError> {
    let ends = attach_end(ebpf, btf, &kernel.release, options, scheme, refusals)?;
    for (name, tracepoint) in events(kernel.accounting, options, scheme) {
        attach_one(ebpf, btf, name, tracepoint, &kernel.release)?;
    }
    Ok(ends)
}

/// Who ends states: the best that works on this kernel.
fn attach_end(
    ebpf: &mut Ebpf,
    btf: &Btf,
    kernel: &str,
    options: &FullOptions,
    scheme: &Scheme,
    mut refusals: Refusals,
) -> Result<Ends, ProbeError> {
    let mut no_fentry = None;
    if !options.hidden.fentry {
        no_fentry = attach_fentry(ebpf, btf, kernel, scheme, refusals.remove(scheme.mmdrop))?;
        if no_fentry.is_none() {
            return Ok(Ends { seen_by: EndOfMm::Mmdrop, no_fentry });
        }
    }
    if let Some(newtask) = scheme.newtask {
        attach_one(ebpf, btf, newtask, NEWTASK, kernel)?;
    }
    if !options.hidden.exit_mmap {
        let refused = refusals.remove(scheme.exit_mmap);
        match attach_unless(refused, ebpf, btf, (scheme.exit_mmap, EXIT_MMAP), kernel) {
            Ok(()) => return Ok(Ends { seen_by: EndOfMm::ExitMmap, no_fentry }),
            Err(error) => log::info!("cannot attach to the tracepoint exit_mmap: {error}"),
        }
    }
    Ok(Ends { seen_by: EndOfMm::Unseen, no_fentry })
}

/// Attaches a BPF program, unless the kernel has refused it before.
fn attach_unless(
    refused: Option<ProbeError>,
    ebpf: &mut Ebpf,
    btf: &Btf,
    (name, target): (&'static str, &str),
    kernel: &str,
) -> Result<(), ProbeError> {
    refused.map_or_else(|| attach_one(ebpf, btf, name, target, kernel), Err)
}

/// Attaches fentry on `__mmdrop` where it works; else why it does not. `refused`: the kernel did not load it.
fn attach_fentry(
    ebpf: &mut Ebpf,
    btf: &Btf,
    kernel: &str,
    scheme: &Scheme,
    refused: Option<ProbeError>,
) -> Result<Option<NoFentry>, ProbeError> {
    if let Err(error) = attach_unless(refused, ebpf, btf, (scheme.mmdrop, MMDROP), kernel) {
        log::info!("cannot attach fentry to __mmdrop: {error}");
        return Ok(Some(NoFentry::Refused));
    }
    match fentry::fires(ebpf) {
        Ok(true) => Ok(None),
        Ok(false) => {
            log::info!("{}", NoFentry::Silent);
            let Some(Program::FEntry(program)) = ebpf.program_mut(scheme.mmdrop) else {
                return Err(ProbeError::Missing(scheme.mmdrop));
            };
            program.unload().map_err(|error| ProbeError::program(kernel, scheme.mmdrop, error))?;
            Ok(Some(NoFentry::Silent))
        }
        Err(error) => {
            // A limit of processes may forbid the child: most kernels' fentry fires.
            log::info!("cannot test fentry on __mmdrop: {error}");
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacity_follows_the_mms_and_stays_within_memory() {
        let options = FullOptions::default();
        assert_eq!(options.capacity(2, 30), 4096);
        assert_eq!(options.capacity(2, 10_000), 20_000);
        assert_eq!(options.capacity(256, 100_000), 16_384);
        assert_eq!(FullOptions { max_mms: Some(64), ..options }.capacity(2, 10_000), 64);
        assert_eq!(FullOptions { max_memory: Some(1 << 20), ..options }.capacity(256, 10_000), 256);
        let large = FullOptions { max_memory: Some(1 << 40), ..options };
        assert_eq!(large.capacity(256, 1_000_000), 131_072);
        assert_eq!(FullOptions { max_mms: Some(1 << 22), ..large }.capacity(256, 10), 1 << 22);
    }
}
