//! The command: forked first, and executed when everything is attached.

use std::{
    ffi::{CString, OsString},
    fs::File,
    io::{self, Read as _, Write as _},
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    ptr,
};

use nix::{
    errno::Errno,
    fcntl::OFlag,
    sys::{
        signal::{Signal, kill},
        wait::waitpid,
    },
    unistd::{ForkResult, Pid, fork, pipe2},
};

use super::{
    FAILURE,
    user::{Identity, environment},
};
use crate::session::Inherited;

#[derive(Debug, thiserror::Error)]
#[error("cannot {}: {}", .step.text(name), .errno.desc())]
pub(super) struct NotExecuted {
    step: Step,
    name: String,
    errno: Errno,
}

impl NotExecuted {
    /// The exit status that shells give.
    pub(super) fn code(&self) -> u8 {
        match (self.step, self.errno) {
            (Step::Restore | Step::User, _) => FAILURE,
            (Step::Execute, Errno::ENOENT) => 127,
            (Step::Execute, _) => 126,
        }
    }
}

/// What the child was about to do when the kernel refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Restore = 1,
    User = 2,
    Execute = 3,
}

impl Step {
    const fn from_number(number: i32) -> Self {
        match number {
            1 => Self::Restore,
            2 => Self::User,
            _ => Self::Execute,
        }
    }

    fn text(self, name: &str) -> String {
        match self {
            Self::Restore => {
                format!("give {name} the limits and signals back that rss-drift was started with")
            }
            Self::User => format!("run {name} as another user: that takes CAP_SETUID and CAP_SETGID"),
            Self::Execute => format!("execute {name}"),
        }
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

/// A list as execve(2) takes it.
fn pointers(words: &[CString]) -> Vec<*const libc::c_char> {
    words.iter().map(|word| word.as_ptr()).chain([ptr::null()]).collect()
}

/// Says what the kernel refused, and ends the child.
fn give_up(failure: &OwnedFd, step: Step, errno: Errno) -> ! {
    let numbers: [i32; 2] = [step as i32, errno as i32];
    // SAFETY: plain system calls; the numbers live through them. A parent that is gone needs no answer.
    unsafe {
        libc::write(failure.as_raw_fd(), numbers.as_ptr().cast(), size_of_val(&numbers));
        libc::_exit(FAILURE.into())
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
    /// Forks. The command gets what rss-drift inherited, and is this user where one is named.
    ///
    /// Must be called while this process has one thread.
    pub(super) fn start(
        words: &[OsString],
        inherited: &Inherited,
        user: Option<&Identity>,
    ) -> io::Result<Self> {
        let arguments: Vec<CString> =
            words.iter().map(|word| CString::new(word.as_bytes())).collect::<Result<_, _>>()?;
        let environment = environment(user)?;
        let [arguments, environment] = [&arguments, &environment].map(|words| pointers(words));
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
                // SAFETY: system calls with values that live through them; both lists end with a null.
                unsafe {
                    // From here on a signal that the terminal sends to all of us ends the child as well.
                    let restored = inherited.restore();
                    if libc::read(gate_inside.as_raw_fd(), (&raw mut go).cast(), 1) != 1 {
                        // Nobody is left who wants it.
                        libc::_exit(FAILURE.into());
                    }
                    if let Err(errno) = restored {
                        give_up(&failure_inside, Step::Restore, errno);
                    }
                    if let Some(Err(errno)) = user.map(|user| user.assume()) {
                        give_up(&failure_inside, Step::User, errno);
                    }
                    libc::execvpe(arguments[0], arguments.as_ptr(), environment.as_ptr());
                    give_up(&failure_inside, Step::Execute, Errno::last())
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
            match gate.write_all(&[1]) {
                // A signal that was sent to all of us has ended it already: whoever waits for it is told.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Ok(())),
                written => written?,
            }
        }
        let mut failure = [[0; size_of::<i32>()]; 2];
        match self.failure.read_exact(failure.as_flattened_mut()) {
            // The program was executed: that closed the pipe.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Ok(())),
            Err(error) => Err(error),
            Ok(()) => {
                waitpid(self.pid, None)?;
                let [step, errno] = failure.map(i32::from_ne_bytes);
                let (step, errno) = (Step::from_number(step), Errno::from_raw(errno));
                Ok(Err(NotExecuted { step, name: self.name.clone(), errno }))
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
        if kill(self.pid, signal) == Err(Errno::EPERM) {
            log::warn!("cannot send {signal} to the command: it is another user's, and that takes CAP_KILL");
        }
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
