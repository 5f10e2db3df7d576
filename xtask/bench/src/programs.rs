//! Other programs: run to their end, or to the first that they print.

use std::{
    io::{self, Read as _},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::unistd::getpid;

use crate::idle::end_with_parent;

/// A program by its name or path, which ends when this one does.
pub fn program(path: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(path);
    // A user's settings (top's, for example) are not to decide what is measured.
    command.args(arguments).env("HOME", "/nonexistent").env("TERM", "dumb").stdin(Stdio::null());
    let parent = getpid();
    // SAFETY: the closure makes system calls only.
    unsafe { command.pre_exec(move || end_with_parent(parent)) };
    command
}

/// A program that runs until it is dropped.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a program.
pub fn start(command: &mut Command) -> Result<Child> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.spawn().with_context(|| {
        format!(
            "cannot run {name}: ps and top are in Debian's package procps, htop is in htop, pidstat in sysstat, perf in \
             linux-perf, bpftrace in bpftrace"
        )
    })
}

/// Runs a program to its end and reads all that it prints. The time from its start to the first of that, or to its end where
/// it prints nothing.
pub fn run_to_end(path: &Path, arguments: &[&str]) -> Result<Duration> {
    let mut command = program(path, arguments);
    let began = Instant::now();
    let mut child = start(command.stdout(Stdio::piped()))?;
    let first_output = child.stdout.take().map_or(Ok(None), |output| drain(output, began))?;
    let status = child.wait().context("cannot wait for a program")?;
    let end = began.elapsed();
    if !status.success() {
        bail!("{} failed: {status}; its message is above", path.display());
    }
    Ok(first_output.unwrap_or(end))
}

/// Reads to the end of `output`; when the first of it came, since `began`.
fn drain(mut output: ChildStdout, began: Instant) -> Result<Option<Duration>> {
    let mut buffer = [0; 8192];
    let mut first = None;
    loop {
        match output.read(&mut buffer) {
            Ok(0) => return Ok(first),
            Ok(_) => first = first.or_else(|| Some(began.elapsed())),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context("cannot read what a program prints"),
        }
    }
}
