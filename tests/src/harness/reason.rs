//! Why a test may be skipped: what a kernel or a machine can lack. Each is looked for, never taken from a test's word.

use std::fmt;

use crate::{scratch, terminal, thp};

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
}

impl Reason {
    /// All of them, in the order of their exit statuses.
    pub const ALL: [Self; 6] =
        [Self::NoThp, Self::NoSwap, Self::OneCpu, Self::NoPty, Self::NoNamespaces, Self::NoSeccomp];

    /// The word for `--allow-skips`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoThp => "no-thp",
            Self::NoSwap => "no-swap",
            Self::OneCpu => "one-cpu",
            Self::NoPty => "no-pty",
            Self::NoNamespaces => "no-namespaces",
            Self::NoSeccomp => "no-seccomp",
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
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The CPUs that this process may run on.
pub fn allowed_cpus() -> Vec<usize> {
    let set =
        nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0)).expect("sched_getaffinity of oneself");
    (0..nix::sched::CpuSet::count()).filter(|&cpu| set.is_set(cpu).unwrap_or(false)).collect()
}

fn swap_is_in_use() -> bool {
    // Without CONFIG_SWAP there is no such file; its first line is a heading.
    std::fs::read_to_string("/proc/swaps").is_ok_and(|text| text.lines().count() > 1)
}

fn seccomp_is_built_in() -> bool {
    // SAFETY: PR_GET_SECCOMP only reads this thread's mode.
    unsafe { libc::prctl(libc::PR_GET_SECCOMP) == 0 }
}
