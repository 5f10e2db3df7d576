//! Where a state waits that was given up while a BPF program on another CPU may be in the middle of an event of
//! its mm. The entry in the hash is gone and the id is 0, so nobody finds the state any more. Whoever found it
//! before is long done when the index is free again. The reader frees it; on per-task accounting user space does.

use super::percpu::PerCpu;
use crate::memory::{Memory, Next, Step};

/// Nanoseconds that a state waits: a BPF program runs for some microseconds, and may be preempted on 7.2.
pub const WAIT: u64 = 1_000_000_000;
/// States that one reading frees.
const AT_ONCE: u32 = 4096;

/// A state that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Waiting {
    /// Since when, by `bpf_ktime_get_ns`.
    pub since: u64,
    /// Its index, or [`LOST`].
    pub index: u64,
}

/// The state at `index` waits from now on.
#[inline(always)]
pub fn enter<M: Memory>(memory: &M, index: u32) {
    memory.wait(Waiting { since: memory.now(), index: u64::from(index) });
}

/// In the place of an index: there is a state without an entry, though its mm did not end. On per-task accounting user space looks
/// for the state; else its index is not used again. The mm gets another state at its next event on a CPU that does not hold it.
pub const LOST: u64 = u64::MAX;

/// Reports that there is a state without an entry ([`LOST`]).
#[inline(always)]
pub fn lose<M: Memory>(memory: &M) {
    memory.wait(Waiting { since: memory.now(), index: LOST });
}

/// Frees the states that have waited long enough, the oldest first. There is one reader, and only the reader calls this.
#[inline(always)]
pub fn release<M: PerCpu>(memory: &M) {
    memory.repeat(AT_ONCE, &mut Release { now: memory.now() });
}

/// Frees the oldest of them.
struct Release {
    now: u64,
}

impl<M: PerCpu> Step<M> for Release {
    #[inline(always)]
    fn step(&mut self, memory: &M, _: u32) -> Next {
        let Some(oldest) = memory.oldest() else { return Next::Stop };
        if oldest.since + WAIT > self.now {
            return Next::Stop;
        }
        let Some(oldest) = memory.take_oldest() else { return Next::Stop };
        if oldest.index != LOST {
            #[expect(clippy::cast_possible_truncation, reason = "it was made from an index of 32 bits")]
            memory.free(oldest.index as u32);
        }
        Next::GoOn
    }
}
