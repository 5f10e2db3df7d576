//! Rare events, for the daemon's log.
//!
//! Each is a global function: the verifier walks it once, and not once for each state of each caller. (A
//! message is hundreds of instructions, which were half of what the verifier walked for full mode's reader.)

use aya_ebpf::helpers::generated::bpf_get_current_pid_tgid;
use aya_log_ebpf::{info, warn};

/// An update of an mm that gets no state: the map is full. Written at the
/// 1st, 2nd, 4th, 8th, .. of a CPU, so that a full map does not fill the log.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn report_refused(count: u64) -> u64 {
    if count.is_power_of_two() {
        info!((), "no room for the mm of process {}: {} updates refused on this CPU", current(), count);
    }
    0
}

/// An mm that ended with a residue: an error of rss-drift. `tgid` is 0 if no reading visited the mm.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn report_residue(tgid: u64, pages: u64) -> u64 {
    warn!((), "the mm of process {} left a residue of {} pages, by process {}", tgid, pages, current());
    0
}

/// Words that could not be read or kept changing, so that their deltas are left to the next refresh.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn report_unsettled(tgid: u64, words: u64) -> u64 {
    info!((), "{} words of the mm of process {} did not hold still while they were refreshed", words, tgid);
    0
}

/// The thread group that runs.
#[inline(always)]
fn current() -> u64 {
    // SAFETY: no preconditions.
    unsafe { bpf_get_current_pid_tgid() >> 32 }
}
