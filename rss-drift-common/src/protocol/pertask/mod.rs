//! per-task accounting: a cache of four counts in each task (`SPLIT_RSS_COUNTING`, mainline up to 6.1).
//!
//! 5.10's verifier refuses every atomic that returns a value, and 5.10 has no `bpf_loop`.
//! So a word has one writer (a CPU's record, its peaks), or is only added to (the totals),
//! or is stored again until it equals the kernel's word (the mirror of the mm's counts).
//!
//! [`events`] is what the BPF programs of the tracepoints do, [`look`] turns a task's cached counts into deltas,
//! [`counts`] follows the mm's own counters, [`life`] makes and ends states, [`reader`] is the iterator.

pub mod counts;
pub mod events;
pub mod life;
pub mod look;
pub mod reader;

use crate::{
    member::Pages,
    memory::Memory,
    running::{Peak, Running, Seed},
    slot::Deltas,
};

/// The memory of per-task accounting: what the CPUs' tasks have, and the mm's own counts.
pub trait PerTask: Memory<Mm = u64> {
    /// The task that a CPU runs.
    fn running(&self, cpu: u32) -> Option<&Running<Self::Words>>;
    /// The largest figures of a state that a CPU saw.
    fn peak(&self, cpu: u32, index: u32) -> Option<&Peak<Self::Words>>;
    /// The seed of a state: what it counts from.
    fn seed(&self, index: u32) -> Option<&Seed<Self::Words>>;
    /// The count of one member of the mm at this address.
    fn count(&self, mm: u64, member: u32) -> Option<i64>;
    /// The four counts of the mm at this address.
    fn counts(&self, mm: u64) -> Option<Pages>;
}

/// One task at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its address.
    pub address: u64,
    /// Its mm; 0 is none.
    pub mm: u64,
    /// Its cached counts (`task_struct.rss_stat.count`), in pages.
    pub counts: Deltas,
}
