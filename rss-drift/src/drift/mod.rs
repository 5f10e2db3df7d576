//! Drift: samples, bounds and statistics. Knows nothing of commands and outputs.

pub mod behaviour;
pub mod bounds;
pub mod collect;
#[cfg(test)]
pub(crate) mod fixture;
pub mod holders;
pub mod idle;
pub mod movers;
pub mod sample;
pub mod stats;
pub mod verdict;
