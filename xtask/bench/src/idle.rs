//! Many processes that have touched a few pages and wait.

use std::{
    fs::File,
    io::{self, Read as _},
    os::fd::{AsRawFd as _, OwnedFd},
};

use anyhow::{Context as _, Result};
use nix::{
    sys::{
        signal::{Signal, kill},
        wait::waitpid,
    },
    unistd::{ForkResult, Pid, fork, getpid, pipe2},
};

/// Pages that each of them touches: enough that its counters are in use.
const PAGES: usize = 8;
/// Bytes per page here; a larger page is only touched more than once.
const PAGE: usize = 4096;

/// The processes; they end with it.
#[derive(Debug, Default)]
pub struct IdleProcesses {
    pids: Vec<Pid>,
}

impl IdleProcesses {
    /// Starts as many more as it takes for `count`, and waits until all wait. This process must have one thread.
    pub fn grow_to(&mut self, count: usize) -> Result<()> {
        let (ready, tell) = pipe2(nix::fcntl::OFlag::O_CLOEXEC).context("cannot make a pipe")?;
        let parent = getpid();
        while self.pids.len() < count {
            // SAFETY: there is no other thread; the child makes system calls and touches its own mapping until it ends.
            match unsafe { fork() } {
                Ok(ForkResult::Parent { child }) => self.pids.push(child),
                Ok(ForkResult::Child) => wait(parent, &tell),
                Err(error) => {
                    return Err(error).with_context(|| {
                        format!(
                            "cannot fork process {} of {count}: see ulimit -u and cgroup pids.max",
                            self.pids.len() + 1
                        )
                    });
                }
            }
        }
        drop(tell);
        // The end of the pipe: every child has closed its end.
        let mut answers = Vec::new();
        File::from(ready).read_to_end(&mut answers).context("cannot wait for the idle processes")?;
        Ok(())
    }
}

impl Drop for IdleProcesses {
    fn drop(&mut self) {
        for &pid in &self.pids {
            // One that is gone already needs no signal; the wait reaps it.
            let _ = kill(pid, Signal::SIGKILL);
        }
        for &pid in &self.pids {
            let _ = waitpid(pid, None);
        }
    }
}

/// The child's life.
fn wait(parent: Pid, tell: &OwnedFd) -> ! {
    // SAFETY: plain system calls; the mapping is private to this child and the writes stay within it.
    unsafe {
        // However this program ends, its children do too.
        end_with_parent(parent).unwrap_or_else(|_| libc::_exit(1));
        let memory = libc::mmap(
            core::ptr::null_mut(),
            PAGES * PAGE,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        if memory != libc::MAP_FAILED {
            for page in 0..PAGES {
                memory.cast::<u8>().add(page * PAGE).write_volatile(1);
            }
        }
        // Our BPF programs and their maps are not to be held by a thousand processes.
        libc::close(tell.as_raw_fd());
        libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0);
        loop {
            libc::pause();
        }
    }
}

/// Has the kernel kill this process when `parent` ends. To be called right after a fork: makes system calls only.
pub fn end_with_parent(parent: Pid) -> io::Result<()> {
    // SAFETY: plain system calls.
    let ends = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    // It may have ended before the kernel was told.
    if ends == 0 && nix::unistd::getppid() == parent { Ok(()) } else { Err(io::Error::last_os_error()) }
}
