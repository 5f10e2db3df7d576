//! The maps of the shadow.

use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
    macros::map,
    maps::{Array, HashMap, Queue, Stack},
};
use rss_drift_common::{
    MEMBERS,
    protocol::limbo::Waiting,
    running::{Peak, Running, Seed},
    shadow::{Cpu, Shared, State},
};

use super::{
    table::Table,
    word::{Bpf, Word},
};

/// The largest |drift| of the approximate reader, in pages. Not a constant: user space sets it again when the online CPUs change.
#[map]
pub static BOUND: Array<Word<u64>> = Array::with_max_entries(1, 0);

/// With this flag the first value of an array begins at a page, and so at a cache line;
/// without it 16 bytes later (`kernel/bpf/arraymap.c:array_map_alloc`, since 5.5).
const ALIGNED: u32 = BPF_F_MMAPABLE;

/// One element per CPU number.
#[unsafe(link_section = ".bss.cpus")]
pub static CPUS: Table<Cpu<Bpf>> = Table::new();

/// The states of mms by index.
#[map]
pub static STATES: Array<State<Bpf>> = Array::with_max_entries(1, ALIGNED);

/// From an mm's address to the index of its state. An entry never outlives its mm.
#[map]
pub static INDEX: HashMap<u64, u32> = HashMap::with_max_entries(1, 0);

/// Free indices. User space puts all of them in before anything is attached.
#[map]
pub static FREE: Stack<u32> = Stack::with_max_entries(1, 0);

/// Not 0 while [`FREE`] is empty, so that no CPU asks for its lock. Who puts an index there clears this, user space too.
#[map]
pub static FULL: Array<Word<u64>> = Array::with_max_entries(1, 0);

/// Indices that wait until they are free again: the reader frees them, or user space (per-task accounting).
#[map]
pub static LIMBO: Queue<Waiting> = Queue::with_max_entries(1, 0);

/// The kernel's slots as last seen, by CPU number times `max_mms` plus index: the words of one CPU are
/// together, and share with those of another only the cache line at their border.
#[unsafe(link_section = ".bss.seen")]
pub static SEEN: Table<[Word<i32>; MEMBERS]> = Table::new();

/// One element.
#[map]
pub static SHARED: Array<Shared<Bpf>> = Array::with_max_entries(1, 0);

/// The task that each CPU runs, by CPU number; per-task accounting.
#[map]
pub static RUNNING: Array<Running<Bpf>> = Array::with_max_entries(1, 0);

/// Peaks by CPU number times `max_mms` plus index, each with one writer; per-task accounting.
#[map]
pub static PEAKS: Array<Peak<Bpf>> = Array::with_max_entries(1, 0);

/// The seed of each state, by its index. User space writes it, and a BPF
/// program for an mm that no task has used yet. per-task accounting.
#[map]
pub static SEEDS: Array<Seed<Bpf>> = Array::with_max_entries(1, 0);

/// A setting of the shadow, put in before loading.
macro_rules! config {
    ($member:ident) => {
        $crate::kernel::figure!(rss_drift_common::shadow::ShadowConfig, $member)
    };
}
pub(crate) use config;

/// The value of an array at an index.
#[inline(always)]
pub fn value<T>(map: &Array<T>, index: u32) -> Option<&T> {
    // SAFETY: a value of an array of ours, which lives as long as the program that runs. All of its words allow to be changed by
    // others.
    map.get_ptr(index).map(|value| unsafe { &*value })
}

/// The place of the words of one CPU for one state among those of all CPUs.
#[inline(always)]
pub fn place(cpu: u32, index: u32) -> u32 {
    cpu.wrapping_mul(config!(max_mms)).wrapping_add(index)
}
