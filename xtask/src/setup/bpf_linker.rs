//! bpf-linker, built from source into the project's folder.

use std::{
    env,
    ffi::OsString,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use ebpf_build::{Compiler, forget_outer_cargo, tools_dir};

use super::{llvm::Library, say};
use crate::cargo::succeed;

/// The release that the project is tested with.
const VERSION: &str = "0.13.0";

/// The feature of that release that goes with this major version of LLVM, if there is one.
pub(crate) fn feature(llvm_major: u32) -> Option<String> {
    matches!(llvm_major, 21..=23).then(|| format!("llvm-{llvm_major}"))
}

/// Builds and installs it.
pub(crate) fn install(root: &Path, compiler: &Compiler, llvm: &Library) -> Result<()> {
    let feature = feature(llvm.major)
        .with_context(|| format!("bpf-linker {VERSION} cannot be built with LLVM {}", llvm.major))?;
    say(&format!(
        "building bpf-linker {VERSION} with LLVM {} from {} (links the eBPF programs; into {}, about half a minute)",
        compiler.llvm,
        llvm.path.display(),
        tools_dir(root).display()
    ));
    let prefix = link_library(root, llvm)?;
    let build_dir = tools_dir(root).join("build");
    let mut command = Command::new(&compiler.cargo);
    forget_outer_cargo(&mut command);
    command
        .args(["install", "bpf-linker", "--locked", "--force", "--no-default-features"])
        .args(["--version", &format!("={VERSION}"), "--features", &feature, "--root"])
        .arg(tools_dir(root))
        .arg("--target-dir")
        .arg(&build_dir)
        .env("LLVM_PREFIX", prefix)
        // cargo would warn that the folder it installs into is not there; nobody but us looks for the linker.
        .env("PATH", path_with(&tools_dir(root).join("bin"))?)
        .env("RUSTC", &compiler.rustc)
        .env("CARGO_ENCODED_RUSTFLAGS", "")
        // Nearly all of its work is LLVM's, which is there already: what it does itself need not be fast.
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "false");
    succeed(&mut command, "building bpf-linker")?;
    // Only space: the next build of it, if ever, is for another LLVM.
    let _ = fs::remove_dir_all(&build_dir);
    Ok(())
}

/// PATH with one more folder at its end.
fn path_with(dir: &Path) -> Result<OsString> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::join_paths(env::split_paths(&path).chain([dir.to_owned()]))
        .with_context(|| format!("{} cannot be part of PATH: move the project", dir.display()))
}

/// Makes a folder with the library under the names that the linker and the loader look for, as bpf-linker's build wants
/// it, and returns the folder above it.
fn link_library(root: &Path, llvm: &Library) -> Result<PathBuf> {
    let prefix = tools_dir(root).join("llvm");
    let lib = prefix.join("lib");
    let name = llvm.path.file_name().context("the LLVM library has no name")?;
    if lib.exists() {
        fs::remove_dir_all(&lib).with_context(|| format!("cannot empty {}", lib.display()))?;
    }
    fs::create_dir_all(&lib).with_context(|| format!("cannot create {}", lib.display()))?;
    for link in [lib.join("libLLVM.so"), lib.join(name)] {
        symlink(&llvm.path, &link).with_context(|| format!("cannot create {}", link.display()))?;
    }
    Ok(prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_follow_llvm() {
        assert_eq!(feature(22).as_deref(), Some("llvm-22"));
        assert_eq!(feature(20), None);
        assert_eq!(feature(24), None);
    }
}
