//! rss-drift: the exact resident set of every process beside what the kernel reports.
//!
//! `kernel` <- `probe`, `proc` <- `drift` <- `cmd`; `output` takes plain rows. Only `probe` knows aya, only `cmd` knows the
//! command line.

pub mod cmd;
pub mod drift;
pub mod field;
pub mod kernel;
pub mod output;
pub mod probe;
pub mod proc;
pub mod session;
