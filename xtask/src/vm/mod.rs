//! `cargo xtask vm`: Debian's kernels in virtual machines, for the tests and for everyday work.
//!
//! Nothing is installed and no disk is made: a kernel of the cloud flavour boots with an initrd of busybox and the files
//! asked for, and ends when its one command has ended.

use std::{path::PathBuf, process::ExitCode};

use crate::workspace;

mod apt;
mod fetch;
mod guest;
mod image;
pub(crate) mod kernels;
mod marker;
mod matrix;
mod qemu;
mod report;
mod results;
pub(crate) mod run;
mod shell;
mod summary;
mod table;
pub(crate) mod test;
pub(crate) mod tools;

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
pub(crate) fn main(verb: Verb) -> anyhow::Result<ExitCode> {
    if !matches!(verb, Verb::Report | Verb::Test(_)) {
        tools::ensure(false)?;
    }
    match verb {
        Verb::Fetch(args) => fetch::run(&args),
        Verb::Run(args) => run::run(&args),
        Verb::Test(args) => test::run(&args),
        Verb::Shell(args) => shell::run(&args),
        Verb::Report => report::run(),
    }
}

/// Where kernels are kept: outside of target/, so that `cargo clean` does not cost a download.
fn cache() -> PathBuf {
    workspace::root().join(".tools/vm")
}

/// Where logs and results of the last runs are.
fn target() -> PathBuf {
    workspace::root().join("target/vm")
}
