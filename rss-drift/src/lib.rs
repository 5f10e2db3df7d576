//! rss-drift: the exact resident set of every process beside what the kernel reports.
//!
//! The parts use each other in one direction: `cli` -> the verbs `watch`, `run`, `explain`, `oom`, `demo` and `doctor` -> `session` ->
//! `output` -> `select` -> `table` -> `drift` -> `probe` -> `kernel` and `proc`. `cargo xtask lint` checks it. Only `probe` knows aya, only
//! `cli` knows the command line.

// What is `pub` is used by the live tests, the benchmarks or the fuzzer; all else is not.
#![warn(unreachable_pub)]
// Only this repository uses the crate: a comment that repeats a name would say nothing to anybody.
#![allow(missing_docs)]

pub mod cli;
mod demo;
mod doctor;
pub mod drift;
mod explain;
pub mod kernel;
mod oom;
pub mod output;
pub mod probe;
pub mod proc;
mod run;
mod select;
pub mod session;
pub mod table;
mod watch;
