//! How much memory and swap the host has.

use std::fs;

/// Of `/proc/meminfo`, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meminfo {
    /// `MemTotal` (`totalram_pages`).
    pub memory: u64,
    /// `SwapTotal` (`total_swap_pages`).
    pub swap: u64,
    /// `MemAvailable`: what can be had without swapping.
    pub available: u64,
}

impl Meminfo {
    /// Reads the file; `None` where it cannot be read, or lacks a line.
    #[must_use]
    pub fn read() -> Option<Self> {
        Self::of(&fs::read_to_string("/proc/meminfo").ok()?)
    }

    fn of(text: &str) -> Option<Self> {
        // `MemTotal:       24684092 kB`
        let bytes = |name: &str| {
            let rest = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            rest.split_ascii_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
        };
        Some(Self {
            memory: bytes("MemTotal")?,
            swap: bytes("SwapTotal")?,
            available: bytes("MemAvailable")?,
        })
    }

    /// What an OOM of the whole host concerns (`mm/oom_kill.c:constrained_alloc`), in bytes.
    #[must_use]
    pub const fn total(self) -> u64 {
        self.memory.saturating_add(self.swap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_by_their_whole_names() {
        let text = "MemTotal:       100 kB\nMemFree:  1 kB\nMemAvailable: 50 kB\nSwapTotal: 7 kB\n";
        let found = Meminfo::of(text).unwrap();
        assert_eq!(found, Meminfo { memory: 102_400, swap: 7168, available: 51_200 });
        assert_eq!(found.total(), 109_568);
        assert_eq!(Meminfo::of("MemTotal: 100 kB\n"), None);
        assert!(Meminfo::read().is_some());
    }
}
