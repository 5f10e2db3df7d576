//! Compiles the eBPF programs.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    env::forget_outer_cargo,
    error::Error,
    paths::{ebpf_target_dir, stamp_file},
    tools::Tools,
};

/// rss-drift runs on `x86_64` hosts only: little endian.
const TARGET: &str = "bpfel-unknown-none";

/// One of the objects: a binary of a crate of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object {
    package: &'static str,
    bin: &'static str,
    /// The crates that it is made from.
    folders: &'static [&'static str],
}

impl Object {
    /// rss-drift's own programs.
    pub const RSS_DRIFT: Self = Self {
        package: "rss-drift-ebpf",
        bin: "rss-drift",
        folders: &["rss-drift-common", "rss-drift-ebpf"],
    };
    /// What `cargo xtask bench` compares them with: no part of rss-drift.
    pub const PEERS: Self = Self { package: "bench-ebpf", bin: "peers", folders: &["xtask/bench/ebpf"] };

    /// Everything that the object is made from: when one of these changes it has to be built again.
    pub(crate) fn sources(self, root: &Path, tools: &Tools) -> Vec<PathBuf> {
        let mut sources = vec![root.join("Cargo.lock"), root.join("Cargo.toml")];
        let in_folder = |folder| [root.join(folder).join("Cargo.toml"), root.join(folder).join("src")];
        sources.extend(self.folders.iter().flat_map(in_folder));
        sources.extend([tools.compiler.rustc.clone(), tools.linker.path.clone(), stamp_file(root)]);
        // For cargo a file that is not there has changed every time; the record is not there without a set-up.
        sources.retain(|path| path.exists());
        sources
    }
}

/// Builds rss-drift's object, as [`build_object`].
pub fn build(root: &Path, tools: &Tools) -> Result<PathBuf, Error> {
    build_object(root, tools, Object::RSS_DRIFT)
}

/// Builds one object and returns its path. cargo's progress and the compiler's messages go to standard error. Where nothing
/// changed since the last time this is a check of a fraction of a second.
pub fn build_object(root: &Path, tools: &Tools, object: Object) -> Result<PathBuf, Error> {
    let mut command = command(root, tools, object);
    let status =
        command.status().map_err(|error| Error::Start { program: tools.compiler.cargo.clone(), error })?;
    if !status.success() {
        return Err(Error::Build { status });
    }
    let path = ebpf_target_dir(root).join(TARGET).join("release").join(object.bin);
    if path.is_file() { Ok(path) } else { Err(Error::NoObject { path }) }
}

/// The cargo command.
fn command(root: &Path, tools: &Tools, object: Object) -> Command {
    let target_dir = ebpf_target_dir(root);
    let mut command = Command::new(&tools.compiler.cargo);
    forget_outer_cargo(&mut command);
    command
        .args(["build", "--locked", "--release", "--package", object.package, "--bin", object.bin])
        .args(["--target", TARGET, "-Z", "build-std=core", "--target-dir"])
        .arg(&target_dir)
        // Also where the user's configuration sends intermediate files elsewhere: the outer cargo holds that lock.
        .env("CARGO_BUILD_BUILD_DIR", &target_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", rustflags(tools).join("\x1f"))
        .env("RUSTC", &tools.compiler.rustc)
        // -Z options on a release compiler: there is no other way to build core.
        .env("RUSTC_BOOTSTRAP", "1")
        // Empty overrides what the user's configuration names.
        .env("RUSTC_WRAPPER", "")
        .env("RUSTC_WORKSPACE_WRAPPER", "")
        .current_dir(root)
        // A build script's standard output is read by cargo as instructions.
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

/// What the compiler is told.
fn rustflags(tools: &Tools) -> Vec<String> {
    vec![
        // BTF, which the maps and the verifier's log need, is made from the debug information.
        "-Cdebuginfo=2".to_owned(),
        // Atomics that return a value, and 32-bit jumps: 5.12 has the former, and what 5.10 loads does without.
        "-Ctarget-cpu=v3".to_owned(),
        format!("-Clinker={}", tools.linker.path.display()),
        "-Clink-arg=--btf".to_owned(),
        // aya-ebpf wants to know which kernel's registers it is built for.
        "--cfg=bpf_target_arch=\"x86_64\"".to_owned(),
        "--check-cfg=cfg(bpf_target_arch,values(\"x86_64\"))".to_owned(),
    ]
}
