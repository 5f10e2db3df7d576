//! The checkers of `cargo xtask lint` that come as crates, built into the project's folder.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;
use ebpf_build::tools_dir;

use super::say;
use crate::cargo::{cargo, succeed};

/// A program on crates.io, at the release that the project is checked with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checker {
    krate: &'static str,
    program: &'static str,
    version: &'static str,
    /// What the build leaves out: parts that the checks do not use.
    leaves_out: &'static [&'static str],
}

/// Spelling.
pub(crate) const TYPOS: Checker =
    Checker { krate: "typos-cli", program: "typos", version: "1.52.0", leaves_out: &[] };
/// The form of TOML files.
pub(crate) const TAPLO: Checker = Checker {
    krate: "taplo-cli",
    program: "taplo",
    version: "0.10.0",
    leaves_out: &["--no-default-features"],
};
/// Licences, sources and versions of dependencies.
pub(crate) const DENY: Checker =
    Checker { krate: "cargo-deny", program: "cargo-deny", version: "0.20.2", leaves_out: &[] };

/// Deletes what the builds left. They share a folder, because they have crates in common.
pub(crate) fn clean(root: &Path) {
    // Only space.
    let _ = fs::remove_dir_all(tools_dir(root).join("build"));
}

impl Checker {
    /// Builds it where it is missing or of another release, and returns where it is.
    pub(crate) fn ensure(self, root: &Path) -> Result<PathBuf> {
        let Self { krate, program, version, leaves_out } = self;
        let path = tools_dir(root).join("bin").join(program);
        if !self.is_at(&path) {
            say(&format!("building {krate} {version} (into {}, a minute or two)", tools_dir(root).display()));
            let mut install = cargo(root, "install");
            install
                .args([krate, "--locked", "--force", "--version", &format!("={version}"), "--root"])
                .arg(tools_dir(root))
                .arg("--target-dir")
                .arg(tools_dir(root).join("build"))
                .args(leaves_out)
                // It runs for a second: the build is what takes time.
                .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
                .env("CARGO_PROFILE_RELEASE_LTO", "false")
                .env("CARGO_PROFILE_RELEASE_DEBUG", "false");
            succeed(&mut install, &format!("building {krate}"))?;
        }
        Ok(path)
    }

    /// Whether the program there is of this release.
    fn is_at(self, path: &Path) -> bool {
        let output = Command::new(path).arg("--version").output();
        output.is_ok_and(|output| {
            let printed = String::from_utf8_lossy(&output.stdout);
            printed.split_whitespace().any(|word| word == self.version)
        })
    }
}
