//! Drift: samples, bounds and statistics. Knows nothing of commands and outputs.

pub mod badness;
pub mod behaviour;
pub mod bounds;
pub mod by;
pub mod collect;
#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
pub(crate) mod group_fixture;
pub mod groups;
pub mod holders;
pub mod idle;
pub mod movers;
pub mod oom_reading;
pub mod sample;
pub mod stats;
pub mod verdict;
