//! Which files of /proc are exact on this kernel: found by behaviour, because the exact readers were backported and a
//! version says nothing. A child makes drift, waits, and all files are read beside the exact figure.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::{AsRawFd, OwnedFd},
};

use nix::{
    sys::{
        signal::{Signal, kill},
        wait::waitpid,
    },
    unistd::{ForkResult, Pid, fork, pipe2},
};

use crate::{
    probe::{Probe, ProbeError},
    proc::{Precision, Source, TaskFolder, Wanted},
};

/// What was found of each source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Precisions {
    /// Field 24 of `/proc/PID/stat`.
    pub stat: Precision,
    /// Field 2 of `/proc/PID/statm`.
    pub statm: Precision,
    /// `VmRSS` of `/proc/PID/status`.
    pub status: Precision,
}

impl Precisions {
    /// Nothing is known.
    pub const UNKNOWN: Self =
        Self { stat: Precision::Unknown, statm: Precision::Unknown, status: Precision::Unknown };

    /// Every file is exact.
    pub const EXACT: Self =
        Self { stat: Precision::Exact, statm: Precision::Exact, status: Precision::Exact };

    /// The names of the files of which nothing is known.
    #[must_use]
    pub fn unknown(&self) -> Vec<&'static str> {
        let all = Source::ALL.into_iter();
        all.filter(|&source| self.of(source) == Precision::Unknown).map(Source::name).collect()
    }

    /// What was found of one source.
    #[must_use]
    pub const fn of(&self, source: Source) -> Precision {
        match source {
            Source::Stat => self.stat,
            Source::Statm => self.statm,
            Source::Status => self.status,
        }
    }
}

impl std::fmt::Display for Precisions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [stat, statm, status] = Source::ALL.map(|source| self.of(source).name());
        write!(f, "stat {stat}, statm {statm}, status {status}")
    }
}

/// Why the sources could not be tried.
#[derive(Debug, thiserror::Error)]
pub enum BehaviourError {
    #[error("cannot run the child that makes drift: {0}")]
    Child(#[from] io::Error),
    #[error(transparent)]
    Probe(#[from] ProbeError),
}

/// Pages that the child touches at a time: less than any batch, so that they stay in a cache.
pub(super) const STEP: u8 = 5;
/// How often it may touch more until a drift stands that tells the sources apart.
pub(super) const STEPS: usize = 24;

/// Makes drift in a child and reads all sources while the child is idle.
///
/// Must be called while this process has no other thread that holds a lock of the allocator: the child allocates
/// nothing, but it is a fork.
pub fn find_precisions(probe: &mut Probe, page_size: u64) -> Result<Precisions, BehaviourError> {
    let mut child = Toucher::spawn(page_size, usize::from(STEP) * STEPS)?;
    for _ in 0..STEPS {
        child.touch(STEP)?;
        let before = probe.snapshot()?;
        let files = TaskFolder::process(child.pid()).read(Wanted::default(), page_size).figures;
        let after = probe.snapshot()?;
        let (Some(first), Some(second)) = (before.process(child.pid()), after.process(child.pid())) else {
            return Err(io::Error::other("it is not among the tasks of the iterator").into());
        };
        let idle = first.count == second.count && first.cached == second.cached;
        let (exact, approximate) = (second.exact_rss(), second.approximate_rss());
        if !idle || exact == approximate {
            continue;
        }
        let precision = |figure| match figure {
            Some(pages) if pages == exact => Precision::Exact,
            Some(pages) if pages == approximate => Precision::Approximate,
            _ => Precision::Unknown,
        };
        return Ok(Precisions {
            stat: precision(files.stat),
            statm: precision(files.statm),
            status: precision(files.status),
        });
    }
    Ok(Precisions::UNKNOWN)
}

/// A child that touches as many fresh pages as it is told and waits in between. Killed when dropped.
pub(super) struct Toucher {
    pid: Pid,
    orders: File,
    answers: File,
}

impl Toucher {
    /// Starts one that can touch so many pages in all.
    pub(super) fn spawn(page_size: u64, most_pages: usize) -> io::Result<Self> {
        let (orders_read, orders_write) = pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
        let (answers_read, answers_write) = pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
        // SAFETY: the child only makes system calls and touches its own mapping until it exits: nothing in it needs a
        // lock that another thread of this process may have held.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => {
                Ok(Self { pid: child, orders: File::from(orders_write), answers: File::from(answers_read) })
            }
            ForkResult::Child => {
                drop((orders_write, answers_read));
                obey(&orders_read, &answers_write, page_size, most_pages)
            }
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid.as_raw().unsigned_abs()
    }

    pub(super) fn touch(&mut self, pages: u8) -> io::Result<()> {
        self.orders.write_all(&[pages])?;
        let mut answer = [0];
        self.answers.read_exact(&mut answer)?;
        if answer[0] == pages { Ok(()) } else { Err(io::Error::other("it has no memory to touch")) }
    }
}

impl Drop for Toucher {
    fn drop(&mut self) {
        // It may have died already; then there is nobody to kill, and the wait reaps it.
        let _ = kill(self.pid, Signal::SIGKILL);
        let _ = waitpid(self.pid, None);
    }
}

/// The child's life: an order is a number of pages, the answer is what was touched; the end of the orders is its end.
fn obey(orders: &OwnedFd, answers: &OwnedFd, page_size: u64, most_pages: usize) -> ! {
    let page = usize::try_from(page_size).unwrap_or(4096);
    let length = page * most_pages;
    // SAFETY: plain system calls; the mapping is private to this child and `touched` stays within it.
    unsafe {
        // Should the parent be killed, so is the child: nothing of ours stays behind.
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        let memory = libc::mmap(
            core::ptr::null_mut(),
            length,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        if memory == libc::MAP_FAILED {
            libc::_exit(1);
        }
        // A huge page at the first touch would leave nothing to drift.
        libc::madvise(memory, length, libc::MADV_NOHUGEPAGE);
        let mut touched = 0;
        let mut order = 0_u8;
        while libc::read(orders.as_raw_fd(), (&raw mut order).cast(), 1) == 1 {
            for _ in 0..order {
                if touched + page > length {
                    libc::_exit(1);
                }
                memory.cast::<u8>().add(touched).write_volatile(1);
                touched += page;
            }
            if libc::write(answers.as_raw_fd(), (&raw const order).cast(), 1) != 1 {
                libc::_exit(1);
            }
        }
        libc::_exit(0)
    }
}
