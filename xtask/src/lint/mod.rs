//! `cargo xtask lint`: rustfmt, the arrows between the parts of rss-drift, spelling, TOML files, dependencies, clippy and rustdoc, all
//! without a warning; the oldest compilers; Miri.

mod arrows;
mod checkers;
mod toolchains;

use std::{
    path::Path,
    process::{Command, ExitCode},
};

use anyhow::Result;
use clap::Args;
use ebpf_build::forget_outer_cargo;

use crate::{
    cargo::{cargo, succeed},
    model::under_loom,
    setup, workspace,
};

/// The eBPF programs' crates, which are no programs for this host.
const EBPF: [&str; 2] = ["rss-drift-ebpf", "bench-ebpf"];

/// Check formatting, the arrows between parts, spelling, dependencies, lints, documentation, the oldest compilers and Miri.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Install missing Debian packages without asking
    #[arg(short, long)]
    yes: bool,
}

/// The verb: the quick check first.
pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    let root = workspace::root();
    succeed(
        cargo(&root, "fmt").args(["--all", "--check"]),
        "checking the formatting (`cargo fmt --all` fixes it)",
    )?;
    arrows::check(&root)?;
    checkers::check(&root)?;
    // rss-drift's build script makes the eBPF object, also for clippy and rustdoc.
    let tools = setup::ensure(&root, arguments.yes)?;
    // Apart from the build script, because cargo hides the compiler's warnings of a build script that succeeds.
    ebpf_build::build(&root, &tools)?;
    user_space(&root)?;
    ebpf(&root)?;
    documentation(&root)?;
    toolchains::check(&root)?;
    Ok(ExitCode::SUCCESS)
}

/// clippy on everything that runs in user space.
fn user_space(root: &Path) -> Result<()> {
    let mut command = cargo(root, "clippy");
    command.args(["--locked", "--workspace"]).args(EBPF.map(|package| format!("--exclude={package}")));
    command.args(["--all-targets", "--", "-D", "warnings"]);
    succeed(&mut command, "clippy")?;
    let mut command = under_loom(root, "clippy");
    command.args(["--", "-D", "warnings"]);
    succeed(&mut command, "clippy on the models under loom")
}

/// clippy on the eBPF programs. It runs for this host instead of the BPF target: clippy comes with the user's toolchain,
/// which need not have core's source, and the lints judge the same code. Nothing is linked.
fn ebpf(root: &Path) -> Result<()> {
    let mut command = cargo(root, "clippy");
    forget_outer_cargo(&mut command);
    if let Some(toolchain) = std::env::var_os("RUSTUP_TOOLCHAIN") {
        command.env("RUSTUP_TOOLCHAIN", toolchain);
    }
    ebpf_for_this_host(&mut command, &root.join("target/lint-ebpf"), &[]);
    command.args(["--", "-D", "warnings"]);
    succeed(&mut command, "clippy on the eBPF programs")
}

/// Arguments and variables of a cargo command on the eBPF programs that takes them for programs of this host.
fn ebpf_for_this_host(command: &mut Command, target_dir: &Path, more_flags: &[&str]) {
    let flags = [
        "--cfg=bpf_target_arch=\"x86_64\"",
        "--check-cfg=cfg(bpf_target_arch,values(\"x86_64\"))",
        // The BPF programs have no unwinding, as on their own target.
        "-Cpanic=abort",
    ];
    command
        .arg("--locked")
        .args(EBPF.map(|package| format!("--package={package}")))
        .args(["--bins", "--target", "x86_64-unknown-linux-gnu", "--target-dir"])
        .arg(target_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", [&flags, more_flags].concat().join("\x1f"))
        .env("CARGO_PROFILE_DEV_PANIC", "abort")
        // The BPF programs use intrinsics that only the BPF target needs.
        .env("RUSTC_BOOTSTRAP", "1");
}

/// rustdoc: links that lead nowhere, missing descriptions.
fn documentation(root: &Path) -> Result<()> {
    let mut command = cargo(root, "doc");
    command
        .args(["--locked", "--workspace"])
        .args(EBPF.map(|package| format!("--exclude={package}")))
        .args(["--no-deps", "--document-private-items"])
        .env("RUSTDOCFLAGS", "-D warnings");
    succeed(&mut command, "building the documentation")
}
