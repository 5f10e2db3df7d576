//! Spelling, TOML files and dependencies, by programs that are made for it.

use std::{path::Path, process::Command};

use anyhow::Result;

use crate::{
    cargo::succeed,
    setup::checkers::{Checker, DENY, TAPLO, TYPOS, clean},
};

/// Runs all of them. What they leave alone, and why, is in their files at the top of the workspace.
pub(crate) fn check(root: &Path) -> Result<()> {
    run(root, TYPOS, &[], "checking the spelling (exceptions: typos.toml)")?;
    run(
        root,
        TAPLO,
        &["format", "--check"],
        "checking the TOML files (`.tools/bin/taplo format` fixes them)",
    )?;
    // The list of advisories is fetched from a server that is neither Debian's nor a registry of crates, so it is not asked.
    let dependencies = ["--locked", "--all-features", "check", "bans", "licenses", "sources"];
    run(root, DENY, &dependencies, "checking the dependencies (rules: deny.toml)")?;
    clean(root);
    Ok(())
}

fn run(root: &Path, checker: Checker, arguments: &[&str], what: &str) -> Result<()> {
    // taplo lists every file that it found.
    succeed(
        Command::new(checker.ensure(root)?).args(arguments).current_dir(root).env("RUST_LOG", "error"),
        what,
    )
}
