//! The LLVM library that a compiler uses.

use std::{
    fs,
    path::{Path, PathBuf},
};

use ebpf_build::{Compiler, Version};

/// A shared LLVM library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Library {
    /// The file.
    pub(crate) path: PathBuf,
    /// The first number of its version.
    pub(crate) major: u32,
}

/// The library of this compiler, if it has a shared one that bpf-linker can be built against.
pub(crate) fn library_of(compiler: &Compiler) -> Option<Library> {
    super::bpf_linker::feature(compiler.llvm.major)?;
    // <sysroot>/bin/rustc
    let sysroot = compiler.rustc.parent()?.parent()?;
    directories(sysroot).iter().find_map(|dir| {
        let entries = fs::read_dir(dir).ok()?;
        let mut names: Vec<_> =
            entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        let name = names.into_iter().find(|name| is_library(name, compiler.llvm))?;
        Some(Library { path: dir.join(name), major: compiler.llvm.major })
    })
}

/// Where a toolchain or a distribution keeps it.
fn directories(sysroot: &Path) -> [PathBuf; 3] {
    ["lib", "lib/x86_64-linux-gnu", "lib64"].map(|dir| sysroot.join(dir))
}

/// Whether a file of this name is LLVM of this version: `libLLVM.so.22.1` (distributions),
/// `libLLVM.so.22.1-rust-1.95.0-stable` (rustup).
fn is_library(name: &str, version: Version) -> bool {
    let Some(rest) = name.strip_prefix("libLLVM.so.") else { return false };
    let Some(found) = Version::parse(rest) else { return false };
    (found.major, found.minor) == (version.major, version.minor)
}

#[cfg(test)]
mod tests {
    use super::*;

    const V22_1_2: Version = Version::new(22, 1, 2);

    #[test]
    fn names_of_the_library() {
        assert!(is_library("libLLVM.so.22.1-rust-1.95.0-stable", V22_1_2));
        assert!(is_library("libLLVM.so.22.1", V22_1_2));
    }

    #[test]
    fn names_of_something_else() {
        for name in [
            "libLLVM.so.21.1",
            "libLLVM.so.22.10",
            "libLLVM-22-rust-1.95.0-stable.so",
            "libLLVM.so",
            "libclang.so.22.1",
            "librustc_driver-6108105cd7e839cf.so",
        ] {
            assert!(!is_library(name, V22_1_2), "{name}");
        }
    }
}
