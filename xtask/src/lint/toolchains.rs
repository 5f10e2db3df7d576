//! Checks by other toolchains than the user's: the oldest compilers that Cargo.toml promises (MSRV), and Miri.

use std::path::Path;

use anyhow::Result;

use super::{EBPF, ebpf_for_this_host};
use crate::{
    cargo::succeed,
    setup::rustup::{COMPILER, MIRI, OLDEST, OLDEST_EBPF, Toolchain},
};

/// What an old compiler warns of, clippy of a newer one has judged.
const NO_WARNINGS: &str = "-Awarnings";

/// A check by a toolchain, with its name.
type Check = (&'static str, Toolchain, fn(&Path) -> Result<()>);
const CHECKS: [Check; 3] =
    [("MSRV", OLDEST, user_space), ("MSRV of the eBPF programs", OLDEST_EBPF, ebpf), ("Miri", MIRI, miri)];

/// Runs all of them. Where rustup, which downloads the toolchains, is not installed they are skipped, and where it could not get the
/// compiler of the eBPF programs either: one from Debian's packages builds rss-drift as well.
pub(super) fn check(root: &Path) -> Result<()> {
    let mut skipped = Vec::new();
    for (name, toolchain, check) in CHECKS {
        match toolchain.ensure(root) {
            Ok(true) => check(root)?,
            Ok(false) => skipped.push(format!("{name}: rustup is not installed")),
            Err(error) if !COMPILER.is_installed(root) => skipped.push(format!("{name}: {error:#}")),
            Err(error) => return Err(error),
        }
    }
    if !skipped.is_empty() {
        eprintln!("lint: {} checks SKIPPED: {}", skipped.len(), skipped.join("; "));
    }
    Ok(())
}

/// Everything that runs in user space, tests too. rss-drift's build script takes the eBPF object that clippy's run has built.
fn user_space(root: &Path) -> Result<()> {
    let mut command = OLDEST.command(root, "cargo")?;
    command
        .args(["check", "--locked", "--workspace", "--all-targets"])
        .args(EBPF.map(|package| format!("--exclude={package}")))
        // Of its own: the user's compiler would build everything anew after it.
        .arg("--target-dir")
        .arg(root.join("target/msrv"))
        .env("CARGO_ENCODED_RUSTFLAGS", NO_WARNINGS);
    succeed(&mut command, "checking with the oldest compiler (rust-version in Cargo.toml)")
}

/// The eBPF programs, as clippy checks them: for this host.
fn ebpf(root: &Path) -> Result<()> {
    let mut command = OLDEST_EBPF.command(root, "cargo")?;
    command.arg("check");
    ebpf_for_this_host(&mut command, &root.join("target/msrv-ebpf"), &[NO_WARNINGS]);
    succeed(
        &mut command,
        "checking the eBPF programs with their oldest compiler (rust-version in their Cargo.toml)",
    )
}

/// What the eBPF programs and user space share, on plain words. The step-granular model switches stacks in assembly,
/// which Miri does not interpret; random tests take hours in it and are marked.
fn miri(root: &Path) -> Result<()> {
    // By its own name: `cargo miri` may find rustup's proxy first.
    let mut command = MIRI.command(root, "cargo-miri")?;
    command
        .args(["miri", "test", "--locked", "--package", "rss-drift-common", "--lib", "--test", "property"])
        // Miri warns that it cannot optimise, as the test profile asks for.
        .args(["--config", "profile.test.package.rss-drift-common.opt-level=0"])
        // It keeps the standard library that it has built for itself in the user's cache.
        .env("XDG_CACHE_HOME", MIRI.home(root));
    succeed(&mut command, "tests under Miri")
}
