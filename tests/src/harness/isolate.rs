//! One test in a process group of its own: what it leaves behind, and whatever hangs, ends with it.

use std::{
    fs::File,
    io::{Read as _, Seek as _},
    os::{
        fd::{FromRawFd as _, OwnedFd},
        unix::process::{CommandExt as _, ExitStatusExt as _},
    },
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::{
        signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, killpg, sigaction},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};

use super::{AS_TEST, Reason, SKIPPED};
use crate::guard;

/// How a test's process ended.
#[derive(Debug)]
pub struct Ended {
    /// What that means.
    pub verdict: Verdict,
    /// All that it printed.
    pub output: String,
    /// Wall time.
    pub took: Duration,
}

/// What the end of a test's process means.
#[derive(Debug)]
pub enum Verdict {
    /// It returned.
    Passed,
    /// It says that the kernel lacks something.
    Skipped(Reason),
    /// It panicked, died or hung.
    Failed(String),
}

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Whether Ctrl-C or SIGTERM has come.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

extern "C" fn note_signal(_: libc::c_int) {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// Makes this process the one that adopts what tests leave behind, and lets signals wait for the end of a test.
pub fn prepare() {
    // SAFETY: sets a flag of this process only.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
    let action = SigAction::new(SigHandler::Handler(note_signal), SaFlags::empty(), SigSet::empty());
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: the handler only stores to an atomic.
        unsafe { sigaction(signal, &action) }.expect("sigaction of a signal that can be caught");
    }
    guard::open_journal();
}

/// Runs the test `name` and waits for its end, at most `timeout`.
pub fn run(name: &str, timeout: Duration) -> Ended {
    let mut printed = memory_file();
    let output = || Stdio::from(printed.try_clone().expect("a descriptor for the test's output"));
    let mut command = Command::new("/proc/self/exe");
    command.args([AS_TEST, name]).process_group(0).stdin(Stdio::null()).stdout(output()).stderr(output());
    // SAFETY: between fork and exec only prctl is called. SIGTERM, so that a test whose harness was killed puts back
    // what it changed.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
            Ok(())
        });
    }
    let began = Instant::now();
    let mut child = command.spawn().expect("start this very program");
    let status = wait(&mut child, began + timeout);
    let took = began.elapsed();
    let group = Pid::from_raw(child.id().cast_signed());
    // Fails when nobody of the group is left, which is how it should be.
    let _ = killpg(group, Signal::SIGKILL);
    let _ = child.wait();
    reap_the_adopted();
    let mut bytes = Vec::new();
    printed.rewind().and_then(|()| printed.read_to_end(&mut bytes)).expect("read the test's output");
    let verdict = status.map_or_else(
        || Verdict::Failed(format!("no end within {} s, or interrupted", timeout.as_secs())),
        verdict,
    );
    Ended { verdict, output: String::from_utf8_lossy(&bytes).into_owned(), took }
}

/// The end of `child`, or `None` when the time is over or a signal came.
fn wait(child: &mut Child, end: Instant) -> Option<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait().expect("wait for a child") {
            return Some(status);
        }
        if interrupted() || Instant::now() >= end {
            return None;
        }
        thread::sleep(Duration::from_millis(3));
    }
}

fn verdict(status: ExitStatus) -> Verdict {
    match status.code() {
        Some(0) => Verdict::Passed,
        Some(code) => {
            let reason = Reason::ALL.into_iter().find(|reason| i32::from(SKIPPED + reason.index()) == code);
            reason.map_or_else(|| Verdict::Failed(format!("exit {code}")), Verdict::Skipped)
        }
        None => Verdict::Failed(format!("killed by signal {}", status.signal().unwrap_or(0))),
    }
}

/// Waits for the grandchildren that came to us, so that no zombie disturbs the next test.
fn reap_the_adopted() {
    let end = Instant::now() + Duration::from_secs(2);
    while Instant::now() < end {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => thread::sleep(Duration::from_millis(2)),
            Ok(_) => {}
            // No children are left.
            Err(_) => return,
        }
    }
}

/// A file that needs no directory.
fn memory_file() -> File {
    // SAFETY: a new descriptor that nobody else knows.
    let fd = unsafe { OwnedFd::from_raw_fd(libc::memfd_create(c"live-tests".as_ptr(), libc::MFD_CLOEXEC)) };
    File::from(fd)
}
