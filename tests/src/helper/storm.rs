//! Many short lives: children that end at once, some of them after an execve.

use std::{
    ffi::CString,
    io,
    time::{Duration, Instant},
};

use nix::{
    sys::wait::{WaitPidFlag, WaitStatus, waitpid},
    unistd::{ForkResult, execv, fork},
};

use super::{AS_HELPER, NOTHING, serve::Answer};

/// Of how many children one calls execve.
const EXEC_EVERY: u32 = 10;

/// This very program as one that ends at once, ready for execve(2) in a child.
pub(super) struct Program {
    path: CString,
    arguments: Vec<CString>,
}

impl Program {
    pub(super) fn this() -> io::Result<Self> {
        let arguments = ["live-nothing", AS_HELPER, NOTHING].map(CString::new);
        let arguments = arguments.into_iter().collect::<Result<_, _>>()?;
        Ok(Self { path: CString::new("/proc/self/exe")?, arguments })
    }

    /// execve(2); comes back when that fails.
    pub(super) fn become_it(&self) {
        let _ = execv(&self.path, &self.arguments);
    }
}

/// Starts `rate` children a second until the next order comes, and waits for all of them; how many it were.
pub(super) fn run(rate: usize) -> Answer {
    let program = Program::this()?;
    let began = Instant::now();
    let pause = Duration::from_secs(1) / u32::try_from(rate).map_err(io::Error::other)?;
    let mut started: u32 = 0;
    while !an_order_waits(1)? {
        // As many as are due: a late one is caught up with, one in each round, so that an order is never kept waiting.
        if pause * started < began.elapsed() {
            started += 1;
            // SAFETY: the child makes system calls only.
            if let ForkResult::Child = unsafe { fork() }? {
                if started.is_multiple_of(EXEC_EVERY) {
                    program.become_it();
                }
                // SAFETY: ends the child without running anything of the parent's.
                unsafe { libc::_exit(0) }
            }
        }
        while matches!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Ok(WaitStatus::Exited(..))) {}
    }
    while let Ok(status) = waitpid(None, None) {
        if !matches!(status, WaitStatus::Exited(_, 0)) {
            return Err(io::Error::other(format!("a child ended with {status:?}")));
        }
    }
    Ok(vec![started.into()])
}

/// Whether the next order is there; waits so many milliseconds for it.
pub(super) fn an_order_waits(patience: libc::c_int) -> io::Result<bool> {
    let mut order = libc::pollfd { fd: libc::STDIN_FILENO, events: libc::POLLIN, revents: 0 };
    // SAFETY: one pollfd, as the count says.
    match unsafe { libc::poll(&raw mut order, 1, patience) } {
        -1 => Err(io::Error::last_os_error()),
        ready => Ok(ready > 0),
    }
}
