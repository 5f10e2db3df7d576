//! What a figure has to come to.

use std::fmt;

use super::stats::{Interval, Spread};

/// A limit for a figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bar {
    /// It has to be this or more.
    AtLeast(f64),
    /// It has to be this or less.
    AtMost(f64),
    /// It has to be less than this.
    Below(f64),
}

/// Whether a bar is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// By the whole middle half of the rounds, or the whole interval.
    Met,
    /// By none of it.
    NotMet,
    /// By some of it: more rounds or a quieter host may tell.
    NotResolved,
}

impl Bar {
    /// Judges a figure by the middle half of its rounds.
    pub(crate) fn judge(self, spread: &Spread) -> Verdict {
        self.judge_range(spread.p25, spread.p75)
    }

    /// Judges a figure by where its median may lie. Without such an interval nothing is resolved.
    pub(crate) fn judge_interval(self, interval: Option<&Interval>) -> Verdict {
        interval.map_or(Verdict::NotResolved, |interval| self.judge_range(interval.low, interval.high))
    }

    fn judge_range(self, low: f64, high: f64) -> Verdict {
        let met = |value: f64| match self {
            Self::AtLeast(limit) => value >= limit,
            Self::AtMost(limit) => value <= limit,
            Self::Below(limit) => value < limit,
        };
        match (met(low), met(high)) {
            (true, true) => Verdict::Met,
            (false, false) => Verdict::NotMet,
            _ => Verdict::NotResolved,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Met => "met",
            Self::NotMet => "not met",
            Self::NotResolved => "not resolved",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_across_the_bar_is_not_resolved() {
        let spread = Spread { p25: 4.0, median: 6.0, p75: 8.0 };
        for (bar, verdict) in [
            (Bar::AtLeast(4.0), Verdict::Met),
            (Bar::AtLeast(5.0), Verdict::NotResolved),
            (Bar::AtLeast(9.0), Verdict::NotMet),
            (Bar::AtMost(8.0), Verdict::Met),
            (Bar::AtMost(7.0), Verdict::NotResolved),
            (Bar::AtMost(3.0), Verdict::NotMet),
            (Bar::Below(9.0), Verdict::Met),
            (Bar::Below(7.0), Verdict::NotResolved),
            (Bar::Below(4.0), Verdict::NotMet),
        ] {
            assert_eq!(bar.judge(&spread), verdict, "{bar:?}");
        }
    }

    #[test]
    fn an_interval_is_judged_by_both_limits() {
        let judge = |low, high| Bar::Below(2.0).judge_interval(Some(&Interval { low, high }));
        assert_eq!(judge(-1.0, 1.9), Verdict::Met);
        assert_eq!(judge(1.0, 2.0), Verdict::NotResolved);
        assert_eq!(judge(2.0, 3.0), Verdict::NotMet);
        assert_eq!(Bar::Below(2.0).judge_interval(None), Verdict::NotResolved);
    }
}
