//! Why a test may be skipped: what a kernel or a machine can lack. Each is looked for, never taken from a test's word.

use std::{
    fmt,
    fs::{self, OpenOptions},
};

use rss_drift::kernel::{Accounting, Kernel};

use crate::{
    cgroup,
    helper::{io_worker, userfaultfd},
    scratch, terminal, thp,
};

/// What is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The kernel was built without transparent huge pages, or its setting `never` cannot be changed.
    NoThp,
    /// No swap is in use.
    NoSwap,
    /// This process may run on one CPU only.
    OneCpu,
    /// No terminal can be made: no devpts.
    NoPty,
    /// No mount or PID namespace can be made.
    NoNamespaces,
    /// The kernel was built without seccomp.
    NoSeccomp,
    /// The kernel accounts RSS per task: the test is about BPF programs of per-cpu accounting.
    PerTask,
    /// It is not a guest of `cargo xtask vm`: what the test does would be felt by everybody on this host, and a part of
    /// it stays (a process that is bound to a CPU loses it for good when the CPU goes offline).
    NotAGuest,
    /// The kernel was built without KSM, or it cannot be switched on.
    NoKsm,
    /// The kernel has no userfaultfd, or refuses it to us.
    NoUserfaultfd,
    /// The kernel has no `io_uring`, or refuses it to us (`kernel.io_uring_disabled`).
    NoIoUring,
    /// Memory cannot be limited by control groups of version 2.
    NoMemoryCgroup,
    /// No control group can be made.
    NoCgroups,
    /// The kernel is not locked down to confidentiality.
    NoLockdown,
    /// The JIT for BPF programs is on.
    JitOn,
    /// Too little memory is available for the RFC's program in full size.
    NoMemory,
}

impl Reason {
    /// All of them, in the order of their exit statuses.
    pub const ALL: [Self; 16] = [
        Self::NoThp,
        Self::NoSwap,
        Self::OneCpu,
        Self::NoPty,
        Self::NoNamespaces,
        Self::NoSeccomp,
        Self::PerTask,
        Self::NotAGuest,
        Self::NoKsm,
        Self::NoUserfaultfd,
        Self::NoIoUring,
        Self::NoMemoryCgroup,
        Self::NoCgroups,
        Self::NoLockdown,
        Self::JitOn,
        Self::NoMemory,
    ];

    /// The word for `--allow-skips`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoThp => "no-thp",
            Self::NoSwap => "no-swap",
            Self::OneCpu => "one-cpu",
            Self::NoPty => "no-pty",
            Self::NoNamespaces => "no-namespaces",
            Self::NoSeccomp => "no-seccomp",
            Self::PerTask => "per-task",
            Self::NotAGuest => "not-a-guest",
            Self::NoKsm => "no-ksm",
            Self::NoUserfaultfd => "no-userfaultfd",
            Self::NoIoUring => "no-io-uring",
            Self::NoMemoryCgroup => "no-memory-cgroup",
            Self::NoCgroups => "no-cgroups",
            Self::NoLockdown => "no-lockdown",
            Self::JitOn => "jit-on",
            Self::NoMemory => "no-memory",
        }
    }

    /// Its place in [`Self::ALL`].
    pub const fn index(self) -> u8 {
        self as u8
    }

    /// Asks the kernel whether it is so.
    pub fn holds(self) -> bool {
        match self {
            Self::NoThp => !thp::can_be_had(),
            Self::NoSwap => !swap_is_in_use(),
            Self::OneCpu => allowed_cpus().len() < 2,
            Self::NoPty => terminal::Terminal::open(80).is_err(),
            Self::NoNamespaces => !scratch::namespaces_can_be_made(),
            Self::NoSeccomp => !seccomp_is_built_in(),
            Self::PerTask => Kernel::detect().is_ok_and(|kernel| kernel.accounting == Accounting::PerTask),
            Self::NotAGuest => !is_a_guest(),
            Self::NoKsm => OpenOptions::new().write(true).open(KSM_RUN).is_err(),
            Self::NoUserfaultfd => userfaultfd::open().is_err(),
            Self::NoIoUring => io_worker::open().is_err(),
            Self::NoMemoryCgroup => cgroup::root().is_none(),
            Self::NoCgroups => cgroup::hierarchy().is_none(),
            Self::NoLockdown => !fs::read_to_string("/sys/kernel/security/lockdown")
                .is_ok_and(|text| text.contains("[confidentiality]")),
            // A kernel that shows no switch has it always on, or none at all.
            Self::JitOn => {
                !fs::read_to_string("/proc/sys/net/core/bpf_jit_enable").is_ok_and(|text| text.trim() == "0")
            }
            Self::NoMemory => kib_of("/proc/meminfo", "MemAvailable:").is_none_or(|kib| kib < DEMO_KIB),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// KSM's switch.
pub const KSM_RUN: &str = "/sys/kernel/mm/ksm/run";

/// What the RFC's program takes in full size, with some to spare.
const DEMO_KIB: u64 = 2 << 20;

/// xtask gives its guests a word on the kernel's command line.
fn is_a_guest() -> bool {
    fs::read_to_string("/proc/cmdline").is_ok_and(|line| line.contains(" vmtoken="))
}

/// A line of a file of /proc that has a size.
pub fn kib_of(path: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

/// The CPUs that this process may run on.
pub fn allowed_cpus() -> Vec<usize> {
    let set =
        nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0)).expect("sched_getaffinity of oneself");
    (0..nix::sched::CpuSet::count()).filter(|&cpu| set.is_set(cpu).unwrap_or(false)).collect()
}

fn swap_is_in_use() -> bool {
    // Without CONFIG_SWAP there is no such file; its first line is a heading.
    fs::read_to_string("/proc/swaps").is_ok_and(|text| text.lines().count() > 1)
}

fn seccomp_is_built_in() -> bool {
    // SAFETY: PR_GET_SECCOMP only reads this thread's mode.
    unsafe { libc::prctl(libc::PR_GET_SECCOMP) == 0 }
}
