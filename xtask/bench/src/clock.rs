//! Times: what a watch on the wall shows, and what the CPUs worked.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::{
    sys::{
        resource::{UsageWho, getrusage},
        time::TimeValLike as _,
    },
    time::{ClockId, clock_getcpuclockid, clock_gettime},
    unistd::Pid,
};

/// What one piece of work took.
#[derive(Clone, Copy, Debug)]
pub struct Took {
    /// From its start to its end.
    pub wall: Duration,
    /// CPU time of whoever did it.
    pub cpu: Duration,
}

/// Times work that this thread does.
pub fn own_work(work: impl FnOnce() -> Result<()>) -> Result<Took> {
    time(of_thread, work)
}

/// CPU time of this thread so far.
pub fn of_thread() -> Result<Duration> {
    clock(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

/// Times work that is done by child processes, which have ended when `work` returns.
pub fn work_of_children(work: impl FnOnce() -> Result<()>) -> Result<Took> {
    time(children, work)
}

/// CPU time of a whole process so far, to the nanosecond where `/proc/PID/stat` has ticks of 10 ms.
pub fn of_process(pid: u32) -> Result<Duration> {
    let clock_id = clock_getcpuclockid(Pid::from_raw(pid.cast_signed()))
        .with_context(|| format!("cannot find the CPU clock of process {pid}: has it ended?"))?;
    clock(clock_id)
}

fn time(cpu: impl Fn() -> Result<Duration>, work: impl FnOnce() -> Result<()>) -> Result<Took> {
    let cpu_before = cpu()?;
    let began = Instant::now();
    work()?;
    let wall = began.elapsed();
    Ok(Took { wall, cpu: cpu()?.saturating_sub(cpu_before) })
}

fn clock(id: ClockId) -> Result<Duration> {
    Ok(clock_gettime(id).context("cannot read a CPU clock")?.into())
}

/// CPU time of all children that have been waited for, to the microsecond.
pub fn children() -> Result<Duration> {
    let usage =
        getrusage(UsageWho::RUSAGE_CHILDREN).context("cannot read the CPU time of child processes")?;
    let microseconds = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Duration::from_micros(microseconds.unsigned_abs()))
}
