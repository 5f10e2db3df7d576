//! `cargo xtask bench cost`: what full mode adds to the kernel's hot paths, beside other ways to follow RSS.

use std::{path::Path, process::ExitCode};

use anyhow::Result;
use clap::Args;

use super::{
    cost_tables::{InGuest, report},
    docs::{self, PAGE},
    figures::Figures,
    host,
    measure::Programs,
};
use crate::{
    build, setup,
    vm::{self, Kernel},
    workspace,
};

/// Rounds in a guest: instructions scatter little.
const ROUNDS_IN_GUEST: &str = "15";

/// What full mode adds to page faults, context switches and starts of processes, beside other ways to follow RSS.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Rounds in which everything that is compared runs once
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..10_000))]
    rounds: u32,
    /// The kernel of the virtual machines in which instructions are counted
    #[arg(long, value_name = "K", default_value = "6.12")]
    kernel: Kernel,
    /// Numbers of CPUs of those machines
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_value = "2,8,64", value_parser = clap::value_parser!(u32).range(1..=255))]
    cpus: Vec<u32>,
    /// Count no instructions in virtual machines
    #[arg(long, conflicts_with_all = ["kernel", "cpus", "write"])]
    no_vm: bool,
    /// Write the figures into docs/overhead.md
    #[arg(long)]
    write: bool,
    /// Install missing Debian packages without asking
    #[arg(short, long)]
    yes: bool,
}

/// The verb. The host comes first, with nothing beside it.
pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    let root = workspace::root();
    setup::ensure(&root, arguments.yes)?;
    setup::bench(arguments.yes)?;
    let programs = Programs::build(&root)?;
    let in_guest = (!arguments.no_vm).then(|| build::static_binary(&root, "bench")).transpose()?;
    let host = host::describe()?;
    let words = ["cost".into(), programs.command.clone().into(), arguments.rounds.to_string().into()];
    let figures = programs.measure(&words)?;
    let guests = in_guest.map_or(Ok(Vec::new()), |program| in_guests(arguments, &program))?;
    let report = report(&figures, arguments.kernel.name(), &guests)?;
    let text = format!("{host} {} rounds.\n\n{report}", arguments.rounds);
    println!("{text}");
    if arguments.write {
        docs::write(&root.join(PAGE), "cost", &text)?;
        eprintln!("wrote {PAGE}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Counts instructions with each number of CPUs.
fn in_guests(arguments: &Arguments, program: &Path) -> Result<Vec<InGuest>> {
    let count = |&cpus: &u32| {
        eprintln!("counting instructions with kernel {} and {cpus} CPUs", arguments.kernel.name());
        let words = ["cost-in-instructions", ROUNDS_IN_GUEST];
        let text = vm::count_instructions(arguments.kernel, cpus, program, &words)?;
        Ok(InGuest { cpus, figures: Figures::parse(&text)? })
    };
    arguments.cpus.iter().map(count).collect()
}
