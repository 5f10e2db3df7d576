//! The environment of the eBPF build: which variables steer it, and which of an outer cargo's must not reach it.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Where the loader looks for shared libraries first.
const LIBRARY_PATH: &str = "LD_LIBRARY_PATH";

/// Names the compiler to use instead of the ones that are looked for.
pub const RUSTC_VARIABLE: &str = "RSS_DRIFT_RUSTC";
/// Names the bpf-linker to use instead of the ones that are looked for.
pub const BPF_LINKER_VARIABLE: &str = "RSS_DRIFT_BPF_LINKER";

/// What the user named by a variable of ours.
pub(crate) fn named(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// Takes everything out of `command`'s environment that an outer cargo or rustup put there for its own build: flags,
/// compiler, toolchain, target directory, profile. What the user set about the network, the registry and the output
/// stays, and so does the job server.
pub fn forget_outer_cargo(command: &mut Command) {
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(is_outer) {
            command.env_remove(name);
        }
    }
    // cargo puts its toolchain's libraries first. Another compiler of the same release would load them, and take that
    // toolchain for its own.
    if let Some(path) = env::var_os(LIBRARY_PATH) {
        let others: Vec<_> = env::split_paths(&path).filter(|dir| !has_compiler_library(dir)).collect();
        match env::join_paths(others) {
            Ok(path) if !path.is_empty() => command.env(LIBRARY_PATH, path),
            _ => command.env_remove(LIBRARY_PATH),
        };
    }
}

/// Whether the library that is the compiler lies in this directory.
fn has_compiler_library(dir: &Path) -> bool {
    let is_compiler =
        |entry: fs::DirEntry| entry.file_name().as_encoded_bytes().starts_with(b"librustc_driver");
    fs::read_dir(dir).is_ok_and(|entries| entries.flatten().any(is_compiler))
}

/// Whether this variable is about the outer build.
fn is_outer(name: &str) -> bool {
    const KEPT: [&str; 6] =
        ["CARGO_HOME", "CARGO_MAKEFLAGS", "CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTR", "CARGO_TERM_"];
    const DROPPED: [&str; 6] = ["CARGO", "__CARGO", "DEP_", "CLIPPY_", "RUSTC", "RUSTDOC"];
    const DROPPED_EXACTLY: [&str; 10] = [
        "DEBUG",
        "HOST",
        "NUM_JOBS",
        "OPT_LEVEL",
        "OUT_DIR",
        "PROFILE",
        "RUSTFLAGS",
        "RUSTUP_TOOLCHAIN",
        "RUSTUP_TOOLCHAIN_SOURCE",
        "TARGET",
    ];
    let starts_with_any = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    DROPPED_EXACTLY.contains(&name) || starts_with_any(&DROPPED) && !starts_with_any(&KEPT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outer_builds_variables_go() {
        for name in [
            "CARGO",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_BUILD_TARGET",
            "CARGO_TARGET_DIR",
            "CARGO_PROFILE_RELEASE_LTO",
            "CARGO_PKG_NAME",
            "RUSTC",
            "RUSTC_WRAPPER",
            "RUSTC_WORKSPACE_WRAPPER",
            "RUSTC_BOOTSTRAP",
            "RUSTFLAGS",
            "RUSTDOCFLAGS",
            "RUSTUP_TOOLCHAIN",
            "CLIPPY_ARGS",
            "DEP_Z_INCLUDE",
            "OUT_DIR",
        ] {
            assert!(is_outer(name), "{name}");
        }
    }

    #[test]
    fn the_users_stay() {
        for name in [
            "PATH",
            "HOME",
            "CARGO_HOME",
            "RUSTUP_HOME",
            "CARGO_MAKEFLAGS",
            "CARGO_NET_OFFLINE",
            "CARGO_HTTP_PROXY",
            "CARGO_REGISTRIES_MIRROR_INDEX",
            "CARGO_TERM_COLOR",
            "TARGETS",
        ] {
            assert!(!is_outer(name), "{name}");
        }
    }
}
