//! `cargo xtask vm`: Debian's kernels in virtual machines, for the tests and for everyday work.
//!
//! Nothing is installed and no disk is made: a kernel of the cloud flavour boots with an initrd of busybox and the files
//! asked for, and ends when its one command has ended.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use self::{
    guest::Job,
    qemu::{End, Machine},
};
use crate::{times::Times, workspace};

mod apt;
pub(crate) mod boot;
mod bzimage;
mod cached;
mod fetch;
mod guest;
mod image;
mod kernels;
mod largest;
mod marker;
mod matrix;
mod own;
mod qemu;
mod report;
mod results;
pub(crate) mod run;
mod shell;
mod summary;
pub(crate) mod test;
pub(crate) mod tools;
mod variant;
mod wide;
mod wide_report;

pub(crate) use apt::Mirrors;
pub(crate) use kernels::Kernel;

/// What `cargo xtask vm` can do.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Download the kernels (done by the other verbs too, once)
    Fetch(fetch::Args),
    /// Run one command in a guest: its output, its exit status
    Run(run::Args),
    /// Run the live tests in a guest per kernel and number of CPUs
    Test(test::Args),
    /// A shell in a guest, on this terminal (Ctrl-A X ends it)
    Shell(shell::Args),
    /// Write docs/compatibility.md from the last `vm test`
    Report,
}

/// Runs one verb.
pub(crate) fn main(verb: Verb) -> Result<ExitCode> {
    if !matches!(verb, Verb::Report | Verb::Test(_)) {
        tools::ensure(false)?;
    }
    match verb {
        Verb::Fetch(args) => Ok(fetch::run(&args)),
        Verb::Run(args) => run::run(&args),
        Verb::Test(args) => {
            let mut times = Times::default();
            let status = test::run(&args, &mut times);
            eprint!("{times}");
            status
        }
        Verb::Shell(args) => shell::run(&args),
        Verb::Report => report::run(),
    }
}

/// What the static `program` prints in a guest whose clock counts instructions. Its errors go to the terminal.
pub(crate) fn count_instructions(
    kernel: Kernel,
    cpus: u32,
    program: &Path,
    arguments: &[&str],
) -> Result<String> {
    /// Enough for the programs' maps with any number of CPUs.
    const MEMORY: u32 = 2048;
    tools::ensure(false)?;
    let machine = Machine {
        kernel: fetch::ensure(kernel)?,
        cpus,
        memory: MEMORY,
        append: Vec::new(),
        icount: true,
        disk: None,
    };
    let program = program.to_str().context("a path that is no text")?;
    let command: Vec<_> = [program].iter().chain(arguments).map(ToString::to_string).collect();
    // Counting is slow, and so is one thread for all CPUs.
    let timeout = Duration::from_secs(300 + 15 * u64::from(cpus));
    let job = Job { command: &command, files: &[], timeout };
    let mut out = Vec::new();
    let (end, console) = job.run(&machine, &*qemu::stop_flag()?, &mut out, &mut std::io::stderr())?;
    if end != End::Exited(0) {
        eprint!("{}", guest::tail(&console));
        bail!("measuring in a guest with kernel {} and {cpus} CPUs failed: {end:?}", kernel.name());
    }
    String::from_utf8(out).context("the guest printed something else than text")
}

/// Where kernels are kept: outside of target/, so that `cargo clean` does not cost a download.
fn cache() -> PathBuf {
    workspace::root().join(".tools/vm")
}

/// Where logs and results of the last runs are.
fn target() -> PathBuf {
    workspace::root().join("target/vm")
}
