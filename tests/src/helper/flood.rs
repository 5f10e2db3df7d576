//! Floods: short lives one after the other, as fast as they go.

use std::{io, process::Command};

use nix::{
    sys::wait::{WaitStatus, waitpid},
    unistd::{ForkResult, Pid, fork},
};

use super::{
    AS_HELPER, NOTHING,
    regions::Mapped,
    serve::Answer,
    storm::{Program, an_order_waits},
    tasks::{self, Vforks},
};

/// How each process of a flood lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// fork(2): it writes to the pages, as its parent does afterwards, and ends.
    Fork,
    /// vfork(2): it writes to the pages of its parent's memory, and ends.
    Vfork,
    /// execve(2) with [`LONG`] bytes of arguments and environment.
    Exec,
    /// fork(2), it writes to the pages, and then execve(2): the copy of its parent's memory ends where it runs.
    Replace,
}

/// Bytes of each long argument: less than the kernel's limit for one (`MAX_ARG_STRLEN`, 128 KiB).
const ARGUMENT: usize = 60_000;
/// Long arguments, and as many variables of the environment.
const ARGUMENTS: usize = 4;
/// Bytes of arguments and environment of a [`Life::Exec`], at least.
pub const LONG: u64 = (2 * ARGUMENTS * ARGUMENT) as u64;

impl Life {
    const ALL: [Self; 4] = [Self::Fork, Self::Vfork, Self::Exec, Self::Replace];

    /// The word in an order.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fork => "fork",
            Self::Vfork => "vfork",
            Self::Exec => "exec",
            Self::Replace => "replace",
        }
    }

    pub(super) fn parse(word: &str) -> io::Result<Self> {
        let found = Self::ALL.into_iter().find(|life| life.name() == word);
        found.ok_or_else(|| io::Error::other("no such life"))
    }
}

/// Starts one process after the other, each of which ends before the next, until there were `limit` or an order waits; how
/// many it were.
pub(super) fn run(life: Life, limit: usize, region: Mapped, pages: usize) -> Answer {
    let mut start_one: Box<dyn FnMut() -> io::Result<()>> = match life {
        Life::Fork => Box::new(|| fork_one(region, pages)),
        Life::Vfork => {
            let vforks = Vforks::new(region, pages);
            Box::new(move || wait_for(vforks.start()?))
        }
        Life::Exec => {
            let long = "x".repeat(ARGUMENT);
            Box::new(move || exec_one(&long))
        }
        Life::Replace => {
            let program = Program::this()?;
            Box::new(move || replace_one(&program, region, pages))
        }
    };
    let mut lives = 0;
    while lives < limit && !an_order_waits(0)? {
        start_one()?;
        lives += 1;
    }
    Ok(vec![lives as u64])
}

fn fork_one(region: Mapped, pages: usize) -> io::Result<()> {
    // SAFETY: the child touches memory and ends.
    match unsafe { fork() }? {
        ForkResult::Child => {
            region.write(0, pages);
            tasks::leave()
        }
        ForkResult::Parent { child } => {
            region.write(0, pages);
            wait_for(child)
        }
    }
}

fn replace_one(program: &Program, region: Mapped, pages: usize) -> io::Result<()> {
    // SAFETY: the child touches memory, makes one system call and ends.
    match unsafe { fork() }? {
        ForkResult::Child => {
            region.write(0, pages);
            program.become_it();
            // SAFETY: ends the child without running anything of the parent's.
            unsafe { libc::_exit(1) }
        }
        ForkResult::Parent { child } => wait_for(child),
    }
}

fn exec_one(long: &str) -> io::Result<()> {
    let mut command = Command::new("/proc/self/exe");
    command.args([AS_HELPER, NOTHING]).args([long; ARGUMENTS]);
    command.envs((0..ARGUMENTS).map(|number| (format!("LONG{number}"), long)));
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("a program ended with {status}"))) }
}

fn wait_for(child: Pid) -> io::Result<()> {
    match waitpid(child, None)? {
        WaitStatus::Exited(_, 0) => Ok(()),
        status => Err(io::Error::other(format!("a child ended with {status:?}"))),
    }
}
