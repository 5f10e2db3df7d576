//! What a process holds beside its RSS, and how the OOM killer rates it.

use std::{fs, path::Path, str::FromStr};

/// Sizes in bytes. `None`: unreadable, or not printed by this kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// `VmSwap` of `status`: what its page tables have in swap.
    pub swap: Option<u64>,
    /// `VmPTE`: all levels of its page tables (`mm_pgtables_bytes`).
    pub page_tables: Option<u64>,
    /// `HugetlbPages`.
    pub hugetlb: Option<u64>,
    /// `VmLck`: mappings that mlock(2) locked.
    pub locked: Option<u64>,
    /// `VmPin`: pages that devices may write to.
    pub pinned: Option<u64>,
    /// `/proc/PID/oom_score`.
    pub oom_score: Option<u64>,
    /// `/proc/PID/oom_score_adj`.
    pub oom_score_adj: Option<i64>,
}

impl Memory {
    /// Reads the files in the folder of a task.
    pub(super) fn read(folder: &Path) -> Self {
        let status = fs::read(folder.join("status")).unwrap_or_default();
        let status = String::from_utf8_lossy(&status);
        let size = |name: &str| kib(&status, name)?.checked_mul(1024);
        Self {
            swap: size("VmSwap"),
            page_tables: size("VmPTE"),
            hugetlb: size("HugetlbPages"),
            locked: size("VmLck"),
            pinned: size("VmPin"),
            oom_score: number(&folder.join("oom_score")),
            oom_score_adj: number(&folder.join("oom_score_adj")),
        }
    }

    /// Its page tables in pages, as the OOM killer counts them.
    #[must_use]
    pub fn page_table_pages(&self, page_size: u64) -> Option<i64> {
        i64::try_from(self.page_tables? / page_size.max(1)).ok()
    }
}

/// A line `Name:   12 kB`.
fn kib(status: &str, name: &str) -> Option<u64> {
    let rest = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

fn number<T: FromStr>(file: &Path) -> Option<T> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_by_its_whole_name() {
        let status = "VmSwapped:\t9 kB\nVmSwap:\t      12 kB\nVmPTE:\t\n";
        assert_eq!(kib(status, "VmSwap"), Some(12));
        assert_eq!(kib(status, "VmPTE"), None);
        assert_eq!(kib(status, "VmPin"), None);
    }

    #[test]
    fn this_process_has_page_tables() {
        let memory = Memory::read(Path::new("/proc/self"));
        assert!(memory.page_tables.is_some_and(|bytes| bytes >= 4096) && memory.oom_score_adj.is_some());
        assert_eq!(Memory::read(Path::new("/nonexistent")), Memory::default());
    }
}
