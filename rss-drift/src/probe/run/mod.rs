//! What the BPF programs count for `rss-drift run`: told whom to measure, and read.

pub(super) mod sites;
pub(super) mod totals;

use aya::EbpfLoader;
use rss_drift_common::run::RunLayout;

use crate::kernel::{Kernel, KernelError};
pub use sites::{Chain, Chains};
pub use totals::RunTotals;

/// The BPF programs with their tracepoints, in the order in which they are attached.
pub(super) static EVENTS: &[(&str, &str)] = &[
    ("run_exit", "sched_process_exit"),
    ("run_exec", "sched_process_exec"),
    ("run_newtask", "task_newtask"),
];

const TASKS: &str = "RUN_TASKS";
const STATES: &str = "RUN_STATES";
const CPUS: &str = "RUN_CPUS";
const SHARED: &str = "RUN_SHARED";

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
