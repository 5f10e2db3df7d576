//! Loading the BPF programs: layout in, verified, CPUs found.

use std::{num::NonZero, thread};

use aya::{Btf, Ebpf, EbpfLoader, Endianness};
use procfs::{Current as _, Meminfo};
use rss_drift_common::Layout;

use super::{
    error::ProbeError,
    full::{self, FullOptions},
    handle::{Full, Probe},
    heap::give_memory_back,
    holders::SlotReader,
    link::{Known, OBJECT, link},
    loader::loader,
    maps::{Value, array_mut, failed},
    parallel::load_all,
    programs::{TASKS, iterator, load_iterator},
    reader::Reader,
    run,
    scheme::{Scheme, percpu},
    stream::Stream,
};
use crate::{
    kernel::{Accounting, Cast, Kernel, btf::blob_of, room},
    proc::CgroupVersion,
};

impl Probe {
    /// Loads what passive mode needs on `kernel`.
    ///
    /// # Errors
    /// When the kernel refuses a BPF program: the text holds the end of the verifier's log.
    pub fn open(kernel: &Kernel) -> Result<Self, ProbeError> {
        let (layout, cgroup_version) = with_cgroups(&kernel.layout);
        let known = Known { layout, lines: lines_are_wanted(), ..Known::default() };
        let mut ebpf = load(&mut loader(kernel), &known)?;
        let btf = targets(kernel)?;
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
            reader: Reader::passive(kernel.accounting, program),
            slots: SlotReader::new(kernel),
            kernel: kernel.release.clone(),
            cgroup_version,
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
            without
                .flatten()
                .inspect(|_| log::info!("the BPF programs use a helper instead of a cast: {error}"))
                .ok_or(error)
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
        let capacity = options.capacity(kernel.layout.cpu_ids, live);
        let config = full::config(kernel, options, capacity, cast);
        let (layout, cgroup_version) = with_cgroups(&kernel.layout);
        let known = Known {
            layout,
            config,
            run: run::layout(options.run)?,
            lines: lines_are_wanted(),
            rdonly_cast: cast.map_or(0, |cast| cast.function),
        };
        let mut loader = loader(kernel);
        full::size_maps(&mut loader, kernel, options, capacity);
        let mut ebpf = load(&mut loader, &known)?;
        let btf = targets(kernel)?;
        let jobs = full::jobs(kernel, options, scheme);
        let refusals = load_all(&mut ebpf, &btf, &kernel.release, jobs, threads())?;
        let offsets = match kernel.accounting {
            Accounting::PerCpu => find_cpus(&mut ebpf, kernel, &btf)?,
            Accounting::PerTask => Vec::new(),
        };
        full::fill_maps(&mut ebpf, &offsets, capacity)?;
        full::set_bound(&mut ebpf, bound)?;
        let log = full::log(&mut ebpf);
        let ends = full::attach(&mut ebpf, &btf, kernel, options, scheme, refusals)?;
        Ok(Self {
            ebpf,
            accounting: kernel.accounting,
            reader: Reader::full(kernel.accounting, scheme.reader),
            slots: SlotReader::new(kernel),
            kernel: kernel.release.clone(),
            cgroup_version,
            full: Some(Full {
                capacity,
                ends,
                faults: options.faults.attached(kernel.accounting),
                bound,
                log,
            }),
        })
    }
}

/// The layout with the choice which control groups' ids the records have, and of which version these are: none where the way to them
/// is not known.
fn with_cgroups(layout: &Layout) -> (Layout, Option<CgroupVersion>) {
    let version = CgroupVersion::of_host().filter(|version| match version {
        CgroupVersion::One => layout.css_set_memory != 0,
        CgroupVersion::Two => layout.task_cgroups != 0,
    });
    let cgroup_version = match version {
        None => 0,
        Some(CgroupVersion::One) => 1,
        Some(CgroupVersion::Two) => 2,
    };
    (Layout { cgroup_version, ..*layout }, version)
}

/// The maps made and the BPF programs ready to be loaded, by what is known of this kernel.
fn load(loader: &mut EbpfLoader<'_>, known: &Known) -> Result<Ebpf, ProbeError> {
    let object = link(OBJECT, known)?;
    let ebpf = loader.load(bytemuck::cast_slice(&object))?;
    drop(object);
    // The object in pieces is gone, and what comes next is as large.
    give_memory_back();
    Ok(ebpf)
}

/// Threads to load BPF programs with: as many as run at once, and as the control group, and half of what the host has left, have memory
/// for, because what the verifier takes it takes for each.
fn threads() -> usize {
    let cpus = thread::available_parallelism().map_or(1, NonZero::get);
    let group = room::of_this_process().map_or(u64::MAX, |room| room.bytes);
    let host = Meminfo::current().ok().and_then(|memory| memory.mem_available).unwrap_or(u64::MAX);
    let rooms = group.min(host / 2) / room::FULL_MODE_NEEDS;
    usize::try_from(rooms).map_or(cpus, |rooms| cpus.min(rooms)).max(1)
}

/// What the BPF programs attach to, as aya looks it up. Megabytes, so it is made only when the object is in the kernel.
fn targets(kernel: &Kernel) -> Result<Btf, ProbeError> {
    Ok(Btf::parse(&blob_of(&kernel.targets), Endianness::default())?)
}

/// Whether the kernel is told source lines, with `-vv`: bpftool shows them. (The verifier's statistics and last words have none.)
fn lines_are_wanted() -> bool {
    log::log_enabled!(log::Level::Debug)
}

/// Learns each possible CPU's `__per_cpu_offset` and hands them to the reading BPF program.
fn find_cpus(ebpf: &mut Ebpf, kernel: &Kernel, btf: &Btf) -> Result<Vec<(u32, u64)>, ProbeError> {
    const PROGRAM: &str = "rss_cpu_offsets";
    const CPU_OFFSETS: &str = "CPU_OFFSETS";
    load_iterator(ebpf, PROGRAM, btf, &kernel.release)?;
    let bytes = Stream::new(PROGRAM).read(ebpf)?;
    let offsets = percpu::offsets(&bytes, &kernel.cpus.possible)
        .map_err(|cpu| ProbeError::NoOffset(cpu, kernel.release.clone()))?;
    let mut array = array_mut(ebpf, CPU_OFFSETS)?;
    for (index, &(_, offset)) in (0..).zip(&offsets) {
        array.set(index, Value(offset), 0).map_err(failed(CPU_OFFSETS))?;
    }
    // It has done its work: what is not needed does not stay in the kernel.
    iterator(ebpf, PROGRAM)?
        .unload()
        .map_err(|error| ProbeError::program(&kernel.release, PROGRAM, error))?;
    Ok(offsets)
}
