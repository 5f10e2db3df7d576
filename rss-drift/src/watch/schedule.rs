//! When reports are due: on full intervals, and at once where somebody asks, until the end.

use std::time::{Duration, Instant};

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Report,
    Nothing,
    End,
}

#[derive(Debug)]
pub(crate) struct Schedule {
    interval: Duration,
    next: Instant,
    end: Option<Instant>,
}

impl Schedule {
    /// The first report is due now. The command line bounds both times, so that the clock can add them up.
    pub(crate) fn begin(now: Instant, interval: Duration, duration: Option<Duration>) -> Self {
        Self { interval, next: now, end: duration.map(|duration| now + duration) }
    }

    /// How long there is nothing to do.
    pub(crate) fn wait(&self, now: Instant) -> Duration {
        let until = self.end.map_or(self.next, |end| self.next.min(end));
        until.saturating_duration_since(now)
    }

    /// What is due. `asked`: somebody asks for a report now; that changes nothing of when the next one is due.
    pub(crate) fn due(&mut self, now: Instant, asked: bool) -> Due {
        if self.end.is_some_and(|end| now >= end) {
            return Due::End;
        }
        if now < self.next {
            return if asked { Due::Report } else { Due::Nothing };
        }
        self.next = after(self.next, now, self.interval);
        Due::Report
    }
}

/// When the report after that of `due` is due. After a stop (SIGSTOP, a busy host) it comes on the next full interval: not a burst of
/// late ones.
fn after(due: Instant, now: Instant, interval: Duration) -> Instant {
    let interval = interval.as_nanos();
    let wait = interval - now.duration_since(due).as_nanos() % interval;
    now + Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn late_reports_are_left_out() {
        let due = Instant::now();
        for (late, next) in [(0, 100), (30, 100), (100, 200), (250, 300)] {
            assert_eq!(after(due, due + ms(late), ms(100)), due + ms(next));
        }
    }

    #[test]
    fn a_report_that_is_asked_for_leaves_the_others_where_they_are() {
        let began = Instant::now();
        let mut schedule = Schedule::begin(began, ms(100), Some(ms(250)));
        let mut due = |at, asked| (schedule.due(began + ms(at), asked), schedule.wait(began + ms(at)));
        assert_eq!(due(0, true), (Due::Report, ms(100)));
        assert_eq!(due(40, false), (Due::Nothing, ms(60)));
        assert_eq!(due(40, true), (Due::Report, ms(60)));
        assert_eq!(due(100, false), (Due::Report, ms(100)));
        assert_eq!(due(200, true), (Due::Report, ms(50)));
        assert_eq!(due(249, false), (Due::Nothing, ms(1)));
        assert_eq!(due(250, true).0, Due::End);
    }
}
