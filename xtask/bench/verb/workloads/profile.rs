//! What of a workload's slowdown the kernel can tell: the run time of our BPF programs, and the CPU time of our process.

use std::{
    fs, io,
    os::fd::{FromRawFd as _, OwnedFd},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use super::{
    attach::{Beside, Mode},
    group::Stop,
    workload::Workload,
};

/// The kernel tells CPU times in hundredths of a second.
const LONG_ENOUGH: Duration = Duration::from_secs(10);

/// Shares of the CPU time that the host had while the work was done, in percent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Profile {
    /// Run time of all BPF programs of the process, as the kernel counts it (`bpf_prog_stats.nsecs`): without what a hook costs before
    /// and after a BPF program, with what the counting costs.
    pub(crate) programs: f64,
    /// User and system time of the process, of which the readers among the BPF programs are a part.
    pub(crate) process: f64,
}

impl Profile {
    /// With passive and with full mode, in rounds of their own: counting costs something itself.
    pub(crate) fn of_both(workload: &mut dyn Workload, program: &Path, stop: &Stop) -> Result<[Self; 2]> {
        let mut of = |mode| Self::of(workload, mode, program, stop);
        Ok([of(Mode::Passive)?, of(Mode::Full)?])
    }

    fn of(workload: &mut dyn Workload, mode: Mode, program: &Path, stop: &Stop) -> Result<Self> {
        let _counting = count_run_time()?;
        let Some(beside) = Beside::start(mode, program, stop)? else { return Ok(Self::default()) };
        let before = Spent::by(beside.pid())?;
        let began = Instant::now();
        while began.elapsed() < LONG_ENOUGH {
            workload.round(stop)?;
        }
        let cpus = thread::available_parallelism().map_or(1, usize::from);
        let had = began.elapsed().as_secs_f64() * cpus as f64;
        let after = Spent::by(beside.pid())?;
        beside.end()?;
        Ok(Self {
            programs: (after.programs - before.programs) * 100.0 / had,
            process: (after.process - before.process) * 100.0 / had,
        })
    }
}

/// What a process has spent so far, in seconds.
struct Spent {
    programs: f64,
    process: f64,
}

impl Spent {
    fn by(pid: u32) -> Result<Self> {
        let folder = format!("/proc/{pid}/fdinfo");
        let mut programs = 0.0;
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {folder}"))? {
            let path = entry.with_context(|| format!("cannot read {folder}"))?.path();
            match fs::read_to_string(&path) {
                Ok(text) => programs += run_time(&text).unwrap_or(0.0),
                // Closed since.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
            }
        }
        let stat = format!("/proc/{pid}/stat");
        let text = fs::read_to_string(&stat).with_context(|| format!("cannot read {stat}"))?;
        let process = cpu_time(&text).with_context(|| format!("{stat} has no CPU time: {text:?}"))?;
        Ok(Self { programs, process })
    }
}

/// Seconds in the `fdinfo` of a BPF program (`kernel/bpf/syscall.c:bpf_prog_show_fdinfo`, nanoseconds); `None` for another file.
fn run_time(text: &str) -> Option<f64> {
    let field = text.lines().find_map(|line| line.strip_prefix("run_time_ns:"))?;
    Some(field.trim().parse::<f64>().ok()? / 1e9)
}

/// Seconds in `/proc/PID/stat` (`fs/proc/array.c:do_task_stat`, utime and stime, behind a name that may hold anything).
fn cpu_time(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11).map(|field| field.parse::<f64>().ok());
    let ticks = times.next()?? + times.next()??;
    // SAFETY: sysconf has no preconditions.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    (per_second > 0).then(|| ticks / per_second as f64)
}

/// The kernel counts run time of all BPF programs as long as the descriptor is open: no setting is changed.
fn count_run_time() -> Result<OwnedFd> {
    /// `include/uapi/linux/bpf.h`, since 5.8.
    const BPF_ENABLE_STATS: libc::c_int = 32;
    const BPF_STATS_RUN_TIME: u32 = 0;
    let attributes = BPF_STATS_RUN_TIME;
    // SAFETY: the attributes are one word, as their size says.
    let fd = unsafe {
        libc::syscall(libc::SYS_bpf, BPF_ENABLE_STATS, &raw const attributes, size_of_val(&attributes))
    };
    let fd = libc::c_int::try_from(fd).context("a descriptor out of range")?;
    if fd < 0 {
        return Err(io::Error::last_os_error())
            .context("the kernel does not count the run time of BPF programs");
    }
    // SAFETY: a descriptor that nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found() {
        let program = "pos:\t0\nprog_type:\t26\nrun_time_ns:\t1500000000\nrun_cnt:\t7\n";
        assert_eq!(run_time(program).map(f64::to_bits), Some(1.5_f64.to_bits()));
        assert_eq!(run_time("pos:\t0\nlink_type:\ttracing\n"), None);
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 100 0 0 0 150 50 0 0 20 0 1 0 5 100 2";
        // SAFETY: sysconf has no preconditions.
        let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as f64;
        assert_eq!(cpu_time(stat).map(f64::to_bits), Some((200.0 / per_second).to_bits()));
        assert_eq!(cpu_time("7 (a"), None);
    }
}
