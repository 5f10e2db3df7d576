//! The demo's child: threads that touch memory of their own, say so, and sleep for ever.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::fd::{AsRawFd as _, OwnedFd, RawFd},
    ptr,
    sync::atomic::{AtomicUsize, Ordering},
};

use nix::{
    errno::Errno,
    fcntl::OFlag,
    sched::{CpuSet, sched_getaffinity},
    sys::{
        signal::{Signal, kill},
        wait::{WaitStatus, waitpid},
    },
    unistd::{ForkResult, Pid, fork, getpid, getppid, pipe2},
};

use super::{
    limits,
    need::{Need, STACK},
};

/// Why the child did not do its work.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChildError {
    #[error("cannot start the demo's child: {0}")]
    Start(io::Error),
    #[error("the demo's child cannot {step}: {}; {remedy}", .error.desc())]
    Refused {
        step: String,
        error: Errno,
        /// The limit, and what fits.
        remedy: String,
    },
    /// A signal ended it, most likely for want of memory.
    #[error(
        "the demo's child was killed by {0} before all memory was touched; if dmesg says that memory ran out, raise memory.max of \
         the control group or give fewer --threads or --pages"
    )]
    Killed(Signal),
    #[error("the demo's child ended before all memory was touched ({0})")]
    Ended(String),
}

/// Where the child's threads run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    /// Where the kernel lets them.
    Anywhere,
    /// Each is bound to a CPU, round and round over all that may be used.
    Spread,
}

/// The running child. Killed when dropped; killed by the kernel when this process ends in any other way.
#[derive(Debug)]
pub(super) struct Child {
    pid: Pid,
    threads: u64,
    touched: File,
    failures: File,
    reaped: bool,
}

impl Child {
    /// Starts the child with its threads.
    ///
    /// Must be called while this process has one thread: the child is a fork of it.
    pub(super) fn start(need: &Need, placement: Placement) -> Result<Self, ChildError> {
        let start = |error: Errno| ChildError::Start(error.into());
        let cpus = match placement {
            Placement::Anywhere => Vec::new(),
            Placement::Spread => allowed_cpus().map_err(start)?,
        };
        let (touched_read, touched_write) = pipe2(OFlag::O_CLOEXEC).map_err(start)?;
        let (failures_read, failures_write) = pipe2(OFlag::O_CLOEXEC).map_err(start)?;
        let parent = getpid();
        // SAFETY: this process has no other thread, so the child may use all that is in its memory, the allocator too.
        match unsafe { fork() }.map_err(start)? {
            ForkResult::Parent { child } => Ok(Self {
                pid: child,
                threads: need.threads,
                touched: touched_read.into(),
                failures: failures_read.into(),
                reaped: false,
            }),
            ForkResult::Child => {
                drop((touched_read, failures_read));
                live(need, &cpus, &touched_write, &failures_write, parent)
            }
        }
    }

    #[must_use]
    pub(super) const fn pid(&self) -> u32 {
        self.pid.as_raw().unsigned_abs()
    }

    /// Waits until every thread has said that its memory is touched.
    pub(super) fn wait_until_touched(&mut self) -> Result<(), ChildError> {
        let mut done = 0;
        let mut bytes = [0; 4096];
        while done < self.threads {
            match self.touched.read(&mut bytes) {
                Ok(0) => return Err(self.why_it_ended()),
                Ok(count) => done += count as u64,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ChildError::Start(error)),
            }
        }
        Ok(())
    }

    fn why_it_ended(&mut self) -> ChildError {
        let mut bytes = Vec::new();
        // What cannot be read is a child that said nothing.
        let _ = self.failures.read_to_end(&mut bytes);
        let status = waitpid(self.pid, None);
        self.reaped = true;
        if let Ok([step, errno, done]) = bytemuck::try_pod_read_unaligned::<[u32; 3]>(&bytes) {
            let (step, error) = (Step::from_number(step), Errno::from_raw(errno.cast_signed()));
            return ChildError::Refused {
                remedy: step.remedy(done),
                step: step.text(done, self.threads),
                error,
            };
        }
        match status {
            Ok(WaitStatus::Signaled(_, signal, _)) => ChildError::Killed(signal),
            other => ChildError::Ended(format!("{other:?}")),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.reaped {
            // It may have died already; then there is nobody to kill, and the wait reaps it.
            let _ = kill(self.pid, Signal::SIGKILL);
            let _ = waitpid(self.pid, None);
        }
    }
}

/// The CPUs that this process may run on.
fn allowed_cpus() -> Result<Vec<usize>, Errno> {
    let set = sched_getaffinity(Pid::from_raw(0))?;
    Ok((0..CpuSet::count()).filter(|&cpu| set.is_set(cpu).unwrap_or(false)).collect())
}

/// What the child was about to do when the kernel refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Map = 1,
    Thread = 2,
}

impl Step {
    const fn from_number(number: u32) -> Self {
        if number == Self::Map as u32 { Self::Map } else { Self::Thread }
    }

    fn text(self, done: u32, threads: u64) -> String {
        match self {
            Self::Map => "map the memory".to_owned(),
            Self::Thread => format!("start thread {} of {threads}", u64::from(done) + 1),
        }
    }

    /// The limits that the kernel answers with, and what fits.
    fn remedy(self, done: u32) -> String {
        match self {
            Self::Map => "look at ulimit -v, ulimit -d, vm.overcommit_memory and vm.max_map_count, or give fewer --threads or \
                          --pages"
                .to_owned(),
            Self::Thread if done == 0 => limits::of_tasks(),
            Self::Thread => format!("{}, or give --threads {done}", limits::of_tasks()),
        }
    }
}

/// Says what the kernel refused and how many threads there were by then, and ends the child.
fn give_up(failures: &OwnedFd, step: Step, error: Errno, done: u64) -> ! {
    let numbers = [step as u32, (error as i32).cast_unsigned(), u32::try_from(done).unwrap_or(u32::MAX)];
    let bytes: &[u8] = bytemuck::bytes_of(&numbers);
    // SAFETY: plain system calls on a descriptor and bytes that live through them. A parent that is gone needs no answer.
    unsafe {
        libc::write(failures.as_raw_fd(), bytes.as_ptr().cast(), bytes.len());
        libc::_exit(1)
    }
}

/// The life of the child; only a refusal ends it before the parent does.
fn live(need: &Need, cpus: &[usize], touched: &OwnedFd, failures: &OwnedFd, parent: Pid) -> ! {
    // SAFETY: plain system calls; the name is a string that ends in 0.
    unsafe {
        // Should the parent be killed, so is the child: nothing of ours stays behind.
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        libc::prctl(libc::PR_SET_NAME, c"rss-drift-demo".as_ptr());
        if getppid() != parent {
            libc::_exit(1);
        }
    }
    // Should memory run out, nobody else is to end for the demo. Where it cannot be written the kernel chooses.
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
    let (memory, stacks) = match (map(need.touched_bytes()), map(need.stack_bytes())) {
        (Ok(memory), Ok(stacks)) => (memory, stacks),
        (Err(error), _) | (_, Err(error)) => give_up(failures, Step::Map, error, 0),
    };
    let crowd = Crowd {
        memory,
        pages: to_usize(need.pages),
        page_size: to_usize(need.page_size),
        cpus,
        touched: touched.as_raw_fd(),
        next: AtomicUsize::new(0),
    };
    for thread in 0..need.threads {
        // SAFETY: within the mapping of need.threads stacks; this function never returns, so `crowd` outlives the threads.
        let error = unsafe { start_thread(stacks.add(to_usize(thread) * STACK), &crowd) };
        if error != 0 {
            give_up(failures, Step::Thread, Errno::from_raw(error), thread);
        }
    }
    sleep_for_ever()
}

/// What the child's threads share.
struct Crowd<'a> {
    /// Memory of all threads, one after the other.
    memory: *mut u8,
    pages: usize,
    page_size: usize,
    /// The threads' CPUs; empty where they may run anywhere.
    cpus: &'a [usize],
    touched: RawFd,
    /// Each thread takes its number here.
    next: AtomicUsize,
}

impl Crowd<'_> {
    /// What every thread does once.
    fn touch(&self) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if !self.cpus.is_empty() {
            let mut set = CpuSet::new();
            // A CPU that went offline or was taken away by now is no reason not to run elsewhere.
            let _ = set.set(self.cpus[number % self.cpus.len()]);
            let _ = nix::sched::sched_setaffinity(Pid::from_raw(0), &set);
        }
        for page in number * self.pages..(number + 1) * self.pages {
            // SAFETY: within the mapping of all threads' pages, in this thread's own part of it.
            unsafe { self.memory.add(page * self.page_size).write_volatile(1) };
        }
        let done = 1_u8;
        // SAFETY: one byte that lives through the call. A parent that is gone needs no answer: we are killed with it.
        unsafe { libc::write(self.touched, (&raw const done).cast(), 1) };
    }
}

/// Starts a thread on the stack that begins at `stack`; returns 0 or an error number.
///
/// # Safety
/// `stack` must have [`STACK`] bytes that nobody else uses, and `crowd` must live as long as the process.
unsafe fn start_thread(stack: *mut u8, crowd: &Crowd<'_>) -> i32 {
    // SAFETY: attributes are initialised before they are used, the thread gets what the caller promises.
    unsafe {
        let mut attributes = std::mem::zeroed::<libc::pthread_attr_t>();
        let mut thread = std::mem::zeroed::<libc::pthread_t>();
        let mut error = libc::pthread_attr_init(&raw mut attributes);
        if error == 0 {
            error = libc::pthread_attr_setstack(&raw mut attributes, stack.cast(), STACK);
        }
        if error == 0 {
            let argument = ptr::from_ref(crowd).cast_mut().cast();
            error = libc::pthread_create(&raw mut thread, &raw const attributes, thread_main, argument);
        }
        error
    }
}

extern "C" fn thread_main(crowd: *mut libc::c_void) -> *mut libc::c_void {
    // SAFETY: start_thread's argument; `live` never returns, so it is there as long as any thread.
    unsafe { &*crowd.cast::<Crowd<'_>>() }.touch();
    sleep_for_ever()
}

/// Sleeps without ever running again: no signal of ours has a handler.
fn sleep_for_ever() -> ! {
    loop {
        // SAFETY: no preconditions.
        unsafe { libc::pause() };
    }
}

/// Fresh memory, of small pages: huge pages go straight to the mm and would leave nothing to drift.
fn map(bytes: u64) -> Result<*mut u8, Errno> {
    let length = usize::try_from(bytes).map_err(|_| Errno::ENOMEM)?;
    // SAFETY: a new private mapping; madvise is only advice (kernels without huge pages refuse it).
    unsafe {
        let memory = libc::mmap(
            ptr::null_mut(),
            length,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        );
        if memory == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        libc::madvise(memory, length, libc::MADV_NOHUGEPAGE);
        Ok(memory.cast())
    }
}

/// Where rss-drift runs (`x86_64`) nothing is lost.
fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
