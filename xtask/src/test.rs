//! `cargo xtask test`: every test, or those of one kind.

use std::{ffi::OsString, path::Path, process::ExitCode};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::{
    build,
    cargo::{cargo, succeed},
    privilege::as_root,
    setup, workspace,
};

/// The package of the live tests: one static binary.
const LIVE: &str = "live-tests";

/// Run the tests: unit tests, then the live tests as root.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Only the unit tests: without root, without the kernel's help
    #[arg(long, conflicts_with = "live")]
    unit: bool,
    /// Only the live tests: eBPF programs in the running kernel
    #[arg(long)]
    live: bool,
    /// Install missing Debian packages without asking
    #[arg(short, long)]
    yes: bool,
    /// What the tests are given: a filter or other arguments
    #[arg(last = true, value_name = "ARGS")]
    passed_on: Vec<OsString>,
}

/// The verb. Where unit tests fail the live tests are not run: what they would say is not worth their time.
pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    let root = workspace::root();
    setup::ensure(&root, arguments.yes)?;
    if !arguments.live {
        unit(&root, &arguments.passed_on)?;
    }
    if arguments.unit { Ok(ExitCode::SUCCESS) } else { live(&root, &arguments.passed_on) }
}

/// The unit tests of every crate that runs in user space.
fn unit(root: &Path, arguments: &[OsString]) -> Result<()> {
    let mut command = cargo(root, "test");
    command.args(["--locked", "--workspace", "--exclude", "rss-drift-ebpf", "--exclude", LIVE]);
    succeed(command.arg("--").args(arguments), "running the unit tests")
}

/// The live tests. Their exit status becomes ours.
fn live(root: &Path, arguments: &[OsString]) -> Result<ExitCode> {
    let binary = build::static_binary(root, LIVE)?;
    let mut command = as_root(binary.as_os_str(), &[], "the live tests load eBPF programs, which")?;
    let status =
        command.args(arguments).status().with_context(|| format!("cannot run {}", binary.display()))?;
    match status.code() {
        Some(code) => Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))),
        None => bail!("the live tests were ended: {status}"),
    }
}
