//! `cargo xtask model`: the protocol between CPUs in every interleaving, under the step-granular model and under loom.

use std::{
    env,
    ffi::OsString,
    path::Path,
    process::{Command, ExitCode},
};

use anyhow::Result;
use clap::Args;

use crate::{
    cargo::{cargo, succeed},
    workspace,
};

/// The package of the protocol and its models.
const PROTOCOL: &str = "rss-drift-common";

/// Search all of the protocol's models, without the bounds that `cargo xtask test` keeps for its time.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Only the step-granular model
    #[arg(long, conflicts_with = "loom")]
    steps: bool,
    /// Only the models under loom
    #[arg(long)]
    loom: bool,
    /// What the tests are given: a filter or other arguments
    #[arg(last = true, value_name = "ARGS")]
    passed_on: Vec<OsString>,
}

/// The verb. No tools of the build are needed: nothing here is for the kernel.
pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    let root = workspace::root();
    if !arguments.loom {
        steps(&root, &arguments.passed_on)?;
    }
    if !arguments.steps {
        loom(&root, &arguments.passed_on)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The step-granular model. Its lines say what was searched, and whether that is all.
fn steps(root: &Path, arguments: &[OsString]) -> Result<()> {
    let mut command = cargo(root, "test");
    command
        .args(["--locked", "--release", "--package", PROTOCOL, "--test", "model", "--", "--show-output"])
        .args(arguments)
        .env("RSS_DRIFT_MODEL", "all");
    succeed(&mut command, "searching the step-granular model")
}

/// The models under loom, in the same way.
fn loom(root: &Path, arguments: &[OsString]) -> Result<()> {
    let mut command = under_loom(root, "test");
    command.args(["--release", "--", "--show-output"]).args(arguments).env("RSS_DRIFT_MODEL", "all");
    succeed(&mut command, "searching the models under loom")
}

/// A cargo command on the models under loom, in a target directory of their own: the flag makes every crate another one.
pub(crate) fn under_loom(root: &Path, verb: &str) -> Command {
    let mut flags = env::var("RUSTFLAGS").unwrap_or_default();
    flags.push_str(" --cfg loom");
    let mut command = cargo(root, verb);
    command
        .args(["--locked", "--package", PROTOCOL, "--test", "loom", "--target-dir"])
        .arg(root.join("target/loom"))
        .env("RUSTFLAGS", flags)
        // cargo prefers these to RUSTFLAGS.
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    command
}
