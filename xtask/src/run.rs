//! `cargo xtask run`: the built command, as root.

use std::{ffi::OsString, os::unix::process::CommandExt, process::ExitCode};

use anyhow::{Result, anyhow};
use clap::Args;

use crate::{
    build::{self, Profile},
    privilege::as_root,
    setup, workspace,
};

/// Build rss-drift and run it as root.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Install missing Debian packages without asking
    #[arg(short, long)]
    yes: bool,
    /// What rss-drift is given, for example `watch --top 5`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    passed_on: Vec<OsString>,
}

/// The verb. Returns only if the command cannot be started: it takes our place, so that it gets the signals and gives
/// the exit status.
pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    let root = workspace::root();
    setup::ensure(&root, arguments.yes)?;
    let binary = build::command(&root, Profile::Quick)?;
    let error = as_root(binary.as_os_str(), &[], "rss-drift loads eBPF programs, which")?
        .args(&arguments.passed_on)
        .exec();
    Err(anyhow!("cannot run {}: {error}", binary.display()))
}
