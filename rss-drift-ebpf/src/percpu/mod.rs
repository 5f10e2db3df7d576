//! per-cpu accounting: `mm_struct.rss_stat` is an array of `percpu_counter` (mainline since 6.2).
//!
//! [`iterator`] writes what each mm has, [`events`] is what the entry points of the events call, [`memory`] the memory of
//! [`rss_drift_common::protocol::percpu`]. [`counters`] reads the kernel's counters, for which [`offsets`] finds
//! each CPU's memory; [`apart`] is what the verifier walks once; [`holders`] is `--where`.

mod apart;
mod counters;
pub mod events;
pub mod holders;
pub mod iterator;
mod memory;
pub mod offsets;
