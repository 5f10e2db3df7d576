//! What the kernel counts of the BPF programs: runs, their time, and runs that the recursion guard refused.

use std::{
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd, RawFd},
    time::Duration,
};

use aya::{
    Ebpf,
    sys::{Stats, enable_stats},
};

/// Counts of one BPF program since it was loaded, or of several added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProgramStatistics {
    /// Time in the BPF program while statistics were enabled.
    pub run_time: Duration,
    /// Runs while statistics were enabled.
    pub run_count: u64,
    /// Runs that the kernel left out because the BPF program was running on that CPU already; counted always (since 5.12).
    pub recursion_misses: u64,
}

/// Keeps the kernel counting run time of all BPF programs of the host, which costs some 20 ns a run, until it is dropped.
/// No setting is changed: the kernel counts as long as the descriptor is open (`BPF_ENABLE_STATS`, since 5.8).
#[derive(Debug)]
pub struct Counting(#[expect(dead_code, reason = "held for its Drop")] OwnedFd);

impl Counting {
    /// Begins; `None` where the kernel refuses.
    #[must_use]
    pub fn begin() -> Option<Self> {
        match enable_stats(Stats::RunTime) {
            Ok(fd) => Some(Self(fd)),
            Err(error) => {
                log::debug!("the kernel does not count the run time of BPF programs: {error}");
                None
            }
        }
    }
}

/// Name and counts of each loaded BPF program.
#[must_use]
pub fn of_programs(ebpf: &Ebpf) -> Vec<(String, ProgramStatistics)> {
    ebpf.programs()
        .filter_map(|(name, program)| {
            // What is not loaded has no descriptor.
            let fd = program.fd().ok()?;
            Some((name.to_owned(), read(fd.as_fd().as_raw_fd())?))
        })
        .collect()
}

fn read(fd: RawFd) -> Option<ProgramStatistics> {
    Some(parse(&std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).ok()?))
}

/// `kernel/bpf/syscall.c:bpf_prog_show_fdinfo`; a line that a kernel has not stays 0.
fn parse(text: &str) -> ProgramStatistics {
    let figure = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.trim().parse().ok())
            .unwrap_or(0)
    };
    ProgramStatistics {
        run_time: Duration::from_nanos(figure("run_time_ns")),
        run_count: figure("run_cnt"),
        recursion_misses: figure("recursion_misses"),
    }
}

impl std::iter::Sum for ProgramStatistics {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            run_time: sum.run_time + one.run_time,
            run_count: sum.run_count + one.run_count,
            recursion_misses: sum.recursion_misses + one.recursion_misses,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fdinfo_of_a_program() {
        let text = "pos:\t0\nprog_type:\t26\nrun_time_ns:\t1500\nrun_cnt:\t3\nrecursion_misses:\t2\nverified_insns:\t53\n";
        let one =
            ProgramStatistics { run_time: Duration::from_nanos(1500), run_count: 3, recursion_misses: 2 };
        assert_eq!(parse(text), one);
        assert_eq!(parse("pos:\t0\n"), ProgramStatistics::default());
        let two = [one, one].into_iter().sum::<ProgramStatistics>();
        assert_eq!((two.run_count, two.recursion_misses), (6, 4));
    }
}
