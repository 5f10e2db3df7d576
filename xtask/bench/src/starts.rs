//! Starts, from fork on: of each mode, and of bpftrace, which loads one empty BPF program.

use std::{path::Path, time::Duration};

use anyhow::Result;

use crate::{
    clock::{Took, work_of_children},
    programs::run_to_end,
    rounds::{self, Contender},
};

/// Measures the start of `command` in every mode.
pub fn run(command: &Path, rounds: usize) -> Result<()> {
    eprintln!("{rounds} rounds of starts");
    let bpftrace = Path::new("bpftrace");
    let mut contenders = [
        Contender::new("passive", || first_report(command, &["watch", "--passive", "--count", "1"])),
        Contender::new("full", || first_report(command, &["watch", "--count", "1"])),
        Contender::new("run", || whole_life(command, &["run", "--", "true"])),
        Contender::new("bpftrace", || whole_life(bpftrace, &["-e", "BEGIN { exit(); }"])),
        Contender::new("true", || whole_life(Path::new("true"), &[])),
    ];
    rounds::run("start", rounds, &mut contenders)
}

/// A program's whole life.
pub fn whole_life(path: &Path, arguments: &[&str]) -> Result<Took> {
    work_of_children(|| run_to_end(path, arguments).map(drop))
}

/// From the start of `command` to its first report; the CPU time is that of its whole life.
pub fn first_report(command: &Path, arguments: &[&str]) -> Result<Took> {
    let mut wall = Duration::ZERO;
    let took = work_of_children(|| {
        wall = run_to_end(command, arguments)?;
        Ok(())
    })?;
    Ok(Took { wall, ..took })
}
