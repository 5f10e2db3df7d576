//! `cargo xtask fuzz`: random command lines for as long as one likes. What a test tries in seconds, without its bound.

use std::process::ExitCode;

use anyhow::Result;

use crate::{
    cargo::{cargo, succeed},
    setup, workspace,
};

/// Try random command lines: each is taken or refused, none panics.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// How long
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    minutes: u64,
    /// Install missing Debian packages without asking
    #[arg(short, long)]
    yes: bool,
}

/// The verb.
pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    let root = workspace::root();
    setup::ensure(&root, arguments.yes)?;
    let mut command = cargo(&root, "test");
    command
        .args(["--locked", "--package", "rss-drift", "--lib", "cli::fuzz", "--", "--nocapture"])
        .env("RSS_DRIFT_FUZZ_SECONDS", (arguments.minutes * 60).to_string());
    succeed(&mut command, "trying command lines")?;
    Ok(ExitCode::SUCCESS)
}
