//! How this kernel accounts RSS: found from BTF, never from the version, because distributions backport.

/// Where an update of RSS that is not yet in the mm's global count is cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accounting {
    /// In each task (`SPLIT_RSS_COUNTING`, mainline up to 6.1).
    PerTask,
    /// In each CPU's slot of a `percpu_counter` (mainline since 6.2).
    PerCpu,
}

impl Accounting {
    /// The word in reports and in the CSV column `accounting`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PerTask => "per-task",
            Self::PerCpu => "per-cpu",
        }
    }

    /// What the bound of drift is of: more CPUs make it larger per process, more threads make it larger per thread.
    #[must_use]
    pub const fn bounded(self) -> &'static str {
        match self {
            Self::PerTask => "thread",
            Self::PerCpu => "process",
        }
    }
}
