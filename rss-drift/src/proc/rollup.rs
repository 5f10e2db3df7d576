//! `smaps_rollup`: what a walk of the page tables finds, summed over all mappings (`fs/proc/task_mmu.c:show_smaps_rollup`).

use std::path::Path;

use procfs::{FromRead as _, process::SmapsRollup};

/// The sums, in bytes. `None`: this kernel does not print it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rollup {
    /// Resident pages.
    pub rss: Option<u64>,
    /// Each of them divided by how often it is mapped.
    pub pss: Option<u64>,
    /// Mapped by this process alone.
    pub private: Option<u64>,
    /// Mapped by others too.
    pub shared: Option<u64>,
    /// Given up by `MADV_FREE` and not yet taken back.
    pub lazy_free: Option<u64>,
    /// In huge pages: anonymous, of shared memory and of files together.
    pub huge: Option<u64>,
    /// Merged by KSM (since 6.6).
    pub ksm: Option<u64>,
    /// Swapped out, shared memory included.
    pub swap: Option<u64>,
    /// In hugetlbfs: no part of RSS.
    pub hugetlb: Option<u64>,
    /// Locked by mlock(2), as a share of how often it is mapped.
    pub locked: Option<u64>,
}

impl Rollup {
    /// Reads the file in the folder of a task. `None`: the process is gone, or is not ours to trace.
    pub(super) fn read(folder: &Path) -> Option<Self> {
        let rollup = SmapsRollup::from_file(folder.join("smaps_rollup")).ok()?;
        let sums = &rollup.memory_map_rollup.iter().next()?.extension.map;
        // A kernel that lacks one of the parts lacks the sum.
        let sum = |names: &[&str]| names.iter().map(|name| sums.get(*name).copied()).sum::<Option<u64>>();
        Some(Self {
            rss: sum(&["Rss"]),
            pss: sum(&["Pss"]),
            private: sum(&["Private_Clean", "Private_Dirty"]),
            shared: sum(&["Shared_Clean", "Shared_Dirty"]),
            lazy_free: sum(&["LazyFree"]),
            huge: sum(&["AnonHugePages", "ShmemPmdMapped", "FilePmdMapped"]),
            ksm: sum(&["KSM"]),
            swap: sum(&["Swap"]),
            hugetlb: sum(&["Shared_Hugetlb", "Private_Hugetlb"]),
            locked: sum(&["Locked"]),
        })
    }
}
