//! Kernels that are there: the cache of those that were fetched, and files of this host.

use std::{fmt, path::PathBuf, process::Command};

use anyhow::{Context, Result, bail};

use super::{
    kernels::{Kernel, Source},
    tools,
};

/// A kernel that can be booted.
#[derive(Clone, Debug)]
pub(crate) struct Cached {
    /// Which one it is.
    pub(crate) kernel: Kernel,
    /// As `uname -r` says.
    pub(crate) release: String,
    /// The version of Debian's package; empty for a file of this host.
    pub(crate) version: String,
    /// Where its files are.
    pub(crate) dir: PathBuf,
}

/// The folder of a kernel in the cache.
pub(crate) fn dir(kernel: Kernel) -> PathBuf {
    super::cache().join("kernels").join(kernel.name())
}

impl Cached {
    /// Opens what was fetched before, its checksums verified; `None` if nothing was.
    pub(crate) fn open(kernel: Kernel) -> Result<Option<Self>> {
        let dir = dir(kernel);
        let file = dir.join("version");
        if !file.exists() {
            return Ok(None);
        }
        let refetch = || format!("`cargo xtask vm fetch --refresh --kernel {kernel}` fetches it anew");
        tools::output(
            Command::new("sha256sum").current_dir(&dir).args(["--check", "--quiet", "--strict", "sha256"]),
        )
        .with_context(|| format!("kernel {kernel} in {} is damaged: {}", dir.display(), refetch()))?;
        let text =
            std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let Some((release, version)) = text.trim_end().split_once(' ') else {
            bail!("{} says {text:?} where a release and a version belong: {}", file.display(), refetch());
        };
        Ok(Some(Self { kernel, release: release.to_owned(), version: version.to_owned(), dir }))
    }

    /// What QEMU boots.
    pub(crate) fn vmlinuz(&self) -> PathBuf {
        self.dir.join("vmlinuz")
    }

    /// A tree with lib/modules/RELEASE.
    pub(crate) fn modules(&self) -> PathBuf {
        self.dir.join("modules")
    }
}

impl fmt::Display for Cached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", self.kernel, self.release)?;
        match self.kernel.source() {
            Source::Debian(_) => write!(f, ", Debian {})", self.version),
            Source::File(path) => write!(f, ", {})", path.display()),
        }
    }
}
