//! fentry on `__mmdrop`: whether it fires, found by behaviour. With `kernel.ftrace_enabled=0` 6.1 lets it be attached, and it
//! stays silent; 5.10 refuses to attach it.

use std::{
    fmt, fs, io, thread,
    time::{Duration, Instant},
};

use aya::Ebpf;
use nix::{
    errno::Errno,
    sched::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity},
    sys::wait::waitpid,
    unistd::{ForkResult, Pid, fork},
};

use super::{error::ProbeError, maps};

const MAP: &str = "END_SEEN";

/// Children that end until fentry is taken for silent.
const CHILDREN: u32 = 8;
/// Looks after the end of each child; the first follows at once, each later one after twice the time of the one before.
const LOOKS: u32 = 6;
/// Time before the second look.
const FIRST_WAIT: Duration = Duration::from_millis(1);

/// The kernel's switch for all of ftrace.
const FTRACE_ENABLED: &str = "/proc/sys/kernel/ftrace_enabled";

/// Why fentry does not show the ends of mms, although it was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoFentry {
    /// The kernel refused it.
    Refused,
    /// It was attached, and mms ended without a run of it.
    Silent,
}

impl NoFentry {
    /// What helps, where it is known what is in the way.
    #[must_use]
    pub fn remedy(self) -> Option<&'static str> {
        let off = fs::read_to_string(FTRACE_ENABLED).is_ok_and(|text| text.trim() == "0");
        off.then_some("sysctl kernel.ftrace_enabled=1")
    }
}

impl fmt::Display for NoFentry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "the kernel refuses fentry on __mmdrop",
            Self::Silent => "fentry on __mmdrop attaches but does not fire",
        })?;
        if self.remedy().is_some() { f.write_str(": kernel.ftrace_enabled=0") } else { Ok(()) }
    }
}

/// Whether the attached BPF program runs when an mm ends: children end until it does, or until there were enough.
///
/// Must be called while this process has no other thread that holds a lock; the child makes one system call.
pub(super) fn fires(ebpf: &mut Ebpf) -> Result<bool, ProbeError> {
    maps::set(ebpf, MAP, 0, 0_u64)?;
    // An mm is let go when the CPU that ran it last runs another program: on one CPU that program is this one.
    let _here = OneCpu::stay();
    let began = Instant::now();
    for child in 1..=CHILDREN {
        end_an_mm()?;
        let mut wait = FIRST_WAIT;
        for _ in 0..LOOKS {
            if maps::get::<u64>(ebpf, MAP, 0)? != 0 {
                log::debug!(
                    "fentry on __mmdrop fired at the end of child {child}, after {:?}",
                    began.elapsed()
                );
                return Ok(true);
            }
            thread::sleep(wait);
            wait *= 2;
        }
    }
    Ok(false)
}

/// Makes an mm and ends it.
fn end_an_mm() -> io::Result<()> {
    // SAFETY: the child makes one system call, which needs no lock that another thread may hold.
    match unsafe { fork() }? {
        // SAFETY: ends the child without running anything of ours.
        ForkResult::Child => unsafe { libc::_exit(0) },
        ForkResult::Parent { child } => {
            while let Err(error) = waitpid(child, None) {
                if error != Errno::EINTR {
                    return Err(error.into());
                }
            }
            Ok(())
        }
    }
}

/// Keeps the calling thread on its CPU until it is dropped.
struct OneCpu {
    before: CpuSet,
}

impl OneCpu {
    /// `None` where the kernel refuses: then an end may be seen later.
    fn stay() -> Option<Self> {
        let own = Pid::from_raw(0);
        let before = sched_getaffinity(own).ok()?;
        let mut here = CpuSet::new();
        here.set(sched_getcpu().ok()?).ok()?;
        sched_setaffinity(own, &here).ok()?;
        Some(Self { before })
    }
}

impl Drop for OneCpu {
    fn drop(&mut self) {
        // The same CPUs as before: what was allowed then is allowed now, unless a control group changed meanwhile.
        let _ = sched_setaffinity(Pid::from_raw(0), &self.before);
    }
}
