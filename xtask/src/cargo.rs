//! The user's cargo, for everything but the eBPF programs, and commands that have to succeed.

use std::{env, path::Path, process::Command};

use anyhow::{Context, Result, bail};

/// A cargo command in the workspace, with the toolchain that xtask itself was built with.
pub(crate) fn cargo(root: &Path, verb: &str) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.arg(verb).current_dir(root);
    command
}

/// Runs a command to its end; `what` says in an error what it was for.
pub(crate) fn succeed(command: &mut Command, what: &str) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("{what}: cannot run {program}"))?;
    if !status.success() {
        bail!("{what} failed ({program}: {status}); its messages are above");
    }
    Ok(())
}
