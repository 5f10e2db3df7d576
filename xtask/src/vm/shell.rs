//! `vm shell`: a shell in a guest.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Result, bail};

use super::{guest, run::Hardware};

/// Arguments of `vm shell`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    hardware: Hardware,
}

/// Boots the guest and waits until it is switched off.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let machine = args.hardware.machine()?;
    let files: &[PathBuf] = &args.hardware.file;
    let status = guest::shell(&machine, files)?;
    if !status.success() {
        bail!("QEMU ended with {status}");
    }
    Ok(ExitCode::SUCCESS)
}
