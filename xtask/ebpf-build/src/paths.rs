//! Where the project keeps what the eBPF build needs and makes.

use std::{
    env,
    path::{Path, PathBuf},
};

/// The ignored folder of the project that `cargo xtask setup` installs into.
#[must_use]
pub fn tools_dir(root: &Path) -> PathBuf {
    root.join(".tools")
}

/// The record of the pair of tools that was found; see [`crate::record`].
#[must_use]
pub fn stamp_file(root: &Path) -> PathBuf {
    tools_dir(root).join("pair")
}

/// The target directory of the eBPF build: one of its own, because the cargo that runs the build script holds the lock
/// of its own one, and the same for debug, release and static builds, because the object is the same for all of them.
#[must_use]
pub fn ebpf_target_dir(root: &Path) -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    target.map_or_else(|| root.join("target"), |dir| root.join(dir)).join("ebpf")
}

/// The user's home directory.
pub(crate) fn home() -> Option<PathBuf> {
    env::home_dir().filter(|home| home.is_absolute())
}

/// A directory that an environment variable names, or else a folder of the user's home.
pub(crate) fn variable_or_home(variable: &str, folder: &str) -> Option<PathBuf> {
    let named = env::var_os(variable).filter(|dir| !dir.is_empty()).map(PathBuf::from);
    named.or_else(|| Some(home()?.join(folder)))
}

/// The directories of PATH.
pub(crate) fn path_dirs() -> Vec<PathBuf> {
    env::var_os("PATH").map_or_else(Vec::new, |path| env::split_paths(&path).collect())
}
