//! `cargo xtask build`: rss-drift with its eBPF programs in it.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Result;
use clap::Args;
use ebpf_build::forget_outer_cargo;

use crate::{
    cargo::{cargo, succeed},
    setup, workspace,
};

/// The target of the static binaries: the usual one, named so that the flags do not reach build scripts.
const STATIC_TARGET: &str = "x86_64-unknown-linux-gnu";

/// Cargo.toml's profile of [`Profile::Quick`].
const QUICK: &str = "quick";

/// Build rss-drift.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Build without optimisation, as plain `cargo build` does
    #[arg(long)]
    debug: bool,
    /// Install missing Debian packages without asking
    #[arg(short, long)]
    yes: bool,
}

/// The verb.
pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    let root = workspace::root();
    setup::ensure(&root, arguments.yes)?;
    let profile = if arguments.debug { Profile::Debug } else { Profile::Release };
    eprintln!("built {}", command(&root, profile)?.display());
    Ok(ExitCode::SUCCESS)
}

/// How much the compiler optimises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// For a debugger.
    Debug,
    /// Quick to build, and nearly as quick to run: for a first look.
    Quick,
    /// Quick to run.
    Release,
}

/// Builds the command and returns its path. The set-up has been done.
pub(crate) fn command(root: &Path, profile: Profile) -> Result<PathBuf> {
    let mut command = cargo(root, "build");
    command.args(["--locked", "--package", "rss-drift", "--bin", "rss-drift"]);
    let folder = match profile {
        Profile::Debug => "debug",
        Profile::Quick => {
            command.args(["--profile", QUICK]);
            QUICK
        }
        Profile::Release => {
            command.arg("--release");
            "release"
        }
    };
    // The one directory that this verb reads from, whatever the user's configuration says.
    let target_dir = root.join("target");
    command.arg("--target-dir").arg(&target_dir);
    succeed(&mut command, "building rss-drift")?;
    Ok(target_dir.join(folder).join("rss-drift"))
}

/// Builds a package's binary without any shared library, so that it runs on any kernel with nothing beside it, and
/// returns its path. The set-up has been done.
pub(crate) fn static_binary(root: &Path, package: &str) -> Result<PathBuf> {
    let mut command = cargo(root, "build");
    forget_outer_cargo(&mut command);
    command
        .args(["--locked", "--release", "--package", package, "--bin", package, "--target", STATIC_TARGET])
        .arg("--target-dir")
        .arg(static_target(root))
        .env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static");
    succeed(&mut command, &format!("building the static {package}"))?;
    Ok(static_path(root, package))
}

/// Where [`static_binary`] puts a package's binary.
pub(crate) fn static_path(root: &Path, package: &str) -> PathBuf {
    static_target(root).join(STATIC_TARGET).join("release").join(package)
}

/// A directory of its own: with other flags cargo would build everything again each time.
fn static_target(root: &Path) -> PathBuf {
    root.join("target/static")
}
