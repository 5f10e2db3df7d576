//! A whole system that boots from a disk in a guest, measured by `rss-drift run` from its init's first instruction on.

use std::{
    io,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use super::{
    fetch,
    guest::{self, Job},
    kernels::Kernel,
    qemu::{End, Machine},
    tools,
};

/// What a guest runs.
const SCRIPT: &str = include_str!("boot.sh");

/// Memory of a guest in MiB.
const MEMORY: u32 = 2048;

/// An emulated guest on a busy host takes minutes.
const TIMEOUT: Duration = Duration::from_secs(1800);

/// Fetches what a boot needs.
pub(crate) fn prepare(kernel: Kernel, yes: bool) -> Result<()> {
    tools::ensure(yes)?;
    fetch::ensure(kernel).map(drop)
}

/// A guest that boots.
#[derive(Debug)]
pub(crate) struct Boot {
    /// Its kernel.
    pub(crate) kernel: Kernel,
    /// Its CPUs.
    pub(crate) cpus: u32,
    /// The system: an image of ext4, where a login writes a word that begins with `login` into /run/login.
    pub(crate) disk: PathBuf,
    /// rss-drift, static.
    pub(crate) program: PathBuf,
}

impl Boot {
    /// The kernel and its memory, for the reader of a table.
    pub(crate) fn describe(&self) -> Result<String> {
        Ok(format!("kernel {}, {} CPUs, {MEMORY} MiB", fetch::ensure(self.kernel)?, self.cpus))
    }

    /// Boots until somebody has logged in and returns the report; `word` joins the kernel's command line.
    pub(crate) fn run(&self, word: &str, stop: &AtomicBool) -> Result<String> {
        let machine = Machine {
            kernel: fetch::ensure(self.kernel)?,
            cpus: self.cpus,
            memory: MEMORY,
            append: vec![word.to_owned()],
            icount: false,
            disk: Some(self.disk.clone()),
        };
        let command = ["sh", "-c", SCRIPT, "boot.sh"].map(str::to_owned);
        let files = [self.program.clone()];
        let job = Job { command: &command, files: &files, timeout: TIMEOUT };
        let mut out = Vec::new();
        let (end, console) = job.run(&machine, stop, &mut out, &mut io::stderr())?;
        log(&console)?;
        match end {
            End::Exited(0) => String::from_utf8(out).context("the guest printed something else than text"),
            End::Interrupted => bail!("interrupted"),
            end => {
                eprint!("{}", guest::tail(&console));
                bail!("the guest with kernel {} did not boot to a login: {end:?}", self.kernel)
            }
        }
    }
}

/// Keeps the last console.
fn log(console: &str) -> Result<()> {
    let file = super::target().join("log/boot.console");
    let dir = file.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(dir)
        .and_then(|()| std::fs::write(&file, console))
        .with_context(|| format!("cannot write {}", file.display()))
}
