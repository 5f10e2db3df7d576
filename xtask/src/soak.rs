//! `cargo xtask soak`: a random mixture of all that moves memory, for as long as one likes, every invariant checked each
//! second; here, or on other kernels in virtual machines.

use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::{
    build,
    privilege::as_root,
    setup,
    vm::{self, Kernel},
    workspace,
};

/// Soak full mode in random orders, every invariant checked each second.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// How long
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..))]
    minutes: u64,
    /// In a virtual machine with this kernel instead of here (may be given several times)
    #[arg(long, value_name = "K")]
    vm: Vec<Kernel>,
    /// CPUs of a virtual machine
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=255))]
    cpus: u32,
    /// The seed that a failed soak printed: the same orders again
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Install missing Debian packages without asking
    #[arg(short, long)]
    yes: bool,
}

/// The verb. The first failure ends it.
pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    let root = workspace::root();
    setup::ensure(&root, arguments.yes)?;
    let program = build::static_binary(&root, "live-tests")?;
    let mut words = vec!["--soak".to_owned(), (arguments.minutes * 60).to_string()];
    if let Some(seed) = arguments.seed {
        words.extend(["--seed".to_owned(), seed.to_string()]);
    }
    if arguments.vm.is_empty() {
        let mut command = as_root(program.as_os_str(), &[], "a soak loads eBPF programs, which")?;
        let status =
            command.args(words).status().with_context(|| format!("cannot run {}", program.display()))?;
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        return Ok(code.map_or(ExitCode::FAILURE, ExitCode::from));
    }
    vm::tools::ensure(arguments.yes)?;
    for &kernel in &arguments.vm {
        eprintln!("kernel {kernel}, {} CPUs", arguments.cpus);
        let guest =
            vm::run::Args::of_live_tests(kernel, arguments.cpus, &program, &words, arguments.minutes * 60);
        let status = vm::run::run(&guest)?;
        if status != ExitCode::SUCCESS {
            return Ok(status);
        }
    }
    Ok(ExitCode::SUCCESS)
}
