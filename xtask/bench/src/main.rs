//! What `cargo xtask bench` runs as root: it measures and prints figures, one a line (`NAME ROUND VALUE`). What they come to
//! is worked out by ../verb/, a part of xtask, which knows no eBPF.

mod clock;
mod code;
mod cost;
mod daemons;
mod figures;
mod idle;
mod proc_files;
mod programs;
mod reports;
mod rounds;
mod snapshot;
mod starts;

use std::{env, process::ExitCode};

use anyhow::{Result, bail};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match perform(&arguments.iter().map(String::as_str).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(arguments: &[&str]) -> Result<()> {
    match arguments {
        ["snapshot", command, rounds, processes @ ..] if !processes.is_empty() => {
            let processes = processes.iter().map(|number| number.parse()).collect::<Result<Vec<_>, _>>()?;
            snapshot::run(command.as_ref(), rounds.parse()?, &processes)
        }
        ["reports", command, periods, processes @ ..] if !processes.is_empty() => {
            let processes = processes.iter().map(|number| number.parse()).collect::<Result<Vec<_>, _>>()?;
            reports::run(command.as_ref(), periods.parse()?, &processes)
        }
        ["cost", command, rounds] => cost::run(command.as_ref(), rounds.parse()?),
        ["cost-in-instructions", rounds] => cost::count_instructions(rounds.parse()?),
        ["code", directory] => code::write(directory.as_ref()),
        ["code-in-instructions", rounds] => code::count(rounds.parse()?),
        _ => bail!("this is a part of `cargo xtask bench`: run that"),
    }
}
