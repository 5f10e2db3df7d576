//! The command: forked first, and executed when everything is attached.

use std::{
    ffi::{CString, OsString},
    fs::File,
    io::{self, Read as _, Write as _},
    os::{fd::AsRawFd as _, unix::ffi::OsStrExt as _},
    ptr,
};

use nix::{
    errno::Errno,
    fcntl::OFlag,
    sys::{
        signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask},
        wait::waitpid,
    },
    unistd::{ForkResult, Pid, fork, pipe2},
};

#[derive(Debug, thiserror::Error)]
#[error("cannot execute {name}: {}", .errno.desc())]
pub(super) struct NotExecuted {
    name: String,
    errno: Errno,
}

impl NotExecuted {
    /// The exit status that shells give.
    pub(super) fn code(&self) -> u8 {
        if self.errno == Errno::ENOENT { 127 } else { 126 }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    /// As wait4(2) says.
    pub status: i32,
    /// `ru_maxrss`, in bytes: of the command and of the children that it waited for.
    pub maxrss: u64,
}

impl Ended {
    /// The exit status that shells give: 128 + n after signal n.
    pub(super) fn code(&self) -> u8 {
        let code = if libc::WIFSIGNALED(self.status) {
            128 + libc::WTERMSIG(self.status)
        } else {
            libc::WEXITSTATUS(self.status)
        };
        u8::try_from(code).unwrap_or(u8::MAX)
    }

    /// The signal that killed it.
    pub(super) fn signal(&self) -> Option<i32> {
        libc::WIFSIGNALED(self.status).then(|| libc::WTERMSIG(self.status))
    }
}

/// The command, which waits at a gate until [`Child::go`]. Dropped before that it ends without having done anything.
#[derive(Debug)]
pub(super) struct Child {
    pid: Pid,
    name: String,
    gate: Option<File>,
    failure: File,
}

impl Child {
    /// Forks. `mask`: the signals that the command is to have blocked.
    ///
    /// Must be called while this process has one thread.
    pub(super) fn start(words: &[OsString], mask: &SigSet) -> io::Result<Self> {
        let arguments: Vec<CString> =
            words.iter().map(|word| CString::new(word.as_bytes())).collect::<Result<_, _>>()?;
        let mut pointers: Vec<_> = arguments.iter().map(|argument| argument.as_ptr()).collect();
        pointers.push(ptr::null());
        let name = words.first().map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
        let (gate_inside, gate) = pipe2(OFlag::O_CLOEXEC)?;
        let (failure, failure_inside) = pipe2(OFlag::O_CLOEXEC)?;
        // SAFETY: this process has one thread, and the child makes system calls only.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => {
                Ok(Self { pid: child, name, gate: Some(gate.into()), failure: failure.into() })
            }
            ForkResult::Child => {
                drop((gate, failure));
                let mut go = 0_u8;
                // SAFETY: system calls with values that live through them; `pointers` ends with a null.
                unsafe {
                    // What the standard library ignores on our behalf, the command is not to ignore.
                    libc::signal(libc::SIGPIPE, libc::SIG_DFL);
                    libc::signal(libc::SIGXFSZ, libc::SIG_DFL);
                    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(mask), None);
                    if libc::read(gate_inside.as_raw_fd(), (&raw mut go).cast(), 1) != 1 {
                        // Nobody is left who wants it.
                        libc::_exit(125);
                    }
                    libc::execvp(pointers[0], pointers.as_ptr());
                    let errno = Errno::last_raw();
                    libc::write(failure_inside.as_raw_fd(), (&raw const errno).cast(), size_of::<i32>());
                    libc::_exit(127)
                }
            }
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid.as_raw().unsigned_abs()
    }

    /// Lets it execute its program. Returns when it has.
    pub(super) fn go(&mut self) -> io::Result<Result<(), NotExecuted>> {
        if let Some(mut gate) = self.gate.take() {
            gate.write_all(&[1])?;
        }
        let mut errno = [0; size_of::<i32>()];
        match self.failure.read_exact(&mut errno) {
            // The program was executed: that closed the pipe.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Ok(())),
            Err(error) => Err(error),
            Ok(()) => {
                waitpid(self.pid, None)?;
                let errno = Errno::from_raw(i32::from_ne_bytes(errno));
                Ok(Err(NotExecuted { name: self.name.clone(), errno }))
            }
        }
    }

    /// How it ended; `None` while it runs.
    pub(super) fn try_wait(&self) -> io::Result<Option<Ended>> {
        let mut status = 0;
        // SAFETY: all fields are integers: zeroes are a value; both live through the call.
        let (pid, usage) = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            (libc::wait4(self.pid.as_raw(), &raw mut status, libc::WNOHANG, &raw mut usage), usage)
        };
        match pid {
            0 => Ok(None),
            pid if pid > 0 => {
                Ok(Some(Ended { status, maxrss: usage.ru_maxrss.unsigned_abs().saturating_mul(1024) }))
            }
            _ => Err(io::Error::last_os_error()),
        }
    }

    pub(super) fn signal(&self, signal: Signal) {
        // It may have ended just now.
        let _ = kill(self.pid, signal);
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.gate.take().is_some() {
            // It ends by itself now.
            let _ = waitpid(self.pid, None);
        }
    }
}
