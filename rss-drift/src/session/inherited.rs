//! What whoever started rss-drift had set for it: signals that are ignored or blocked, and limits. rss-drift changes some of that for
//! itself; a command that it starts gets all of it back.

use std::{
    io, ptr,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use nix::{
    errno::Errno,
    sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask},
};

/// The signals that rss-drift handles otherwise than it was told: the standard library ignores SIGPIPE, an output ignores SIGXFSZ, and
/// whoever waits for children must not ignore SIGCHLD.
const CHANGED: [Signal; 3] = [Signal::SIGPIPE, Signal::SIGXFSZ, Signal::SIGCHLD];

/// Signals that a libc keeps for its threads (glibc: `sysdeps/unix/sysv/linux/internal-signals.h`). With the first thread it sets a
/// handler for some, which an execve makes the default; whoever was started by its `posix_spawn` has them ignored. Its sigaction refuses
/// them.
const OF_LIBC: [i32; 3] = [32, 33, 34];

/// `include/uapi/asm-generic/resource.h:RLIM_NLIMITS`
const LIMITS: usize = 16;

/// Noted at the start, before anything is changed.
#[derive(Clone, Debug)]
pub struct Inherited {
    /// Which of [`CHANGED`] were ignored.
    ignored: [bool; CHANGED.len()],
    /// Which of [`OF_LIBC`] were ignored.
    ignored_of_libc: [bool; OF_LIBC.len()],
    blocked: SigSet,
    /// Soft and hard limits by their number; `None` where the kernel has no such limit.
    limits: [Option<libc::rlimit64>; LIMITS],
}

impl Inherited {
    /// Notes it, and takes SIGCHLD back from an ignoring parent: the kernel reaps the children of a process that ignores it, and nobody
    /// learns how they ended.
    ///
    /// # Errors
    /// Where the kernel does not tell what is blocked.
    pub fn note() -> io::Result<Self> {
        let mut blocked = SigSet::empty();
        sigprocmask(SigmaskHow::SIG_BLOCK, None, Some(&mut blocked))?;
        let ignored = CHANGED.map(|signal| match signal {
            Signal::SIGPIPE => PIPE_IGNORED.load(Relaxed),
            signal => is_ignored(signal),
        });
        let limits = std::array::from_fn(|resource| {
            let mut limit = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
            prlimit(resource, None, Some(&mut limit)).is_ok().then_some(limit)
        });
        // SAFETY: the default action of SIGCHLD runs no code of ours.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
        let ignored_of_libc = OF_LIBC
            .map(|signal| KernelAction::of(signal).is_ok_and(|action| action.handler == libc::SIG_IGN));
        Ok(Self { ignored, ignored_of_libc, blocked, limits })
    }

    /// Gives it back to this process, which is about to execute another program.
    ///
    /// # Errors
    /// Where the kernel refuses a limit.
    ///
    /// # Safety
    /// Only system calls are made, so a forked child may call it. It must have one thread: the signals of the others would change too.
    pub unsafe fn restore(&self) -> Result<(), Errno> {
        for (resource, limit) in self.limits.iter().enumerate() {
            let Some(limit) = limit else { continue };
            let mut now = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
            prlimit(resource, None, Some(&mut now))?;
            // The kernel may refuse a limit even where it stands already: files above fs.nr_open.
            if (now.rlim_cur, now.rlim_max) != (limit.rlim_cur, limit.rlim_max) {
                prlimit(resource, Some(limit), None)?;
            }
        }
        for (signal, &ignored) in CHANGED.iter().zip(&self.ignored) {
            let action = if ignored { libc::SIG_IGN } else { libc::SIG_DFL };
            // SAFETY: neither action runs code of ours.
            unsafe { libc::signal(*signal as i32, action) };
        }
        for (&signal, &ignored) in OF_LIBC.iter().zip(&self.ignored_of_libc) {
            if ignored {
                KernelAction::ignore(signal)?;
            }
        }
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&self.blocked), None)
    }
}

/// What becomes of a signal, as `rt_sigaction(2)` has it on `x86_64` (`include/linux/signal_types.h:struct sigaction`).
#[derive(Default)]
#[repr(C)]
struct KernelAction {
    handler: libc::sighandler_t,
    flags: u64,
    restorer: usize,
    mask: u64,
}

impl KernelAction {
    fn of(signal: i32) -> Result<Self, Errno> {
        let mut action = Self::default();
        Self::exchange(signal, None, Some(&mut action))?;
        Ok(action)
    }

    fn ignore(signal: i32) -> Result<(), Errno> {
        Self::exchange(signal, Some(&Self { handler: libc::SIG_IGN, ..Self::default() }), None)
    }

    fn exchange(signal: i32, new: Option<&Self>, old: Option<&mut Self>) -> Result<(), Errno> {
        let new = new.map_or(ptr::null(), ptr::from_ref);
        let old = old.map_or(ptr::null_mut(), ptr::from_mut);
        // SAFETY: both are null or actions that live through the call, with a mask of the size that it is told. No handler is set.
        let done = unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, new, old, size_of::<u64>()) };
        Errno::result(done).map(drop)
    }
}

/// prlimit(2) of this process, by the limit's number: libc's names for the numbers are of another type in each libc.
fn prlimit(
    resource: usize,
    new: Option<&libc::rlimit64>,
    old: Option<&mut libc::rlimit64>,
) -> Result<(), Errno> {
    let new = new.map_or(ptr::null(), ptr::from_ref);
    let old = old.map_or(ptr::null_mut(), ptr::from_mut);
    // SAFETY: both are null or of limits that live through the call.
    Errno::result(unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, new, old) }).map(drop)
}

/// Whether a signal is ignored now.
pub(super) fn is_ignored(signal: Signal) -> bool {
    // SAFETY: all fields are integers or a set of them: zeroes are a value. The call writes `action`, and changes nothing.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal as i32, ptr::null(), &raw mut action) == 0
            && action.sa_sigaction == libc::SIG_IGN
    }
}

/// Whether SIGPIPE was ignored when this program was executed.
static PIPE_IGNORED: AtomicBool = AtomicBool::new(false);

/// Runs before `main`: the standard library ignores SIGPIPE there, and what it was before cannot be found out afterwards.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = {
    extern "C" fn before_main() {
        PIPE_IGNORED.store(is_ignored(Signal::SIGPIPE), Relaxed);
    }
    before_main
};
