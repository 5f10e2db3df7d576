//! Facts about the running kernel: its types, its accounting of RSS, its tunables, and whether measuring can work.

pub mod accounting;
pub mod btf;
mod cast;
pub mod charge;
pub mod checks;
pub mod hierarchies;
mod layout;
pub mod meminfo;
pub mod oom_group;
pub mod privileges;
pub mod refusal;
pub mod rfc;
pub mod room;
mod run_layout;
pub mod symbols;
pub mod tunables;

use std::io;

pub use accounting::Accounting;
pub use cast::Cast;
use rss_drift_common::{Layout, run::RunLayout};
use tunables::{Cpus, FaultAround, TunableError};

/// Why the running kernel cannot be measured.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// No type information, or one that lacks what is needed.
    #[error("kernel {release}: {error}")]
    Btf { release: String, error: btf::BtfError },
    /// A figure of the host could not be had.
    #[error(transparent)]
    Tunable(#[from] TunableError),
}

impl KernelError {
    /// Whether a file of types is not the running kernel's.
    #[must_use]
    pub const fn is_of_a_file(&self) -> bool {
        matches!(self, Self::Btf { error: btf::BtfError::Refused { .. }, .. })
    }

    /// What the kernel answered instead of a file's content.
    #[must_use]
    pub fn unread(&self) -> Option<&io::Error> {
        match self {
            Self::Btf { error: btf::BtfError::Unreadable { error, .. }, .. }
            | Self::Tunable(TunableError::Unreadable { error, .. }) => Some(error),
            _ => None,
        }
    }
}

/// What the BPF programs attach to, by kind and name: `kernel/bpf/task_iter.c` declares a function for its iterator.
/// The others are full mode's tracepoints, each a typedef of its own, the end of an mm, and a function that is called.
const TARGETS: &[(btf::Kind, &str)] = &[
    (btf::Kind::Function, "bpf_iter_task"),
    (btf::Kind::Typedef, "btf_trace_rss_stat"),
    (btf::Kind::Typedef, "btf_trace_sched_switch"),
    (btf::Kind::Typedef, "btf_trace_sched_process_exec"),
    (btf::Kind::Typedef, "btf_trace_task_newtask"),
    (btf::Kind::Typedef, "btf_trace_sched_process_exit"),
    (btf::Kind::Typedef, "btf_trace_page_fault_user"),
    (btf::Kind::Typedef, "btf_trace_page_fault_kernel"),
    (btf::Kind::Typedef, "btf_trace_exit_mmap"),
    (btf::Kind::Function, "__mmdrop"),
    (btf::Kind::Function, Cast::FUNCTION),
];

/// What the probe has to know of the running kernel.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// Release as uname(2) gives it; only ever printed.
    pub release: String,
    /// How it accounts RSS.
    pub accounting: Accounting,
    /// Where its structs have what we read.
    pub layout: Layout,
    /// What the BPF programs attach to.
    pub targets: Vec<btf::Target>,
    /// How they load a word by its address; per-cpu accounting only, `None` where the kernel has no way but a helper.
    pub cast: Option<Cast>,
    /// Its CPUs at start.
    pub cpus: Cpus,
    pub page_size: u64,
    /// What one fault on a file can map at once, at start.
    pub fault_around: FaultAround,
}

impl Kernel {
    /// Finds everything out: BTF, CPUs, page size.
    pub fn detect() -> Result<Self, KernelError> {
        let release = release();
        let cpus = Cpus::read()?;
        let btf_error = |error| KernelError::Btf { release: release.clone(), error };
        let data = btf::read(&release).map_err(btf_error)?;
        let (accounting, mut layout, targets, cast) = btf::Btf::parse(&data)
            .and_then(|btf| {
                let (accounting, layout) = layout::resolve(&btf)?;
                let targets = btf.targets(TARGETS);
                let cast = match accounting {
                    Accounting::PerCpu if layout.counter_has_slots != 0 => Cast::find(&btf, &targets)?,
                    _ => None,
                };
                Ok((accounting, layout, targets, cast))
            })
            .map_err(btf_error)?;
        layout.cpus = u32::try_from(cpus.possible.len()).unwrap_or(u32::MAX);
        layout.cpu_ids = cpus.possible.last().map_or(0, |&last| last + 1);
        Ok(Self {
            release,
            accounting,
            layout,
            targets,
            cast,
            cpus,
            page_size: tunables::page_size(),
            fault_around: FaultAround::read(),
        })
    }

    /// Where its structs have what only `run` reads: asked for then, because the others start without it.
    ///
    /// # Errors
    /// When a member is missing or of another type.
    pub fn run_layout() -> Result<RunLayout, KernelError> {
        let release = release();
        let btf_error = |error| KernelError::Btf { release: release.clone(), error };
        let data = btf::read(&release).map_err(btf_error)?;
        btf::Btf::parse(&data).and_then(|btf| run_layout::resolve(&btf)).map_err(btf_error)
    }

    /// Whether updates are cached anywhere: a `percpu_counter` of a kernel without `CONFIG_SMP` is its count alone.
    #[must_use]
    pub const fn caches(&self) -> bool {
        matches!(self.accounting, Accounting::PerTask) || self.layout.counter_has_slots != 0
    }
}

/// Release of the running kernel; "unknown" where uname(2) does not say.
#[must_use]
pub fn release() -> String {
    nix::sys::utsname::uname()
        .map_or_else(|_| "unknown".to_owned(), |name| name.release().to_string_lossy().into_owned())
}
