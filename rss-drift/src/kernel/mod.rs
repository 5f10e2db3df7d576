//! Facts about the running kernel: its types, its accounting of RSS, its tunables, and whether measuring can work.

pub mod accounting;
pub mod btf;
