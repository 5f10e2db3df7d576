//! The shadow per-CPU RSS cache in the kernel: the memory of [`rss_drift_common::protocol`] on
//! our maps, and what the entry points of the BPF programs call. No step of the protocol is here.
//!
//! [`maps`] has the maps, [`word`] one word of them, [`memory`] what both accounting schemes have in
//! common, [`percpu`] and [`pertask`] what each has of its own, [`report`] writes to the daemon's log.

mod maps;
mod memory;
pub mod percpu;
pub mod pertask;
mod report;
mod word;

pub use memory::{find, id_of};

/// `clone(2)`: the child uses the parent's mm.
pub const CLONE_VM: u64 = 0x100;
