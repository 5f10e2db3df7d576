//! What is measured: short bursts of one kind of work on a hot path.
//!
//! Times are CPU times of whoever works: what other processes take of the CPUs, the contenders' own reading included, is not
//! in them.

use std::{
    ffi::CStr,
    hint::black_box,
    io::{self, Read as _, Write as _},
    os::fd::OwnedFd,
    ptr::NonNull,
    sync::Barrier,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    sys::wait::{WaitStatus, waitpid},
    unistd::{ForkResult, Pid, fork, getpid, pipe2},
};

use crate::{clock, idle::end_with_parent};

/// Bursts of one measurement; a first one warms up and does not count.
const BURSTS: usize = 31;
/// Pages of a mapping, and how often a burst touches and unmaps all of them.
const PAGES: usize = 512;
const PASSES: usize = 2;
/// Bytes per page here; a larger page is only touched more than once.
const PAGE: usize = 4096;
/// There and back again: two context switches each.
const ROUND_TRIPS: u32 = 500;
/// Processes that one burst starts.
const STARTS: u32 = 2;
/// An empty program.
const TRUE: &CStr = c"/bin/true";

/// One kind of work.
#[derive(Clone, Copy, Debug)]
pub enum Workload {
    /// Anonymous pages touched and unmapped by one thread.
    Fault,
    /// The same by a thread on each CPU, all in one mm.
    FaultThreads,
    /// Two processes on one CPU that wake each other by pipes.
    Switch,
    /// `fork`, `execve` of an empty program, its end.
    ForkExec,
}

impl Workload {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Fault, Self::FaultThreads, Self::Switch, Self::ForkExec];

    /// Its name in the figures.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fault => "fault",
            Self::FaultThreads => "fault-threads",
            Self::Switch => "switch",
            Self::ForkExec => "fork-exec",
        }
    }
}

/// Does the work; lives in a process of its own.
pub struct Workloads {
    cpus: CpuSet,
    partner: Partner,
}

impl Workloads {
    /// Starts the partner of the context switches. This process must have one thread.
    pub fn new() -> Result<Self> {
        let cpus = sched_getaffinity(Pid::from_raw(0)).context("cannot read the CPUs to run on")?;
        Ok(Self { cpus, partner: Partner::start()? })
    }

    /// Nanoseconds per page fault, context switch or start of a process: that of the quiet ones of some bursts.
    pub fn measure(&mut self, workload: Workload) -> Result<f64> {
        match workload {
            Workload::Fault => {
                pin(last(&self.cpus)?)?;
                let pages = Pages::map()?;
                let bursts = bursts(|| pages.burst());
                pin_to(&self.cpus)?;
                Ok(quiet(bursts?))
            }
            Workload::FaultThreads => faults_of_threads(&self.cpus),
            Workload::Switch => {
                pin(self.partner.cpu)?;
                let bursts = bursts(|| self.partner.burst());
                pin_to(&self.cpus)?;
                Ok(quiet(bursts?))
            }
            Workload::ForkExec => Ok(quiet(bursts(fork_and_exec)?)),
        }
    }
}

/// All bursts but the first.
fn bursts(mut burst: impl FnMut() -> Result<f64>) -> Result<Vec<f64>> {
    burst()?;
    (0..BURSTS).map(|_| burst()).collect()
}

/// What the quiet ones of some bursts took: the tenth part that was quickest, at its upper end. Other work on the host only
/// ever slows a burst down.
fn quiet(mut bursts: Vec<f64>) -> f64 {
    bursts.sort_by(f64::total_cmp);
    bursts[bursts.len() / 10]
}

fn per(time: Duration, count: f64) -> f64 {
    time.as_secs_f64() * 1e9 / count
}

/// A thread on each CPU, burst by burst at the same time.
fn faults_of_threads(cpus: &CpuSet) -> Result<f64> {
    let cpus: Vec<usize> = members(cpus).collect();
    let together = Barrier::new(cpus.len());
    let of_threads = thread::scope(|scope| {
        let threads: Vec<_> = cpus
            .iter()
            .map(|&cpu| {
                let together = &together;
                scope.spawn(move || {
                    let prepared = pin(cpu).and_then(|()| Pages::map());
                    bursts(|| {
                        // Also who cannot take part: the others wait for all.
                        together.wait();
                        prepared.as_ref().map_err(|error| anyhow::anyhow!("{error:#}"))?.burst()
                    })
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect::<Result<Vec<_>>>()
    })?;
    let mean_of_burst =
        |burst: usize| of_threads.iter().map(|bursts| bursts[burst]).sum::<f64>() / of_threads.len() as f64;
    Ok(quiet((0..BURSTS).map(mean_of_burst).collect()))
}

/// Anonymous memory of 4 KiB pages.
pub struct Pages(NonNull<u8>);

impl Pages {
    /// Pages of the mapping.
    pub const COUNT: usize = PAGES;

    /// Maps it; no page is there yet.
    pub fn map() -> Result<Self> {
        // SAFETY: a new private mapping.
        let memory = unsafe {
            libc::mmap(
                core::ptr::null_mut(),
                PAGES * PAGE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error()).context("cannot map memory");
        }
        let pages = Self(NonNull::new(memory.cast()).context("memory at address 0")?);
        // A kernel without huge pages refuses, and needs no telling.
        let _ = pages.advise(libc::MADV_NOHUGEPAGE);
        Ok(pages)
    }

    /// Has all pages made at once, without a page fault.
    pub fn populate(&self) -> Result<()> {
        self.advise(libc::MADV_POPULATE_WRITE).context("cannot populate memory")
    }

    /// Unmaps all pages.
    pub fn unmap(&self) -> Result<()> {
        self.advise(libc::MADV_DONTNEED).context("cannot unmap pages")
    }

    /// Nanoseconds per page touched and unmapped.
    fn burst(&self) -> Result<f64> {
        let before = clock::of_thread()?;
        for _ in 0..PASSES {
            for page in 0..PAGES {
                // SAFETY: within the mapping.
                unsafe { self.0.add(page * PAGE).write_volatile(1) };
            }
            self.unmap()?;
        }
        Ok(per(clock::of_thread()?.saturating_sub(before), (PAGES * PASSES) as f64))
    }

    fn advise(&self, advice: i32) -> io::Result<()> {
        // SAFETY: the mapping is ours.
        match unsafe { libc::madvise(self.0.as_ptr().cast(), PAGES * PAGE, advice) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and nobody has a reference into it.
        unsafe { libc::munmap(black_box(self.0.as_ptr()).cast(), PAGES * PAGE) };
    }
}

/// The process at the other end of two pipes.
struct Partner {
    pid: Pid,
    cpu: usize,
    there: std::fs::File,
    back: std::fs::File,
}

impl Partner {
    fn start() -> Result<Self> {
        let pipe = || pipe2(nix::fcntl::OFlag::O_CLOEXEC).context("cannot make a pipe");
        let ((his_end, there), (back, his_answer)) = (pipe()?, pipe()?);
        let cpu = last(&sched_getaffinity(Pid::from_raw(0)).context("cannot read the CPUs to run on")?)?;
        let parent = getpid();
        // SAFETY: there is no other thread.
        match unsafe { fork() }.context("cannot fork")? {
            ForkResult::Parent { child } => {
                Ok(Self { pid: child, cpu, there: there.into(), back: back.into() })
            }
            ForkResult::Child => {
                drop((there, back));
                let ended = end_with_parent(parent).is_err() || pin(cpu).is_err();
                if !ended {
                    echo(his_end, his_answer);
                }
                // SAFETY: ends this process; nothing of it is to be cleaned up.
                unsafe { libc::_exit(0) }
            }
        }
    }

    /// Nanoseconds per context switch: CPU time of both.
    fn burst(&mut self) -> Result<f64> {
        let pid = self.pid.as_raw().unsigned_abs();
        let both = || anyhow::Ok(clock::of_thread()? + clock::of_process(pid)?);
        let before = both()?;
        for _ in 0..ROUND_TRIPS {
            let mut byte = [0];
            self.there
                .write_all(&byte)
                .and_then(|()| self.back.read_exact(&mut byte))
                .context("the other process of the context switches is gone")?;
        }
        Ok(per(both()?.saturating_sub(before), 2.0 * f64::from(ROUND_TRIPS)))
    }
}

/// The partner's life: sends back what comes, until nothing comes any more.
fn echo(from: OwnedFd, to: OwnedFd) {
    let (mut from, mut to) = (std::fs::File::from(from), std::fs::File::from(to));
    let mut byte = [0];
    while from.read_exact(&mut byte).and_then(|()| to.write_all(&byte)).is_ok() {}
}

/// Nanoseconds per process that was forked, became another program and ended.
fn fork_and_exec() -> Result<f64> {
    let all = || anyhow::Ok(clock::of_thread()? + clock::children()?);
    let before = all()?;
    for _ in 0..STARTS {
        // SAFETY: there is no other thread; the child makes system calls only.
        match unsafe { fork() }.context("cannot fork")? {
            ForkResult::Parent { child } => match waitpid(child, None).context("cannot wait for a child")? {
                WaitStatus::Exited(_, 0) => {}
                status => bail!("{} failed: {status:?}", TRUE.to_string_lossy()),
            },
            ForkResult::Child => {
                let arguments = [TRUE.as_ptr(), core::ptr::null()];
                // SAFETY: strings that end with 0, and lists that end with a null pointer.
                unsafe {
                    libc::execve(TRUE.as_ptr(), arguments.as_ptr(), arguments[1..].as_ptr());
                    libc::_exit(127)
                }
            }
        }
    }
    Ok(per(all()?.saturating_sub(before), f64::from(STARTS)))
}

/// The CPUs of a set.
fn members(cpus: &CpuSet) -> impl Iterator<Item = usize> {
    (0..CpuSet::count()).filter(|&cpu| cpus.is_set(cpu).unwrap_or(false))
}

/// The CPU that is used where one is: the first has the most interrupts.
fn last(cpus: &CpuSet) -> Result<usize> {
    members(cpus).last().context("there is no CPU to run on")
}

/// Runs this thread on the last of its CPUs.
pub fn pin_to_last() -> Result<()> {
    pin(last(&sched_getaffinity(Pid::from_raw(0)).context("cannot read the CPUs to run on")?)?)
}

fn pin(cpu: usize) -> Result<()> {
    let mut only = CpuSet::new();
    only.set(cpu).with_context(|| format!("CPU {cpu} is too high a number"))?;
    pin_to(&only)
}

fn pin_to(cpus: &CpuSet) -> Result<()> {
    sched_setaffinity(Pid::from_raw(0), cpus).context("cannot choose the CPU to run on")
}
