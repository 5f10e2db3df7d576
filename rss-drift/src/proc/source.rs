//! The files of /proc that print RSS: what each said, and how exact it is.

/// A file of /proc that prints RSS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// Field 24 of `/proc/PID/stat` (`fs/proc/array.c:do_task_stat`).
    Stat,
    /// Field 2 of `/proc/PID/statm` (`fs/proc/task_mmu.c:task_statm`).
    Statm,
    /// `VmRSS` of `/proc/PID/status` (`fs/proc/task_mmu.c:task_mem`).
    Status,
}

impl Source {
    /// All sources, in the order in which they are printed.
    pub const ALL: [Self; 3] = [Self::Stat, Self::Statm, Self::Status];

    /// The file's name, as the CSV column `source` and the option `--source` spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stat => "stat",
            Self::Statm => "statm",
            Self::Status => "status",
        }
    }

    /// Which figure of the file it is.
    #[must_use]
    pub const fn figure(self) -> &'static str {
        match self {
            Self::Stat => "`stat`, field 24",
            Self::Statm => "`statm`, field 2",
            Self::Status => "`status`, VmRSS",
        }
    }
}

/// Whether a file of /proc prints what the counters add up to, found by behaviour at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// It sums all caches (`get_mm_counter_sum`): statm and status since 6.16 and where 82241a83cd15 was backported.
    Exact,
    /// It prints the global count alone (`get_mm_counter`).
    Approximate,
    /// No drift could be made to tell the two apart.
    Unknown,
}

impl Precision {
    /// The word in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Approximate => "approximate",
            Self::Unknown => "unknown",
        }
    }

    /// Exact - reported of a file that is read like this. The figure of a file that may be exact or not is no drift: exact is of
    /// another instant, and what moved in between would be called drift.
    #[must_use]
    pub const fn drift(self, exact: i64, reported: i64) -> Option<i64> {
        match self {
            Self::Exact | Self::Approximate => Some(exact.saturating_sub(reported)),
            Self::Unknown => None,
        }
    }
}

/// What the process's /proc files said, in pages. `None` is unreadable, which is not 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcFigures {
    /// Field 24 of `stat`.
    pub stat: Option<i64>,
    /// Field 2 of `statm`.
    pub statm: Option<i64>,
    /// `VmRSS` of `status`.
    pub status: Option<i64>,
    /// `VmHWM` of `status`.
    pub vm_hwm: Option<i64>,
    /// `Rss` of `smaps_rollup`, only read with `--resident`.
    pub resident: Option<i64>,
    /// `Pss` of `smaps_rollup`, in bytes: each page divided by how often it is mapped. Read with `resident`.
    pub pss: Option<i64>,
}

impl ProcFigures {
    /// The figure of one source.
    #[must_use]
    pub const fn of(&self, source: Source) -> Option<i64> {
        match source {
            Source::Stat => self.stat,
            Source::Statm => self.statm,
            Source::Status => self.status,
        }
    }
}
