//! The shadow per-CPU RSS cache in the kernel: the memory of [`rss_drift_common::protocol`] on
//! our maps, as far as both accounting schemes have it in common. No step of the protocol is here.
//!
//! [`maps`] has the maps, [`word`] one word of them, [`memory`] the trait for memory on them, [`report`] writes to the
//! daemon's log. What each scheme has of its own is in `percpu/memory.rs` and `pertask/memory.rs`.

pub mod maps;
mod memory;
mod report;
mod table;
mod word;

pub use maps::{place, value};
pub use memory::{Kind, Maps, answer, find, id_of, state_step};
pub use word::{Bpf, Word};

pub(crate) use maps::config;
