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

    /// Of what each round's `value` is in relation to the same round's `base`: what slows a whole round down falls out.
    pub(crate) fn of_ratios(value: &[f64], base: &[f64]) -> Option<Self> {
        let ratios: Vec<f64> = value
            .iter()
            .zip(base)
            .filter(|&(_, &base)| base > 0.0)
            .map(|(value, base)| value / base)
            .collect();
        Self::of(&ratios)
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
    fn ratios_are_of_the_same_round() {
        // The second round was ten times as slow for both.
        assert_eq!(Spread::of_ratios(&[2.0, 20.0, 2.0], &[1.0, 10.0, 1.0]), spread(2.0, 2.0, 2.0));
        assert_eq!(Spread::of_ratios(&[2.0, 2.0], &[0.0, 1.0]), spread(2.0, 2.0, 2.0));
        assert_eq!(Spread::of_ratios(&[], &[]), None);
    }
}
