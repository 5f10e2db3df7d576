//! The kernels that are tested, where Debian has them, and the cache of those that were fetched.

use std::{fmt, path::PathBuf, process::Command};

use anyhow::{Context, Result, bail};

use super::tools;

/// One line of kernels, named as on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Kernel {
    /// Debian 11, bullseye
    #[value(name = "5.10")]
    V5_10,
    /// Debian 12, bookworm
    #[value(name = "6.1")]
    V6_1,
    /// Debian 13, trixie
    #[value(name = "6.12")]
    V6_12,
    /// Debian's development, sid
    #[value(name = "7.x")]
    V7,
}

impl Kernel {
    /// All of them, oldest first.
    pub(crate) const ALL: [Self; 4] = [Self::V5_10, Self::V6_1, Self::V6_12, Self::V7];

    /// The name on the command line and in every table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V5_10 => "5.10",
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
            Self::V7 => "7.x",
        }
    }

    /// The suite of Debian's archive that has it.
    pub(crate) fn suite(self) -> &'static str {
        match self {
            Self::V5_10 => "bullseye",
            Self::V6_1 => "bookworm",
            Self::V6_12 => "trixie",
            Self::V7 => "sid",
        }
    }

    /// Whether the security archive has newer ones: sid's updates are in sid.
    pub(crate) fn has_security(self) -> bool {
        self != Self::V7
    }

    /// How its releases begin. A suite moves on (sid will have 8.0): what was fetched must be what was asked for.
    pub(crate) fn release_prefix(self) -> &'static str {
        match self {
            Self::V5_10 => "5.10.",
            Self::V6_1 => "6.1.",
            Self::V6_12 => "6.12.",
            Self::V7 => "7.",
        }
    }

    /// Its folder in the cache.
    pub(crate) fn dir(self) -> PathBuf {
        super::cache().join("kernels").join(self.name())
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A kernel in the cache, its checksums verified.
#[derive(Clone, Debug)]
pub(crate) struct Cached {
    /// Which line it is of.
    pub(crate) kernel: Kernel,
    /// As `uname -r` says.
    pub(crate) release: String,
    /// The version of Debian's package.
    pub(crate) version: String,
}

impl Cached {
    /// Opens what was fetched before; `None` if nothing was.
    pub(crate) fn open(kernel: Kernel) -> Result<Option<Self>> {
        let dir = kernel.dir();
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
        Ok(Some(Self { kernel, release: release.to_owned(), version: version.to_owned() }))
    }

    /// The compressed kernel that QEMU boots.
    pub(crate) fn vmlinuz(&self) -> PathBuf {
        self.kernel.dir().join("vmlinuz")
    }

    /// A tree with lib/modules/RELEASE.
    pub(crate) fn modules(&self) -> PathBuf {
        self.kernel.dir().join("modules")
    }
}

impl fmt::Display for Cached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, Debian {})", self.kernel, self.release, self.version)
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn names_are_those_of_the_command_line() {
        for kernel in Kernel::ALL {
            assert_eq!(Kernel::from_str(kernel.name(), false), Ok(kernel));
        }
        assert_eq!(Kernel::value_variants(), Kernel::ALL);
    }
}
