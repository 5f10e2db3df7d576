//! Conditions of `--fail-if`: what is asked of a row, and whether its figures fulfil it. What is not known fulfils nothing.

use crate::{
    drift::{stats::Reading, verdict::is_parted},
    table::bytes,
};

/// A figure that is compared with an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    Exact,
    Reported,
    /// Without its sign.
    Drift,
    /// |drift| in percent of exact.
    Percent,
    /// What a control group is charged, in percent of its limit.
    ChargePercent,
    /// The exact RSS of what a control group is charged for, in percent of its limit.
    ChargedExactPercent,
}

impl Figure {
    pub(crate) const ALL: [Self; 6] = [
        Self::Exact,
        Self::Reported,
        Self::Drift,
        Self::Percent,
        Self::ChargePercent,
        Self::ChargedExactPercent,
    ];

    /// The word of a condition.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Reported => "reported",
            Self::Drift => "drift",
            Self::Percent => "percent",
            Self::ChargePercent => "charge_percent",
            Self::ChargedExactPercent => "charged_exact_percent",
        }
    }

    /// Whether it is in percent, and no size.
    pub(crate) const fn is_share(self) -> bool {
        matches!(self, Self::Percent | Self::ChargePercent | Self::ChargedExactPercent)
    }

    /// Whether only control groups have it.
    pub(crate) const fn is_of_charge(self) -> bool {
        matches!(self, Self::ChargePercent | Self::ChargedExactPercent)
    }

    /// Whether a file whose precision is not known has none.
    const fn is_of_drift(self) -> bool {
        matches!(self, Self::Drift | Self::Percent)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    AtLeast,
    AtMost,
    Above,
    Below,
}

impl Operator {
    pub(crate) const ALL: [Self; 4] = [Self::AtLeast, Self::AtMost, Self::Above, Self::Below];

    /// The sign of a condition.
    pub(crate) const fn sign(self) -> &'static str {
        match self {
            Self::AtLeast => ">=",
            Self::AtMost => "<=",
            Self::Above => ">",
            Self::Below => "<",
        }
    }

    /// Whether it asks for small figures.
    pub(super) const fn is_downwards(self) -> bool {
        matches!(self, Self::AtMost | Self::Below)
    }

    /// Whether it holds wherever between the two ends the figure is.
    fn holds<T: PartialOrd>(self, (low, high): &(T, T), amount: &T) -> bool {
        match self {
            Self::AtLeast => low >= amount,
            Self::AtMost => high <= amount,
            Self::Above => low > amount,
            Self::Below => high < amount,
        }
    }
}

/// What is asked of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Test {
    /// A figure in bytes.
    Size { figure: Figure, operator: Operator, bytes: u64 },
    /// A figure in percent.
    Share { figure: Figure, operator: Operator, percent: f64 },
    /// A level, in bytes, that lies between the reported and the exact figure.
    Near { level: u64 },
}

/// A condition: it comes true when one row passes the test in so many reports in a row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Condition {
    /// As it was given.
    pub text: String,
    pub test: Test,
    /// 1 or more.
    pub reports: u64,
}

impl Condition {
    /// The word of [`Test::Near`].
    pub(crate) const NEAR: &'static str = "near";

    /// The figure that it compares.
    pub(crate) const fn figure(&self) -> Option<Figure> {
        match self.test {
            Test::Size { figure, .. } | Test::Share { figure, .. } => Some(figure),
            Test::Near { .. } => None,
        }
    }

    /// Whether it needs the drift of a row.
    pub(super) fn is_of_drift(&self) -> bool {
        self.figure().is_none_or(Figure::is_of_drift)
    }
}

/// What of a row is judged. Figures are pages.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Figures {
    pub exact: i64,
    pub reported: Option<i64>,
    /// Whether exact - reported is drift: not where the source may be exact or not.
    pub has_drift: bool,
    /// By how much the drift can be off; `None`: not known.
    pub uncertainty: Option<u64>,
    pub charge_percent: Option<f64>,
    pub charged_exact_percent: Option<f64>,
}

impl Figures {
    /// Whether they pass a test, wherever in its band the drift is.
    pub(super) fn pass(&self, test: Test, page_size: u64) -> bool {
        match test {
            Test::Size { figure, operator, bytes } => {
                self.size(figure, page_size).is_some_and(|ends| operator.holds(&ends, &bytes))
            }
            Test::Share { figure, operator, percent } => {
                self.share(figure).is_some_and(|ends| operator.holds(&ends, &percent))
            }
            Test::Near { level } => self.certain().is_some_and(|(reading, uncertainty)| {
                // What moved between the two readings is in one of them only.
                let moved = i64::try_from(uncertainty).unwrap_or(i64::MAX);
                [reading.exact.saturating_sub(moved), reading.exact.saturating_add(moved)]
                    .into_iter()
                    .all(|exact| is_parted(Reading { exact, ..reading }, level, page_size))
            }),
        }
    }

    /// Exact and reported, where their difference is drift; `None` where that or its uncertainty is not known.
    pub(super) fn certain(&self) -> Option<(Reading, u64)> {
        let reported = self.reported.filter(|_| self.has_drift)?;
        Some((Reading { exact: self.exact, reported }, self.uncertainty?))
    }

    /// The ends between which a size is, in bytes. Below 0 there is no memory.
    fn size(&self, figure: Figure, page_size: u64) -> Option<(u64, u64)> {
        let size = |pages: u64| bytes(pages, page_size).unsigned_abs();
        let one = |pages: i64| (size(pages.max(0).unsigned_abs()), size(pages.max(0).unsigned_abs()));
        match figure {
            Figure::Exact => Some(one(self.exact)),
            Figure::Reported => self.reported.map(one),
            Figure::Drift => self.certain().map(|(reading, uncertainty)| {
                let drift = reading.drift().unsigned_abs();
                (size(drift.saturating_sub(uncertainty)), size(drift.saturating_add(uncertainty)))
            }),
            Figure::Percent | Figure::ChargePercent | Figure::ChargedExactPercent => None,
        }
    }

    /// The ends between which a share is, in percent.
    fn share(&self, figure: Figure) -> Option<(f64, f64)> {
        let one = |share: f64| (share, share);
        match figure {
            Figure::Percent => {
                self.certain().filter(|(reading, _)| reading.exact != 0).map(|(reading, uncertainty)| {
                    let of_exact = |pages: u64| pages as f64 * 100.0 / reading.exact.unsigned_abs() as f64;
                    let drift = reading.drift().unsigned_abs();
                    (of_exact(drift.saturating_sub(uncertainty)), of_exact(drift.saturating_add(uncertainty)))
                })
            }
            Figure::ChargePercent => self.charge_percent.map(one),
            Figure::ChargedExactPercent => self.charged_exact_percent.map(one),
            Figure::Exact | Figure::Reported | Figure::Drift => None,
        }
    }

    /// By what the rows that pass a test are ranked: the one that is furthest beyond it is named.
    pub(super) fn beyond(&self, test: Test, page_size: u64) -> f64 {
        let (value, downwards) = match test {
            Test::Size { figure, operator, .. } => {
                (self.size(figure, page_size).map(|(low, _)| low as f64), operator.is_downwards())
            }
            Test::Share { figure, operator, .. } => {
                (self.share(figure).map(|(low, _)| low), operator.is_downwards())
            }
            Test::Near { .. } => {
                (self.certain().map(|(reading, _)| reading.drift().unsigned_abs() as f64), false)
            }
        };
        value.map_or(f64::NEG_INFINITY, |value| if downwards { -value } else { value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u64 = 4096;

    fn figures(exact: i64, reported: i64, uncertainty: u64) -> Figures {
        Figures {
            exact,
            reported: Some(reported),
            has_drift: true,
            uncertainty: Some(uncertainty),
            charge_percent: None,
            charged_exact_percent: None,
        }
    }

    fn size(figure: Figure, operator: Operator, pages: u64) -> Test {
        Test::Size { figure, operator, bytes: pages * PAGE }
    }

    fn percent(operator: Operator, percent: f64) -> Test {
        Test::Share { figure: Figure::Percent, operator, percent }
    }

    #[test]
    fn each_figure_and_operator() {
        use Figure::{Drift, Exact, Reported};
        use Operator::{Above, AtLeast, AtMost, Below};
        for (figure, value) in [(Exact, 100), (Reported, 120), (Drift, 20)] {
            for (operator, right) in [
                (Above, [true, false, false]),
                (AtLeast, [true, true, false]),
                (AtMost, [false, true, true]),
                (Below, [false, false, true]),
            ] {
                let pass = |than| figures(100, 120, 0).pass(size(figure, operator, than), PAGE);
                assert_eq!([value - 1, value, value + 1].map(pass), right, "{figure:?} {operator:?}");
            }
        }
        let pass = |operator, than| figures(100, 120, 0).pass(percent(operator, than), PAGE);
        assert!(pass(Above, 19.9) && !pass(Above, 20.0) && pass(AtLeast, 20.0));
        assert!(pass(Below, 20.1) && !pass(Below, 20.0) && pass(AtMost, 20.0));
    }

    #[test]
    fn a_drift_counts_as_far_as_it_is_certain() {
        let moving = figures(100, 120, 15);
        let drift = |operator, pages| moving.pass(size(Figure::Drift, operator, pages), PAGE);
        assert!(drift(Operator::AtLeast, 5) && !drift(Operator::AtLeast, 6));
        assert!(drift(Operator::AtMost, 35) && !drift(Operator::AtMost, 34));
        assert!(moving.pass(percent(Operator::AtLeast, 5.0), PAGE));
        assert!(!moving.pass(percent(Operator::AtLeast, 5.1), PAGE));
        // There may be none at all.
        for uncertainty in [20, 21, u64::MAX] {
            let moving = figures(100, 120, uncertainty);
            assert!(!moving.pass(size(Figure::Drift, Operator::Above, 0), PAGE), "{uncertainty}");
            assert!(!moving.pass(percent(Operator::Above, 0.0), PAGE), "{uncertainty}");
        }
    }

    #[test]
    fn a_level_is_crossed_by_one_figure_alone_and_for_certain() {
        let near = |figures: Figures, pages| figures.pass(Test::Near { level: pages * PAGE }, PAGE);
        for (exact, reported) in [(100, 120), (120, 100)] {
            let crosses = |level| near(figures(exact, reported, 0), level);
            assert_eq!([100, 101, 110, 120, 121].map(crosses), [false, true, true, true, false]);
            assert!(near(figures(exact, reported, 9), 110));
            assert!(!near(figures(exact, reported, 11), 110), "exact may be on the other side too");
        }
    }

    #[test]
    fn what_is_not_known_fulfils_nothing() {
        let known = figures(100, 120, 0);
        let tests = [
            size(Figure::Drift, Operator::AtLeast, 0),
            size(Figure::Drift, Operator::AtMost, 1000),
            percent(Operator::AtLeast, 0.0),
            percent(Operator::AtMost, 1000.0),
            Test::Near { level: 110 * PAGE },
        ];
        assert!(tests.iter().all(|&test| known.pass(test, PAGE)));
        for (unknown, why) in [
            (Figures { reported: None, ..known }, "unreadable"),
            (Figures { has_drift: false, ..known }, "of a file that may be exact"),
            (Figures { uncertainty: None, ..known }, "not of one instant"),
        ] {
            assert!(!tests.iter().any(|&test| unknown.pass(test, PAGE)), "{why}");
        }
        assert!(!figures(0, 5, 0).pass(percent(Operator::AtLeast, 0.0), PAGE), "a share of nothing");
        let unreadable = Figures { reported: None, ..known };
        for operator in Operator::ALL {
            assert!(!unreadable.pass(size(Figure::Reported, operator, 0), PAGE));
            let share = |figure| Test::Share { figure, operator, percent: 0.0 };
            assert!(!known.pass(share(Figure::ChargePercent), PAGE));
            assert!(!known.pass(share(Figure::ChargedExactPercent), PAGE));
        }
    }

    #[test]
    fn extreme_figures_do_not_panic() {
        for (exact, reported) in [(i64::MAX, i64::MIN), (i64::MIN, i64::MAX), (0, 0)] {
            for uncertainty in [0, u64::MAX] {
                let figures = figures(exact, reported, uncertainty);
                for test in [
                    size(Figure::Exact, Operator::Above, 1),
                    size(Figure::Drift, Operator::Below, 1),
                    percent(Operator::AtMost, 1.0),
                    Test::Near { level: u64::MAX },
                ] {
                    let _ = (figures.pass(test, u64::MAX), figures.beyond(test, PAGE));
                }
            }
        }
    }
}
