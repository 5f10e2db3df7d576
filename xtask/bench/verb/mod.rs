//! `cargo xtask bench`: what rss-drift costs, measured beside what else there is. One file per bench; the measuring itself
//! is done as root by the program in ../src/, here is what the figures come to. A module of xtask: what measures contains
//! rss-drift, and xtask has to be built before that can be.

mod bar;
mod cost;
mod cost_tables;
mod disassembly;
mod docs;
mod figures;
mod host;
mod instructions;
mod measure;
mod reports;
mod snapshot;
mod starts;
mod stats;
mod units;
mod workloads;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

/// What to measure.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// One reading of the host, the daemon and starts, beside /proc, ps, top, htop, pidstat and bpftrace
    Snapshot(snapshot::Arguments),
    /// What full mode adds to page faults, context switches and starts of processes, beside other ways to follow RSS
    Cost(cost::Arguments),
    /// What the kernel's JIT makes of our BPF programs, and how many instructions of it an event executes
    Instructions(instructions::Arguments),
    /// The RFC's workloads on real software: hits and misses, peaks, drift, and what rss-drift slows them down
    Workloads(workloads::Arguments),
}

/// The verb.
pub(crate) fn main(verb: &Verb) -> Result<ExitCode> {
    match verb {
        Verb::Snapshot(arguments) => snapshot::main(arguments),
        Verb::Cost(arguments) => cost::main(arguments),
        Verb::Instructions(arguments) => instructions::main(arguments),
        Verb::Workloads(arguments) => workloads::main(arguments),
    }
}
