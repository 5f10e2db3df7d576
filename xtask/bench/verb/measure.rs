//! Builds the program that measures, runs it as root, and takes its figures.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, Result, bail};

use super::figures::Figures;
use crate::{
    cargo::{cargo, succeed},
    privilege::as_root,
};

/// The programs of a bench.
#[derive(Debug)]
pub(crate) struct Programs {
    /// rss-drift itself.
    pub(crate) command: PathBuf,
    /// What measures.
    bench: PathBuf,
}

impl Programs {
    /// Builds both. The set-up has been done.
    pub(crate) fn build(root: &Path) -> Result<Self> {
        let target_dir = root.join("target");
        let mut command = cargo(root, "build");
        command
            .args(["--locked", "--release"])
            .args(["--package", "rss-drift", "--bin", "rss-drift"])
            .args(["--package", "bench", "--bin", "bench"])
            .arg("--target-dir")
            .arg(&target_dir);
        succeed(&mut command, "building rss-drift and its bench")?;
        let release = target_dir.join("release");
        Ok(Self { command: release.join("rss-drift"), bench: release.join("bench") })
    }

    /// Runs the measuring program as root. Its progress goes to the terminal.
    pub(crate) fn measure(&self, arguments: &[OsString]) -> Result<Figures> {
        let mut command = as_root(self.bench.as_os_str(), &[], "the bench loads eBPF programs, which")?;
        let output = command
            .args(arguments)
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("cannot run {}", self.bench.display()))?;
        if !output.status.success() {
            bail!("measuring failed ({}); its message is above", output.status);
        }
        Figures::parse(&String::from_utf8_lossy(&output.stdout))
    }
}
