//! Figures of this host that the kernel's accounting depends on: CPUs, the batch of a fold, the page size.

use std::{fs, io, path::PathBuf};

/// Why a figure of the host could not be had.
#[derive(Debug, thiserror::Error)]
pub enum TunableError {
    #[error("cannot read {path}: {error}; is sysfs mounted on /sys?")]
    Unreadable { path: PathBuf, error: io::Error },
    /// The file does not hold a list of CPUs.
    #[error("{path} says {text:?}, which is not a list of CPUs such as 0-3,8")]
    NotACpuList { path: PathBuf, text: String },
}

/// Which CPUs there are, each list in rising order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cpus {
    /// CPUs that can ever be online: each has a slot in every per-CPU counter.
    pub possible: Vec<u32>,
    /// CPUs that are online now: the batch of a fold follows from their number.
    pub online: Vec<u32>,
}

impl Cpus {
    /// Reads both lists from sysfs.
    pub fn read() -> Result<Self, TunableError> {
        Ok(Self {
            possible: read_list("/sys/devices/system/cpu/possible")?,
            online: read_list("/sys/devices/system/cpu/online")?,
        })
    }

    /// Pages at which a CPU's slot is folded into the count: a slot holds at most one page less, of either sign
    /// (`lib/percpu_counter.c:compute_batch_value`, 6.2 to 7.2).
    #[must_use]
    pub fn batch(&self) -> u64 {
        (2 * self.online.len() as u64).max(32)
    }
}

fn read_list(path: &str) -> Result<Vec<u32>, TunableError> {
    let text =
        fs::read_to_string(path).map_err(|error| TunableError::Unreadable { path: path.into(), error })?;
    parse_cpu_list(&text).ok_or_else(|| TunableError::NotACpuList { path: path.into(), text })
}

/// Parses the kernel's list format ("0-3,8"); `None` for anything else, for an empty list and for absurd numbers.
fn parse_cpu_list(text: &str) -> Option<Vec<u32>> {
    /// More than any kernel is built for (`NR_CPUS` is at most 8192 on x86): a larger number is a misreading.
    const MAX_CPU: u32 = 65_535;
    let mut cpus = Vec::new();
    for range in text.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || last > MAX_CPU || cpus.last().is_some_and(|&before| before >= first) {
            return None;
        }
        cpus.extend(first..=last);
    }
    Some(cpus)
}

/// Bytes per page of this process, which is the kernel's own on `x86_64`.
#[must_use]
pub fn page_size() -> u64 {
    // SAFETY: sysconf has no preconditions.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(bytes).ok().filter(|bytes| bytes.is_power_of_two()).unwrap_or(4096)
}

/// Clock ticks per second in /proc (`USER_HZ`).
#[must_use]
pub fn ticks_per_second() -> u64 {
    // SAFETY: sysconf has no preconditions.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    u64::try_from(ticks).ok().filter(|&ticks| ticks > 0).unwrap_or(100)
}

/// Bytes around a fault on a file that the kernel maps with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultAround {
    /// Bytes: at least a page, which it is where this is switched off.
    pub bytes: u64,
    /// Whether the kernel said so; else it is the kernel's default, which debugfs can change.
    pub known: bool,
}

impl FaultAround {
    /// `mm/memory.c:fault_around_bytes`, 5.10 to 7.2.
    const DEFAULT: Self = Self { bytes: 65_536, known: false };

    /// Reads it from debugfs, where that is mounted.
    #[must_use]
    pub fn read() -> Self {
        fs::read_to_string("/sys/kernel/debug/fault_around_bytes")
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .map_or(Self::DEFAULT, |bytes| Self { bytes, known: true })
    }

    /// Pages that one fault on a file can map at once.
    #[must_use]
    pub const fn pages(self, page_size: u64) -> u64 {
        self.bytes / page_size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus() {
        assert_eq!(parse_cpu_list("0\n"), Some(vec![0]));
        assert_eq!(parse_cpu_list("0-3,8\n"), Some(vec![0, 1, 2, 3, 8]));
        for bad in ["", "\n", "3-1", "0,0", "0-4294967295", "x", "0-", "-1", "1,0"] {
            assert_eq!(parse_cpu_list(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn batch_has_a_floor_and_grows_with_online_cpus() {
        let cpus = |online| Cpus { possible: (0..256).collect(), online: (0..online).collect() };
        assert_eq!(cpus(1).batch(), 32);
        assert_eq!(cpus(16).batch(), 32);
        assert_eq!(cpus(17).batch(), 34);
        assert_eq!(cpus(256).batch(), 512);
    }
}
