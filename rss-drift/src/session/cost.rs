//! What measuring costs: the CPU time and memory of rss-drift.

use std::time::{Duration, Instant};

use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike as _,
};

/// CPU time of rss-drift since a beginning, in total and from one interval to the next.
#[derive(Debug)]
pub struct CpuClock {
    began: (Instant, Duration),
    last: (Instant, Duration),
}

impl CpuClock {
    #[must_use]
    pub fn begin() -> Self {
        let now = (Instant::now(), cpu_time());
        Self { began: now, last: now }
    }

    /// CPU time in percent of one CPU since the last call, or the beginning.
    pub fn lap(&mut self) -> Option<f64> {
        let now = (Instant::now(), cpu_time());
        let percent = share(self.last, now);
        self.last = now;
        percent
    }

    /// CPU time and wall time since the beginning, and the one in percent of the other.
    #[must_use]
    pub fn total(&self) -> (Duration, Duration, Option<f64>) {
        let now = (Instant::now(), cpu_time());
        (now.1.saturating_sub(self.began.1), now.0 - self.began.0, share(self.began, now))
    }
}

/// Unknown where the time is too short to say anything: a run of one report takes some milliseconds, nearly all of them CPU time.
fn share(from: (Instant, Duration), to: (Instant, Duration)) -> Option<f64> {
    const ENOUGH: f64 = 0.01;
    let wall = to.0.duration_since(from.0).as_secs_f64();
    (wall >= ENOUGH).then(|| to.1.saturating_sub(from.1).as_secs_f64() * 100.0 / wall)
}

/// User and system time of this process.
fn cpu_time() -> Duration {
    getrusage(UsageWho::RUSAGE_SELF).map_or(Duration::ZERO, |usage| {
        let microseconds = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
        Duration::from_micros(microseconds.unsigned_abs())
    })
}
