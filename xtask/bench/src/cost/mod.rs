//! What full mode adds to the kernel's hot paths, beside other ways to follow RSS.

pub mod contenders;
pub mod instructions;
pub mod peers;
mod perf;
mod tracing;
pub mod worker;
pub mod workloads;

use std::path::Path;

use anyhow::{Context as _, Result};
use rss_drift::probe::{Counting, FaultPrograms, ProgramStatistics};

use self::{
    contenders::{Contender, Contenders, full},
    worker::Worker,
    workloads::Workload,
};
use crate::figures;

pub use instructions::run as count_instructions;

/// All of them in the order of the tables.
const ALL: [Contender; 9] = [
    Contender::Nothing,
    Contender::Empty,
    Contender::EmptyFaults,
    Contender::Passive,
    Contender::Full,
    Contender::FullFaults,
    Contender::Classic,
    Contender::Ftrace,
    Contender::Perf,
];

/// Measures every workload with every contender, round by round, then the run time of single BPF programs.
pub fn run(command: &Path, rounds: usize) -> Result<()> {
    // First: what it inherits is the same in each run.
    let mut worker = Worker::start()?;
    let mut contenders = Contenders::new(command)?;
    eprintln!("{rounds} rounds of {} contenders", ALL.len());
    // A round before the first warms up and does not count.
    for round in 0..=rounds {
        for place in 0..ALL.len() {
            // Each round begins with another one, so that nobody always runs after the same.
            let contender = ALL[(round + place) % ALL.len()];
            let attached = contenders.start(contender)?;
            for workload in Workload::ALL {
                let took = worker.measure(workload)?;
                if let Some(round) = round.checked_sub(1) {
                    figures::print(format_args!("{}/{}", workload.name(), contender.name()), round, took)?;
                }
            }
            drop(attached);
        }
    }
    run_times(&mut worker, &mut contenders)
}

/// What the kernel counts as run time of each BPF program, workload by workload. That is a round of its own, because counting
/// costs time itself and leaves out what a hook costs before and after the BPF program.
fn run_times(worker: &mut Worker, contenders: &mut Contenders) -> Result<()> {
    eprintln!("run time of the BPF programs");
    let _counting = Counting::begin().context("the kernel does not count the run time of BPF programs")?;
    for contender in [Contender::EmptyFaults, Contender::Classic] {
        let _attached = contenders.start(contender)?;
        print_run_times(worker, || contenders.peers().program_statistics())?;
    }
    let session = full(FaultPrograms::Always)?;
    print_run_times(worker, || session.probe.program_statistics())
}

/// Prints runs of each BPF program that ran during a workload, and the mean time of one in nanoseconds.
fn print_run_times(
    worker: &mut Worker,
    statistics: impl Fn() -> Vec<(String, ProgramStatistics)>,
) -> Result<()> {
    for workload in Workload::ALL {
        let before = statistics();
        worker.measure(workload)?;
        for ((name, after), (_, before)) in statistics().into_iter().zip(before) {
            let runs = after.run_count - before.run_count;
            let time = after.run_time.saturating_sub(before.run_time);
            if runs > 0 {
                let name = format!("run/{}/{name}", workload.name());
                figures::print(format_args!("{name}/runs"), 0, runs)?;
                figures::print(format_args!("{name}/ns"), 0, time.as_secs_f64() * 1e9 / runs as f64)?;
            }
        }
    }
    Ok(())
}
