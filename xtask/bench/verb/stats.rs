//! What many noisy rounds come to: medians and quartiles, never a mean that one bad round decides.

/// The middle half of some values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    /// A quarter of the values lies below.
    pub(crate) p25: f64,
    /// Half of the values lies below.
    pub(crate) median: f64,
    /// Three quarters of the values lie below.
    pub(crate) p75: f64,
}

impl Spread {
    /// Of `values` in any order; `None` where there is none.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let quantile = |share| quantile(&sorted, share);
        Some(Self { p25: quantile(0.25)?, median: quantile(0.5)?, p75: quantile(0.75)? })
    }

    /// Of what each round's `value` is in relation to the same round's `base`.
    pub(crate) fn of_ratios(value: &[f64], base: &[f64]) -> Option<Self> {
        Self::of(&ratios(value, base))
    }
}

/// What each round's `value` is in relation to the same round's `base`: what slows a whole round down falls out.
pub(crate) fn ratios(value: &[f64], base: &[f64]) -> Vec<f64> {
    let rounds = value.iter().zip(base).filter(|&(_, &base)| base > 0.0);
    rounds.map(|(value, base)| value / base).collect()
}

/// Where the median of what was drawn from may lie, with 95 % confidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Interval {
    /// Not below this.
    pub(crate) low: f64,
    /// Not above this.
    pub(crate) high: f64,
}

impl Interval {
    /// Between the k-th smallest and the k-th largest of `values`. The median lies outside only when fewer than k of them
    /// fell on one of its sides, which is a matter of fair coins: nothing is assumed of how they scatter, and no bad round
    /// decides. `None` below six values: not even all of them are enough then.
    pub(crate) fn of_median(values: &[f64]) -> Option<Self> {
        const OUTSIDE: f64 = 0.05;
        let count = values.len();
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        // The probability of exactly `heads` heads, and of that many or fewer.
        let mut exactly = 0.5_f64.powi(i32::try_from(count).ok()?);
        let mut at_most = exactly;
        let mut heads = 0;
        if exactly == 0.0 || 2.0 * at_most > OUTSIDE {
            return None;
        }
        loop {
            exactly *= (count - heads) as f64 / (heads + 1) as f64;
            if 2.0 * (at_most + exactly) > OUTSIDE {
                return Some(Self { low: sorted[heads], high: sorted[count - 1 - heads] });
            }
            at_most += exactly;
            heads += 1;
        }
    }
}

/// The value below which `share` of the `sorted` ones lie, between two of them where it falls there.
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = share * last as f64;
    let below = (0..last).rev().find(|&index| index as f64 <= place).unwrap_or(0);
    let (low, high) = (sorted[below], sorted[(below + 1).min(last)]);
    Some(low + (high - low) * (place - below as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "as what it is compared with")]
    fn spread(p25: f64, median: f64, p75: f64) -> Option<Spread> {
        Some(Spread { p25, median, p75 })
    }

    #[test]
    fn quartiles_of_few_values() {
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(Spread::of(&[7.0]), spread(7.0, 7.0, 7.0));
        assert_eq!(Spread::of(&[4.0, 2.0]), spread(2.5, 3.0, 3.5));
        assert_eq!(Spread::of(&[5.0, 1.0, 4.0, 2.0, 3.0]), spread(2.0, 3.0, 4.0));
    }

    #[test]
    fn one_bad_round_decides_nothing() {
        assert_eq!(Spread::of(&[1.0, 1.0, 1.0, 1.0, 1000.0]), spread(1.0, 1.0, 1.0));
    }

    #[test]
    fn the_median_lies_within_by_fair_coins() {
        let values = |count: u32| (1..=count).rev().map(f64::from).collect::<Vec<_>>();
        let interval = |count| Interval::of_median(&values(count)).map(|it| (it.low, it.high));
        // The usual tables of the sign test: 6 values have 96.9 % between their ends, 10 have 97.9 % between the second ones.
        assert_eq!(interval(0), None);
        assert_eq!(interval(5), None);
        assert_eq!(interval(6), Some((1.0, 6.0)));
        assert_eq!(interval(8), Some((1.0, 8.0)));
        assert_eq!(interval(9), Some((2.0, 8.0)));
        assert_eq!(interval(10), Some((2.0, 9.0)));
        assert_eq!(interval(20), Some((6.0, 15.0)));
        assert_eq!(interval(100), Some((40.0, 61.0)));
        assert!(interval(1000).is_some());
    }

    #[test]
    fn ratios_are_of_the_same_round() {
        // The second round was ten times as slow for both.
        assert_eq!(Spread::of_ratios(&[2.0, 20.0, 2.0], &[1.0, 10.0, 1.0]), spread(2.0, 2.0, 2.0));
        assert_eq!(Spread::of_ratios(&[2.0, 2.0], &[0.0, 1.0]), spread(2.0, 2.0, 2.0));
        assert_eq!(Spread::of_ratios(&[], &[]), None);
    }
}
