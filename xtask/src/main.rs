//! rss-drift's developer tasks: `cargo xtask --help`.

#[path = "../bench/verb/mod.rs"]
mod bench;
mod build;
mod cargo;
mod fuzz;
mod lint;
mod model;
mod privilege;
mod run;
mod setup;
mod soak;
mod table;
mod test;
mod times;
mod vm;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

/// rss-drift's developer tasks.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask", max_term_width = 100)]
enum Verb {
    /// Install the tools of the build that are missing
    Setup(setup::Arguments),
    /// Build rss-drift
    Build(build::Arguments),
    /// Build rss-drift and run it as root
    Run(run::Arguments),
    /// Check formatting, the arrows between parts, lints, documentation, the oldest compilers and Miri
    Lint(lint::Arguments),
    /// Run the tests: unit tests, the live tests as root, and those on other kernels in virtual machines
    Test(test::Arguments),
    /// Search all of the models of the protocol between CPUs
    Model(model::Arguments),
    /// Soak full mode in random orders, every invariant checked each second
    Soak(soak::Arguments),
    /// Try random command lines
    Fuzz(fuzz::Arguments),
    /// Measure what rss-drift costs
    #[command(subcommand)]
    Bench(bench::Verb),
    /// Boot real kernels in virtual machines: the live tests, or any command
    #[command(subcommand)]
    Vm(vm::Verb),
}

fn main() -> ExitCode {
    match perform(Verb::parse()) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(verb: Verb) -> Result<ExitCode> {
    match verb {
        Verb::Setup(arguments) => setup::main(&arguments),
        Verb::Build(arguments) => build::main(&arguments),
        Verb::Run(arguments) => run::main(&arguments),
        Verb::Lint(arguments) => lint::main(&arguments),
        Verb::Test(arguments) => test::main(&arguments),
        Verb::Model(arguments) => model::main(&arguments),
        Verb::Soak(arguments) => soak::main(&arguments),
        Verb::Fuzz(arguments) => fuzz::main(&arguments),
        Verb::Bench(verb) => bench::main(&verb),
        Verb::Vm(verb) => vm::main(verb),
    }
}
