//! What has to be done as root: directly, or through sudo.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs,
    io::{self, IsTerminal},
    os::unix::fs::MetadataExt,
    process::Command,
};

use anyhow::{Result, bail};

/// Variables that a program run through sudo should see too: sudo drops them.
const CARRIED: [&str; 5] = ["CI", "NO_COLOR", "RUST_BACKTRACE", "RUST_LOG", "TERM"];

/// Whether we are root.
pub(crate) fn is_root() -> bool {
    // /proc/self belongs to the effective user.
    fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

/// Whether there is somebody who can be asked.
pub(crate) fn has_terminal() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// A command that runs `program` as root, with `variables` set; `what` says in an error what root is needed for.
pub(crate) fn as_root(program: &OsStr, variables: &[(&str, &str)], what: &str) -> Result<Command> {
    if is_root() {
        let mut command = Command::new(program);
        command.envs(variables.iter().copied());
        return Ok(command);
    }
    if !in_path("sudo") {
        bail!("{what} needs root, and there is no sudo here: run the same command as root");
    }
    let mut command = Command::new("sudo");
    if !has_terminal() {
        // Nobody could type the password: fail instead of waiting for it.
        command.arg("--non-interactive");
    }
    // Through env, because sudo's own ways to pass a variable are often forbidden.
    command.arg("env");
    for name in CARRIED {
        if let Some(value) = env::var_os(name) {
            command.arg(assignment(name, &value));
        }
    }
    for (name, value) in variables {
        command.arg(assignment(name, OsStr::new(value)));
    }
    command.arg(program);
    Ok(command)
}

/// Whether PATH leads to a program of this name.
pub(crate) fn in_path(name: &str) -> bool {
    env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|dir| dir.join(name).is_file()))
}

/// `NAME=value` as env takes it.
fn assignment(name: &str, value: &OsStr) -> OsString {
    let mut text = OsString::from(name);
    text.push("=");
    text.push(value);
    text
}
