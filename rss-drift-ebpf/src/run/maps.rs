//! The maps of `run`.

use aya_ebpf::{
    macros::map,
    maps::{Array, HashMap},
};
use rss_drift_common::run::{RunCpu, RunShared, RunState};

/// The thread groups that are measured and live.
#[map]
pub static RUN_TASKS: HashMap<u32, u32> = HashMap::with_max_entries(1, 0);

/// By the index of a state.
#[map]
static RUN_STATES: Array<RunState> = Array::with_max_entries(1, 0);

/// By CPU number.
#[map]
static RUN_CPUS: Array<RunCpu> = Array::with_max_entries(1, 0);

/// One element.
#[map]
static RUN_SHARED: Array<RunShared> = Array::with_max_entries(1, 0);

/// A setting of `run`, put in before loading.
macro_rules! run {
    ($member:ident) => {
        $crate::kernel::figure!(rss_drift_common::run::RunLayout, $member)
    };
}
pub(super) use run;

/// Whether this is `rss-drift run`.
#[inline(always)]
pub fn on() -> bool {
    run!(enabled) != 0
}

/// Whether every process of the host is measured.
#[inline(always)]
pub fn system() -> bool {
    run!(system) != 0
}

/// What is kept of the mm whose state is at an index.
#[inline(always)]
pub fn state(index: u32) -> Option<*mut RunState> {
    RUN_STATES.get_ptr_mut(index)
}

/// As [`state`], of a measured mm.
#[inline(always)]
pub fn measured(index: u32) -> Option<*mut RunState> {
    let state = state(index)?;
    // SAFETY: a map value.
    if system() || unsafe { (*state).measured } != 0 { Some(state) } else { None }
}

/// What belongs to a CPU.
#[inline(always)]
pub fn cpu(number: u32) -> Option<*mut RunCpu> {
    RUN_CPUS.get_ptr_mut(number)
}

/// What all CPUs share.
#[inline(always)]
pub fn shared() -> Option<*mut RunShared> {
    RUN_SHARED.get_ptr_mut(0)
}
