//! Where the shadow stands.

use aya_ebpf::{
    macros::map,
    maps::{Array, HashMap, Queue, Stack},
};
use rss_drift_common::{
    MEMBERS,
    shadow::{Cpu, ShadowConfig, State},
};

use super::limbo::Waiting;

/// Put in by user space before loading; constant to the verifier.
#[unsafe(no_mangle)]
pub static CONFIG: ShadowConfig =
    ShadowConfig { bound: 0, max_mms: 0, threshold: 0, word_type: 0, unused: 0 };

/// One element per CPU number.
#[map]
pub static CPUS: Array<Cpu> = Array::with_max_entries(1, 0);

/// The states of mms by index.
#[map]
pub static STATES: Array<State> = Array::with_max_entries(1, 0);

/// From an mm's address to the index of its state. An entry never outlives its mm.
#[map]
pub static INDEX: HashMap<u64, u32> = HashMap::with_max_entries(1, 0);

/// Indices that are free; user space puts all of them in before anything is attached.
#[map]
pub static FREE: Stack<u32> = Stack::with_max_entries(1, 0);

/// Indices that are free after a while; per-cpu accounting.
#[map]
pub static LIMBO: Queue<Waiting> = Queue::with_max_entries(1, 0);

/// The kernel's slots as last seen, by CPU number times `max_mms` plus index: each CPU's words lie together, and none
/// shares a cache line with another CPU's.
#[map]
pub static SEEN: Array<[i32; MEMBERS]> = Array::with_max_entries(1, 0);

/// Words of the whole shadow.
#[repr(C)]
pub struct Shared {
    /// The id that the last state got.
    pub last_id: i64,
    /// What the reader works on: index of the state plus 1.
    pub reading: u64,
    /// Always 0, see [`zero`].
    pub zero: i64,
    /// Number of this reading.
    pub pass: u64,
    /// Mms that this reading visited.
    pub visited: u64,
    /// A state that ended while the reader worked on it, index plus 1: what the reader read may not be in its totals yet, and what it
    /// reads may be of another mm. So it is the reader that frees it, when it is done, and nobody looks for a rest.
    pub orphan: u64,
}

/// One element.
#[map]
pub static SHARED: Array<Shared> = Array::with_max_entries(1, 0);

/// A figure of [`CONFIG`]. Volatile, or the compiler would fold the zeroes that it sees into the code.
macro_rules! config {
    ($member:ident) => {
        $crate::kernel::constant(&raw const $crate::shadow::maps::CONFIG.$member)
    };
}
pub(crate) use config;

/// 0, which the verifier does not know: a sum over CPUs that begins with a constant and decides a branch later is a state
/// of its own at each of its values, and the verifier walks through all of them.
#[inline(always)]
pub fn zero() -> i64 {
    // SAFETY: a map value; volatile, or the compiler would see that nobody writes it.
    SHARED.get_ptr_mut(0).map_or(0, |shared| unsafe { core::ptr::read_volatile(&raw const (*shared).zero) })
}

/// What belongs to a CPU.
#[inline(always)]
pub fn cpu(number: u32) -> Option<*mut Cpu> {
    CPUS.get_ptr_mut(number)
}

/// The state at an index.
#[inline(always)]
pub fn state(index: u32) -> Option<*mut State> {
    STATES.get_ptr_mut(index)
}

/// The words of one CPU for one state as last seen.
#[inline(always)]
pub fn seen(cpu: u32, index: u32) -> Option<*mut [i32; MEMBERS]> {
    SEEN.get_ptr_mut(cpu.wrapping_mul(config!(max_mms)).wrapping_add(index))
}
