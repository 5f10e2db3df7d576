//! per-task accounting: `mm_struct.rss_stat.count` and a cache in each task (`SPLIT_RSS_COUNTING`, mainline up to 6.1).
//!
//! [`iterator`] writes what each task has, [`events`] is what the entry points of the events call, [`memory`] the memory of
//! [`rss_drift_common::protocol::pertask`].

pub mod events;
pub mod iterator;
mod memory;
