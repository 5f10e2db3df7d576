//! The overhead guard: full mode is to cost the host no more than the user allows.
//!
//! The kernel's run-time statistics cost something themselves, so they are on in one of several intervals only.

use std::time::{Duration, Instant};

use crate::probe::{Counting, Probe, ProgramStatistics};

/// Intervals from the beginning of one measurement to that of the next.
const EVERY: u64 = 10;

/// Measures the BPF programs' run time now and then.
#[derive(Debug)]
pub struct OverheadGuard {
    /// Percent of all CPUs' time that is allowed.
    limit: f64,
    measuring: Option<(Counting, Instant, Duration)>,
    intervals: u64,
    last: Option<f64>,
}

impl OverheadGuard {
    /// A guard that allows this share, in percent of the CPU time that the host has.
    #[must_use]
    pub const fn new(limit: f64) -> Self {
        Self { limit, measuring: None, intervals: 0, last: None }
    }

    /// To be called once per interval; true when the BPF programs cost more than is allowed.
    pub fn interval_over(&mut self, probe: &Probe, cpus: usize) -> bool {
        let run_time =
            || probe.program_statistics().into_iter().map(|(_, one)| one).sum::<ProgramStatistics>().run_time;
        if let Some((_counting, began, before)) = self.measuring.take() {
            let host_time = began.elapsed().as_secs_f64() * cpus.max(1) as f64;
            self.last = (host_time > 0.0)
                .then(|| run_time().saturating_sub(before).as_secs_f64() * 100.0 / host_time);
        } else if self.intervals.is_multiple_of(EVERY) {
            self.measuring = Counting::begin().map(|counting| (counting, Instant::now(), run_time()));
            if self.measuring.is_none() && self.intervals == 0 {
                log::warn!(
                    "nobody watches --max-overhead {}: the kernel counts the run time of BPF programs for CAP_SYS_ADMIN only; \
                     remedy: sudo rss-drift",
                    self.limit
                );
            }
        }
        self.intervals += 1;
        self.last.is_some_and(|share| share > self.limit)
    }

    /// What the last measurement came to, in percent of the host's CPU time.
    #[must_use]
    pub const fn share(&self) -> Option<f64> {
        self.last
    }
}
