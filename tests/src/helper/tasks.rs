//! A helper's threads and children. Children make system calls only: they may be forks of a process with threads.

use std::{
    fs, io,
    os::fd::AsRawFd as _,
    process::ExitCode,
    sync::{
        Arc, Barrier, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use nix::{
    sched::{CloneFlags, CpuSet, sched_setaffinity, unshare},
    sys::wait::waitpid,
    unistd::{ForkResult, Pid, fork, gettid, pipe},
};

use super::{
    regions::Mapped,
    serve::{Answer, Server, reply},
};
use crate::harness::allowed_cpus;

/// Stack of a thread that only writes to memory and sleeps.
const SMALL_STACK: usize = 32 << 10;

/// The kernel kills this process when the one that started it ends.
pub(super) fn die_with_the_parent() {
    // SAFETY: sets a property of this process.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
}

fn wait() -> ! {
    loop {
        // SAFETY: waits for a signal.
        unsafe { libc::pause() };
    }
}

/// Moves the calling thread to one CPU.
pub(super) fn pin(cpu: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    sched_setaffinity(Pid::from_raw(0), &set)?;
    Ok(())
}

/// Threads that each write to pages of their own and wait.
pub(super) fn threads(count: usize, region: Mapped, pages: usize) -> io::Result<()> {
    start(count, move |number| region.write(number * pages, pages))
}

/// Threads that go over all CPUs, write to pages of their own on each, and wait.
pub(super) fn hop(count: usize, region: Mapped, pages: usize) -> Answer {
    let cpus = Arc::new(allowed_cpus());
    let of_threads = Arc::clone(&cpus);
    start(count, move |number| {
        for (visit, &cpu) in of_threads.iter().enumerate() {
            // A CPU that went offline meanwhile: the pages are written where the thread is.
            let _ = pin(cpu);
            region.write((number * of_threads.len() + visit) * pages, pages);
        }
    })?;
    Ok(vec![cpus.len() as u64])
}

/// Starts threads, and waits until all have done `work` and sleep.
fn start(count: usize, work: impl Fn(usize) + Clone + Send + 'static) -> io::Result<()> {
    let done = Arc::new(Barrier::new(count + 1));
    for number in 0..count {
        let (work, done) = (work.clone(), Arc::clone(&done));
        thread::Builder::new().stack_size(SMALL_STACK).spawn(move || {
            work(number);
            done.wait();
            wait()
        })?;
    }
    done.wait();
    Ok(())
}

/// A new thread takes the orders from now on; the calling one, the leader, exits. Returns in no thread.
pub(super) fn hand_over(server: Server) -> ExitCode {
    let leader = gettid();
    let started = thread::Builder::new().spawn(move || {
        die_with_the_parent();
        // The leader is a zombie once it has given up its memory.
        let path = format!("/proc/{leader}/task/{leader}/stat");
        while !fs::read_to_string(&path).is_ok_and(|stat| stat.contains(") Z ")) {
            thread::sleep(Duration::from_millis(1));
        }
        reply(&Ok(vec![u64::from(gettid().as_raw().unsigned_abs())]));
        let _ = server.serve();
        // SAFETY: ends all threads without running anything of the leader's.
        unsafe { libc::_exit(0) }
    });
    if started.is_err() {
        return ExitCode::FAILURE;
    }
    loop {
        // SAFETY: ends this thread alone; its stack stays mapped, and nothing on it is used by others.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
    }
}

/// Forks, lets the child do `work` and wait; answers with its pid when it waits.
fn fork_and(work: impl FnOnce() -> bool) -> Answer {
    let (read, write) = pipe()?;
    // To this pipe nobody ever writes: the child holds both ends.
    let (silence, _other_end) = pipe()?;
    // SAFETY: the child does `work`, which makes system calls and touches memory, and then waits for ever.
    match unsafe { fork() }? {
        ForkResult::Child => {
            die_with_the_parent();
            if work() {
                let mut byte = 1_u8;
                // SAFETY: one byte from and to a variable. A process in a strict sandbox may read and write, and nothing
                // else: it waits in a read.
                unsafe {
                    libc::write(write.as_raw_fd(), (&raw const byte).cast(), 1);
                    loop {
                        libc::read(silence.as_raw_fd(), (&raw mut byte).cast(), 1);
                    }
                }
            }
            // SAFETY: ends the child without running anything of the parent's.
            unsafe { libc::_exit(1) }
        }
        ForkResult::Parent { child } => {
            drop(write);
            let mut byte = [0];
            if nix::unistd::read(&read, &mut byte)? == 0 {
                return Err(io::Error::other("the child could not do it"));
            }
            Ok(vec![u64::from(child.as_raw().unsigned_abs())])
        }
    }
}

/// A child that writes to the first pages of a region.
pub(super) fn fork_child(region: Mapped, pages: usize) -> Answer {
    fork_and(|| {
        region.write(0, pages);
        true
    })
}

/// A child in a PID namespace of its own, and with it all later children.
pub(super) fn fork_into_pid_namespace(region: Mapped, pages: usize) -> Answer {
    unshare(CloneFlags::CLONE_NEWPID)?;
    fork_child(region, pages)
}

/// A child in seccomp's strict mode.
pub(super) fn sandbox(region: Mapped, pages: usize) -> Answer {
    fork_and(|| {
        region.write(0, pages);
        // SAFETY: restricts this process only.
        unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_STRICT) == 0 }
    })
}

/// A child that has ended and that nobody waits for.
pub(super) fn zombie() -> Answer {
    // SAFETY: the child ends at once.
    match unsafe { fork() }? {
        // SAFETY: ends the child without running anything of the parent's.
        ForkResult::Child => unsafe { libc::_exit(0) },
        ForkResult::Parent { child } => {
            let path = format!("/proc/{child}/stat");
            while !fs::read_to_string(&path)?.contains(") Z ") {
                thread::sleep(Duration::from_millis(1));
            }
            Ok(vec![u64::from(child.as_raw().unsigned_abs())])
        }
    }
}

/// What the process that shares our memory is told.
struct Shared {
    region: Mapped,
    pages: usize,
    waits: AtomicBool,
}

extern "C" fn live_in_shared_memory(told: *mut libc::c_void) -> libc::c_int {
    // SAFETY: the parent gave the address of a Shared that it never frees.
    let told = unsafe { &*told.cast::<Shared>() };
    die_with_the_parent();
    told.region.write(0, told.pages);
    told.waits.store(true, Ordering::Release);
    wait()
}

/// A process of its own with this very memory.
pub(super) fn share_memory(region: Mapped, pages: usize) -> Answer {
    let told = tell(region, pages);
    let pid = clone_with_our_memory(live_in_shared_memory, told, new_stack(), 0)?;
    while !told.waits.load(Ordering::Acquire) {
        thread::sleep(Duration::from_millis(1));
    }
    Ok(vec![u64::from(pid.as_raw().unsigned_abs())])
}

extern "C" fn live_in_a_held_parent(told: *mut libc::c_void) -> libc::c_int {
    // SAFETY: the parent gave the address of a Shared that it never frees.
    let told = unsafe { &*told.cast::<Shared>() };
    die_with_the_parent();
    told.region.write(0, told.pages);
    // Not through stdout's lock, which is the parent's too: whoever reads the answer may kill this process before it would
    // have given the lock back.
    let answer = format!("ok {}\n", std::process::id());
    // SAFETY: a buffer and its length. Where nobody reads the test is over, and so is this process.
    unsafe { libc::write(libc::STDOUT_FILENO, answer.as_ptr().cast(), answer.len()) };
    wait()
}

/// A process with this very memory that holds its parent until it is killed; it gives the first answer, its pid.
pub(super) fn vfork(region: Mapped, pages: usize) -> Answer {
    let pid =
        clone_with_our_memory(live_in_a_held_parent, tell(region, pages), new_stack(), libc::CLONE_VFORK)?;
    waitpid(pid, None)?;
    Ok(Vec::new())
}

/// The top of a stack that is never freed.
fn new_stack() -> usize {
    let stack: &'static mut [u8] = Box::leak(vec![0; SMALL_STACK].into_boxed_slice());
    stack.as_mut_ptr_range().end.addr() & !15
}

extern "C" fn touch_and_leave(told: *mut libc::c_void) -> libc::c_int {
    // SAFETY: the parent gave the address of a Shared that it never frees.
    let told = unsafe { &*told.cast::<Shared>() };
    told.region.write(0, told.pages);
    leave()
}

/// Ends a child without running anything of its parent's.
pub(super) fn leave() -> ! {
    // SAFETY: ends this process.
    unsafe { libc::_exit(0) }
}

/// Children of vfork(2), one after the other on one stack: each writes to pages of its parent's, and ends.
pub(super) struct Vforks {
    told: &'static Shared,
    stack: usize,
}

impl Vforks {
    /// Children that write to the first `pages` of `region`. The stack is the same for all that ever are.
    pub(super) fn new(region: Mapped, pages: usize) -> Self {
        static STACK: OnceLock<usize> = OnceLock::new();
        Self { told: tell(region, pages), stack: *STACK.get_or_init(new_stack) }
    }

    /// One child, which has ended when this returns; it is to be waited for.
    pub(super) fn start(&self) -> io::Result<Pid> {
        clone_with_our_memory(touch_and_leave, self.told, self.stack, libc::CLONE_VFORK)
    }
}

fn tell(region: Mapped, pages: usize) -> &'static Shared {
    Box::leak(Box::new(Shared { region, pages, waits: AtomicBool::new(false) }))
}

fn clone_with_our_memory(
    live: extern "C" fn(*mut libc::c_void) -> libc::c_int,
    told: &'static Shared,
    top: usize,
    flags: libc::c_int,
) -> io::Result<Pid> {
    // SAFETY: the child gets a stack that no other uses and a function that makes system calls, touches the region, and
    // answers only where the parent is held.
    let pid = unsafe {
        libc::clone(
            live,
            top as *mut _,
            libc::CLONE_VM | libc::SIGCHLD | flags,
            (&raw const *told).cast_mut().cast(),
        )
    };
    if pid < 0 { Err(io::Error::last_os_error()) } else { Ok(Pid::from_raw(pid)) }
}
