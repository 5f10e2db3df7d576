//! From a kernel's start to a login, in a virtual machine.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::{group::Stop, measured::Measured, root::Root, thp::Thp};
use crate::{
    build,
    vm::{self, Kernel},
};

/// Its name in the tables.
pub(crate) const NAME: &str = "boot to login";

/// Builds and fetches what needs no root.
pub(crate) fn prepare(root: &Path, kernel: Kernel, yes: bool) -> Result<()> {
    vm::boot::prepare(kernel, yes)?;
    build::static_binary(root, "rss-drift").map(drop)
}

/// The workload.
#[derive(Debug)]
pub(crate) struct Boot {
    guest: vm::boot::Boot,
    system: String,
}

impl Boot {
    /// A guest with Debian of the kernel's suite, which is made in `dir` unless it is there.
    pub(crate) fn new(root: &Path, dir: &Path, kernel: Kernel, cpus: u32, stop: &Stop) -> Result<Self> {
        let suite = kernel.suite().context("a boot needs a kernel of Debian's: its suite is what boots")?;
        let Root { disk, description } = Root::ensure(dir, suite, stop)?;
        let program = build::static_path(root, "rss-drift");
        Ok(Self { guest: vm::boot::Boot { kernel, cpus, disk, program }, system: description })
    }

    /// What boots, for the head of the page.
    pub(crate) fn describe(&self) -> Result<String> {
        Ok(format!("{} in a guest: {}", self.system, self.guest.describe()?))
    }

    /// One boot.
    pub(crate) fn measure(&self, thp: Thp, stop: &Stop) -> Result<Measured> {
        Measured::parse(&self.guest.run(&format!("transparent_hugepage={thp}"), stop.flag())?)
    }
}
