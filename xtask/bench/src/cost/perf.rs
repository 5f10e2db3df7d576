//! `perf record` on `kmem:rss_stat`.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::fd::{AsRawFd as _, OwnedFd},
    path::Path,
    process::Stdio,
};

use anyhow::{Context as _, Result};
use nix::{
    fcntl::{FcntlArg, FdFlag, OFlag, fcntl},
    unistd::pipe2,
};

use crate::programs::{Running, program, start};

/// Starts it, and returns when it records.
pub fn record() -> Result<Running> {
    let pipe = || pipe2(OFlag::O_CLOEXEC).context("cannot make a pipe");
    let ((control, ask), (answers, acknowledge)) = (pipe()?, pipe()?);
    let inherited = |fd: &OwnedFd| {
        fcntl(fd, FcntlArg::F_SETFD(FdFlag::empty())).map(drop).context("cannot hand a pipe on to perf")
    };
    inherited(&control)?;
    inherited(&acknowledge)?;
    let control_argument = format!("--control=fd:{},{}", control.as_raw_fd(), acknowledge.as_raw_fd());
    let arguments = [
        "record",
        "--all-cpus",
        "--event",
        "kmem:rss_stat",
        "--output",
        "/dev/null",
        "--delay=-1",
        &control_argument,
    ];
    let mut command = program(Path::new("perf"), &arguments);
    // It tells how often it woke up.
    let perf = Running(start(command.stdout(Stdio::null()).stderr(Stdio::null()))?);
    drop((control, acknowledge));
    let mut answer = [0; 4];
    File::from(ask)
        .write_all(b"enable\n")
        .and_then(|()| File::from(answers).read_exact(&mut answer))
        .context("perf does not record: try `perf record -a -e kmem:rss_stat true`")?;
    Ok(perf)
}
