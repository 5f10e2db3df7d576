//! What the JIT made of our BPF programs and of the empty ones, as files for a disassembler; and how many instructions one run of
//! them executes, in a virtual machine whose clock counts them.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use rss_drift::{
    kernel::symbols::Symbols,
    probe::{Counting, FaultPrograms, ProgramStatistics, code::Code},
    session::{Mode, Startup},
};

use crate::{
    cost::{
        contenders::{Contender, Contenders, end_of_mm, full, hooks},
        instructions::wait_for_quiet,
        peers::Peers,
        worker::Worker,
        workloads::{Pages, Workload, pin_to_last},
    },
    figures,
};

/// Writes the code of every BPF program of both modes, and of the empty ones, into `directory`: MODE/PROGRAM/FUNCTION, where
/// functions begin with a number, the program itself with 0.
pub fn write(directory: &Path) -> Result<()> {
    let session = Startup::check(Mode::Passive).session()?;
    let symbols = Symbols::read()?;
    write_mode(directory, "passive", session.probe.code(&symbols).context(HIDDEN)?)?;
    drop(session);
    let session = full(FaultPrograms::Needed)?;
    // Their names are there while they are loaded.
    let symbols = Symbols::read()?;
    write_mode(directory, "full", session.probe.code(&symbols).context(HIDDEN)?)?;
    drop(session);
    let session = full(FaultPrograms::Always)?;
    let peers = Peers::load(end_of_mm(&session)?, hooks(&session))?;
    write_mode(directory, "empty", peers.code(&Symbols::read()?).context(HIDDEN)?)
}

const HIDDEN: &str =
    "the kernel shows no code: the JIT (net.core.bpf_jit_enable) and kernel.kptr_restrict below 2 are needed";

fn write_mode(directory: &Path, mode: &str, programs: Vec<Code>) -> Result<()> {
    for program in programs {
        figures::print(format_args!("verified/{mode}/{}", program.program), 0, program.verified)?;
        let directory = directory.join(mode).join(&program.program);
        fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        for (number, function) in program.functions.iter().enumerate() {
            let name = function.name.as_deref().unwrap_or("function");
            let path = directory.join(format!("{number:02}-{name}"));
            fs::write(&path, &function.code).with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    Ok(())
}

/// The mean number of instructions of one run of each BPF program that sees an event, by the run time that the kernel counts: pages
/// that are made at once, all of them hits, and context switches between two processes. What the counting adds is in the
/// figures of the empty BPF programs too.
pub fn count(rounds: usize) -> Result<()> {
    // First, while this process has one thread.
    let mut worker = Worker::start()?;
    wait_for_quiet()?;
    let mut contenders = Contenders::new(Path::new("/proc/self/exe"))?;
    pin_to_last()?;
    let pages = Pages::map()?;
    let _counting = Counting::begin().context("the kernel does not count the run time of BPF programs")?;
    {
        let _attached = contenders.start(Contender::Empty)?;
        measure(rounds, &pages, &mut worker, || contenders.peers().program_statistics())?;
    }
    let session = full(FaultPrograms::Needed)?;
    measure(rounds, &pages, &mut worker, || session.probe.program_statistics())
}

/// Prints both.
fn measure(
    rounds: usize,
    pages: &Pages,
    worker: &mut Worker,
    statistics: impl Fn() -> Vec<(String, ProgramStatistics)>,
) -> Result<()> {
    // The first updates of an mm on a CPU are no hits.
    pages.populate()?;
    pages.unmap()?;
    for round in 0..rounds {
        let before = statistics();
        pages.populate()?;
        print_mean("rss_stat", round, before, statistics())?;
        pages.unmap()?;
        let before = statistics();
        worker.measure(Workload::Switch)?;
        print_mean("sched_switch", round, before, statistics())?;
    }
    Ok(())
}

/// Of the BPF program on this hook.
fn print_mean(
    hook: &str,
    round: usize,
    before: Vec<(String, ProgramStatistics)>,
    after: Vec<(String, ProgramStatistics)>,
) -> Result<()> {
    for ((name, after), (_, before)) in after.into_iter().zip(before) {
        let runs = after.run_count - before.run_count;
        let time = after.run_time.saturating_sub(before.run_time);
        if runs > 0 && name.ends_with(hook) {
            figures::print(format_args!("executed/{name}"), round, time.as_secs_f64() * 1e9 / runs as f64)?;
        }
    }
    Ok(())
}
