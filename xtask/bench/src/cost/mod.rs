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

/// What bars are near for: full mode beside empty BPF programs. Little comes between the three of a round, and there are many rounds.
const CLOSE: [Contender; 3] = [Contender::Nothing, Contender::Empty, Contender::Full];
/// The workloads of these bars.
const CLOSE_WORKLOADS: [Workload; 2] = [Workload::Fault, Workload::Switch];
/// Close rounds for each round of all.
const CLOSE_ROUNDS: usize = 10;

/// Measures every workload with every contender, round by round, then the close ones, then the run time of single BPF programs.
pub fn run(command: &Path, rounds: usize) -> Result<()> {
    // First: what it inherits is the same in each run.
    let mut worker = Worker::start()?;
    let mut contenders = Contenders::new(command)?;
    measure_rounds(&mut worker, &mut contenders, "", &ALL, &Workload::ALL, rounds)?;
    measure_rounds(&mut worker, &mut contenders, "close/", &CLOSE, &CLOSE_WORKLOADS, rounds * CLOSE_ROUNDS)?;
    run_times(&mut worker, &mut contenders)
}

/// Measures the workloads with some contenders, round by round. The names of the figures begin with `prefix`.
fn measure_rounds(
    worker: &mut Worker,
    contenders: &mut Contenders,
    prefix: &str,
    all: &[Contender],
    workloads: &[Workload],
    rounds: usize,
) -> Result<()> {
    eprintln!("{rounds} rounds of {} contenders", all.len());
    // A round before the first warms up and does not count.
    for round in 0..=rounds {
        contenders.reload()?;
        for place in 0..all.len() {
            // Each round begins with another one, so that nobody always runs after the same.
            let contender = all[(round + place) % all.len()];
            let attached = contenders.start(contender)?;
            for workload in workloads {
                let took = worker.measure(*workload)?;
                if let Some(round) = round.checked_sub(1) {
                    let name = format!("{prefix}{}/{}", workload.name(), contender.name());
                    figures::print(name, round, took)?;
                }
            }
            drop(attached);
        }
    }
    Ok(())
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
