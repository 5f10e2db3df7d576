//! Drift: samples, bounds and statistics. Knows nothing of commands and outputs.

pub mod bounds;
pub mod collect;
pub mod holders;
pub mod rest;
pub mod sample;
pub mod stats;
