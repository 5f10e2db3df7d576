//! rss-drift: the exact resident set of every process beside what the kernel reports.

pub mod drift;
pub mod kernel;
