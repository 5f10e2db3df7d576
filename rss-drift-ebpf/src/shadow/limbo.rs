//! Where a state waits that is given up although its mm may live: a program on another CPU can be in the middle of an event
//! of it. The entry in the hash is gone and the id is 0, so that nobody finds it any more; whoever found it before is long
//! done when the index is free again.

use aya_ebpf::helpers::generated::bpf_ktime_get_ns;

use super::{lifecycle, maps};
use crate::repeat::{GO_ON, STOP, repeat};

/// Nanoseconds that a state waits: a program runs for some microseconds, and may be preempted on 7.2.
const WAIT: u64 = 1_000_000_000;
/// States that one reading frees.
const AT_ONCE: u32 = 4096;

/// A state that waits.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Waiting {
    /// Since when, by `bpf_ktime_get_ns`.
    since: u64,
    /// Its index.
    index: u64,
}

/// The state at `index` waits from now on.
#[inline(always)]
pub fn enter(index: u32) {
    let waiting = Waiting { since: now(), index: u64::from(index) };
    // It has room for every index, and an index is in it at most once.
    let _ = maps::LIMBO.push(waiting, 0);
}

/// Frees the states that have waited long enough: the oldest come first. There is one reader, and only it calls this.
#[inline(always)]
pub fn release() {
    let mut now = now();
    repeat(AT_ONCE, &mut now, release_oldest);
}

/// The oldest of them.
#[inline(never)]
extern "C" fn release_oldest(_: u32, now: &mut u64) -> i64 {
    let Ok(Some(oldest)) = maps::LIMBO.peek() else { return STOP };
    if oldest.since + WAIT > *now {
        return STOP;
    }
    let Ok(Some(oldest)) = maps::LIMBO.pop() else { return STOP };
    #[expect(clippy::cast_possible_truncation, reason = "it was made from an index of 32 bits")]
    let index = oldest.index as u32;
    let Some(state) = maps::state(index) else { return STOP };
    // SAFETY: a map value.
    unsafe { lifecycle::free(state, index) };
    GO_ON
}

/// Nanoseconds since boot.
#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: no preconditions.
    unsafe { bpf_ktime_get_ns() }
}
