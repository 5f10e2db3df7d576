//! Drift: samples, bounds and statistics. Knows nothing of commands and outputs.

pub mod sample;
