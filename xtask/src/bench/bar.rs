//! What a figure has to come to.

use std::fmt;

use super::stats::Spread;

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
    /// By the whole middle half of the rounds.
    Met,
    /// By none of it.
    NotMet,
    /// By some of it: more rounds or a quieter host may tell.
    NotResolved,
}

impl Bar {
    /// Judges a figure by the middle half of its rounds.
    pub(crate) fn judge(self, spread: &Spread) -> Verdict {
        let met = |value: f64| match self {
            Self::AtLeast(limit) => value >= limit,
            Self::AtMost(limit) => value <= limit,
            Self::Below(limit) => value < limit,
        };
        match (met(spread.p25), met(spread.p75)) {
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
}
