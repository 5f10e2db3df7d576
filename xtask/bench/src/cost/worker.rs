//! A process of its own that does the work: its memory is the same whatever the bench loads and reads beside it.

use std::{
    fs::File,
    io::{Read as _, Write as _},
};

use anyhow::{Context as _, Result};
use nix::{
    sys::wait::waitpid,
    unistd::{ForkResult, Pid, fork, getpid, pipe2},
};

use super::workloads::{Workload, Workloads};
use crate::idle::end_with_parent;

/// The worker; it ends with this value.
pub struct Worker {
    pid: Pid,
    ask: Option<File>,
    answers: File,
}

impl Worker {
    /// Starts it. This process must have one thread.
    pub fn start() -> Result<Self> {
        let pipe = || pipe2(nix::fcntl::OFlag::O_CLOEXEC).context("cannot make a pipe");
        let ((questions, ask), (answers, tell)) = (pipe()?, pipe()?);
        let parent = getpid();
        // SAFETY: there is no other thread.
        match unsafe { fork() }.context("cannot fork")? {
            ForkResult::Parent { child } => {
                Ok(Self { pid: child, ask: Some(ask.into()), answers: answers.into() })
            }
            ForkResult::Child => {
                drop((ask, answers));
                let worked = end_with_parent(parent)
                    .context("the bench is gone")
                    .and_then(|()| work(questions.into(), tell.into()));
                if let Err(error) = &worked {
                    eprintln!("error: {error:#}");
                }
                // SAFETY: ends this process; nothing of it is to be cleaned up.
                unsafe { libc::_exit(worked.is_err().into()) }
            }
        }
    }

    /// Nanoseconds per page fault, context switch or start of a process.
    pub fn measure(&mut self, workload: Workload) -> Result<f64> {
        const GONE: &str = "the process that does the work is gone: its message is above";
        let mut answer = [0; size_of::<f64>()];
        self.ask.as_mut().context(GONE)?.write_all(&[workload as u8]).context(GONE)?;
        self.answers.read_exact(&mut answer).context(GONE)?;
        Ok(f64::from_le_bytes(answer))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // No more questions: it ends.
        self.ask = None;
        let _ = waitpid(self.pid, None);
    }
}

/// The worker's life.
fn work(mut questions: File, mut tell: File) -> Result<()> {
    let mut workloads = Workloads::new()?;
    let mut question = [0];
    while questions.read_exact(&mut question).is_ok() {
        let workload = Workload::ALL[usize::from(question[0]) % Workload::ALL.len()];
        let answer = workloads.measure(workload)?;
        tell.write_all(&answer.to_le_bytes()).context("the bench is gone")?;
    }
    Ok(())
}
