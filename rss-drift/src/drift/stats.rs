//! Percentiles and sums of drift, for one interval (exact) and for all intervals together (bounded memory).
//!
//! Percentiles are nearest-rank: the p-th percentile of n sorted values is the value at rank ceil(p x n / 100), counted
//! from 1. It is always a value that was measured, never an average of two.

use std::time::SystemTime;

/// What drift is made of: one process at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Exact RSS in pages.
    pub exact: i64,
    /// What the kernel reported, in pages.
    pub reported: i64,
}

impl Reading {
    /// Exact - reported, in pages; positive: the kernel under-reports.
    #[must_use]
    pub const fn drift(self) -> i64 {
        self.exact.saturating_sub(self.reported)
    }

    /// |drift| as a share of exact, in percent; `None` with an exact figure of 0.
    #[must_use]
    pub fn percent(self) -> Option<f64> {
        (self.exact != 0)
            .then(|| self.drift().unsigned_abs() as f64 * 100.0 / self.exact.unsigned_abs() as f64)
    }
}

/// Nearest-rank percentiles and the largest value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Percentiles<T> {
    /// Half of the values are not above this one.
    pub p50: T,
    /// 95 of 100 values are not above this one.
    pub p95: T,
    /// 99 of 100 values are not above this one.
    pub p99: T,
    pub max: T,
}

impl<T: Copy> Percentiles<T> {
    /// Percentiles of values that are sorted already; `None` of nothing.
    #[must_use]
    pub fn of_sorted(sorted: &[T]) -> Option<Self> {
        let count = sorted.len() as u64;
        let at = |percent| sorted.get(usize::try_from(rank(percent, count)).ok()?.checked_sub(1)?).copied();
        Some(Self { p50: at(50)?, p95: at(95)?, p99: at(99)?, max: *sorted.last()? })
    }
}

/// Rank, counted from 1, of a percentile among `count` values; 0 of nothing.
fn rank(percent: u64, count: u64) -> u64 {
    // In u128, because 100 x count may not fit.
    let rank = (u128::from(percent) * u128::from(count)).div_ceil(100);
    u64::try_from(rank).unwrap_or(u64::MAX)
}

/// How |drift| is distributed over a number of readings.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Distribution {
    /// Readings counted.
    pub readings: u64,
    /// |drift| in pages; `None` without a reading.
    pub absolute: Option<Percentiles<u64>>,
    /// |drift| in percent of exact; `None` without a reading whose exact figure is not 0.
    pub relative: Option<Percentiles<f64>>,
}

/// Sums and distribution of one interval: every value is kept, so every figure is exact.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Summary {
    /// Sum of exact RSS, in pages.
    pub exact: i64,
    /// Sum of what the kernel reported, in pages; `None` where that cannot be told.
    pub reported: Option<i64>,
    /// How |drift| is distributed.
    pub drift: Distribution,
}

impl Summary {
    /// The sum of exact figures beside which nothing is known to be reported.
    #[must_use]
    pub fn of_exact(exact: impl IntoIterator<Item = i64>) -> Self {
        Self { exact: exact.into_iter().fold(0, i64::saturating_add), ..Self::default() }
    }

    /// Sums up the readings of one interval. A shared mm is to be given once, or its memory counts twice.
    #[must_use]
    pub fn of(readings: impl IntoIterator<Item = Reading>) -> Self {
        let mut summary = Self { reported: Some(0), ..Self::default() };
        let mut absolute = Vec::new();
        let mut relative = Vec::new();
        for reading in readings {
            summary.exact = summary.exact.saturating_add(reading.exact);
            summary.reported = summary.reported.map(|sum| sum.saturating_add(reading.reported));
            absolute.push(reading.drift().unsigned_abs());
            relative.extend(reading.percent());
        }
        absolute.sort_unstable();
        relative.sort_unstable_by(f64::total_cmp);
        summary.drift = Distribution {
            readings: absolute.len() as u64,
            absolute: Percentiles::of_sorted(&absolute),
            relative: Percentiles::of_sorted(&relative),
        };
        summary
    }
}

/// The largest |drift| of all readings, and whose it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Largest {
    pub pid: u32,
    pub comm: String,
    /// When it was read.
    pub time: SystemTime,
    pub reading: Reading,
}

/// |drift| of all readings, in memory that does not grow with their number (see `BUCKET_BITS`).
#[derive(Clone, Debug, Default)]
pub struct DriftHistogram {
    absolute: Histogram,
    relative: Histogram,
    largest: Option<Largest>,
}

/// Steps in one percent, by which a percentage becomes a whole number for the histogram.
const STEPS_PER_PERCENT: f64 = 100.0;

impl DriftHistogram {
    /// Counts one reading. `who` is asked for pid, name and time only when this |drift| is the largest so far.
    pub fn record(&mut self, reading: Reading, who: impl FnOnce() -> (u32, String, SystemTime)) {
        let drift = reading.drift().unsigned_abs();
        self.absolute.record(drift);
        if let Some(percent) = reading.percent() {
            // Saturates, and a percentage is never negative.
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a saturating cast")]
            self.relative.record((percent * STEPS_PER_PERCENT).round() as u64);
        }
        if self.largest.as_ref().is_none_or(|largest| largest.reading.drift().unsigned_abs() < drift) {
            let (pid, comm, time) = who();
            self.largest = Some(Largest { pid, comm, time, reading });
        }
    }

    /// Percentiles so far. Up to 2,047 pages they are exact, above at most 1/1,024 too high, never too low; percentages
    /// are rounded to 0.01 first, exact up to 20.47 and then the same. `max` is exact (a percentage: to 0.01).
    #[must_use]
    pub fn distribution(&self) -> Distribution {
        let percent = |steps: u64| steps as f64 / STEPS_PER_PERCENT;
        Distribution {
            readings: self.absolute.total,
            absolute: self.absolute.percentiles(),
            relative: self.relative.percentiles().map(|found| Percentiles {
                p50: percent(found.p50),
                p95: percent(found.p95),
                p99: percent(found.p99),
                max: percent(found.max),
            }),
        }
    }

    /// The largest |drift| so far; of equal ones the first.
    #[must_use]
    pub fn largest(&self) -> Option<&Largest> {
        self.largest.as_ref()
    }
}

/// A log-linear histogram: from one power of two to the next there are 1,024 buckets of equal width.
///
/// Exact counts by value would be simpler, but the number of distinct values is bounded only by the bound of drift: with
/// 256 CPUs 393,216 pages per process (3 members x 256 CPUs x a batch of 512), and by nothing for percentages.
#[derive(Clone, Debug, Default)]
struct Histogram {
    /// Values per bucket, as far as the highest bucket in use.
    buckets: Vec<u64>,
    total: u64,
    max: u64,
}

/// Buckets from one power of two to the next, as a power of two.
///
/// Memory: 8 bytes per bucket up to the largest value: 64 KiB at 1 GiB of drift or at 1,000 %, 440 KiB at `u64::MAX`.
const BUCKET_BITS: u32 = 10;

impl Histogram {
    fn record(&mut self, value: u64) {
        let bucket = bucket_of(value);
        if self.buckets.len() <= bucket {
            self.buckets.resize(bucket + 1, 0);
        }
        self.buckets[bucket] += 1;
        self.total += 1;
        self.max = self.max.max(value);
    }

    fn percentiles(&self) -> Option<Percentiles<u64>> {
        (self.total > 0).then(|| Percentiles {
            p50: self.at_rank(rank(50, self.total)),
            p95: self.at_rank(rank(95, self.total)),
            p99: self.at_rank(rank(99, self.total)),
            max: self.max,
        })
    }

    fn at_rank(&self, rank: u64) -> u64 {
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return highest_of(bucket).min(self.max);
            }
        }
        self.max
    }
}

/// The bucket that a value falls into: values below 2,048 have one of their own.
#[expect(clippy::cast_possible_truncation, reason = "below 2,048 after the shift")]
fn bucket_of(value: u64) -> usize {
    let shift = (u64::BITS - value.leading_zeros()).saturating_sub(BUCKET_BITS + 1);
    // shift is at most 53 and value >> shift below 2,048: far from any overflow.
    ((shift as usize) << BUCKET_BITS) + (value >> shift) as usize
}

/// The largest value of a bucket.
fn highest_of(bucket: usize) -> u64 {
    let per_octave = 1 << BUCKET_BITS;
    let shift = (bucket / per_octave).saturating_sub(1);
    let first = (bucket - shift * per_octave) as u64;
    (first << shift) | ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn naive(values: &[u64], percent: f64) -> u64 {
        let mut sorted = values.to_vec();
        sorted.sort_unstable();
        // The definition word for word: the smallest value that at least p percent of the values do not exceed.
        *sorted
            .iter()
            .find(|&&candidate| {
                let not_above = sorted.iter().filter(|&&value| value <= candidate).count();
                not_above as f64 * 100.0 >= percent * sorted.len() as f64
            })
            .unwrap()
    }

    fn nobody() -> (u32, String, SystemTime) {
        (1, String::new(), SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn of_nothing_there_are_no_percentiles() {
        assert_eq!(Summary::of([]), Summary { reported: Some(0), ..Summary::default() });
        assert_eq!(DriftHistogram::default().distribution(), Distribution::default());
        assert!(DriftHistogram::default().largest().is_none());
    }

    #[test]
    fn nearest_rank_takes_measured_values() {
        let sorted: Vec<u64> = (1..=200).collect();
        assert_eq!(
            Percentiles::of_sorted(&sorted),
            Some(Percentiles { p50: 100, p95: 190, p99: 198, max: 200 })
        );
        assert_eq!(Percentiles::of_sorted(&[7]), Some(Percentiles { p50: 7, p95: 7, p99: 7, max: 7 }));
        assert_eq!(Percentiles::of_sorted(&[1, 9]), Some(Percentiles { p50: 1, p95: 9, p99: 9, max: 9 }));
    }

    #[test]
    fn sums_keep_their_sign_and_percentiles_do_not() {
        let summary =
            Summary::of([Reading { exact: 100, reported: 150 }, Reading { exact: 200, reported: 190 }]);
        assert_eq!((summary.exact, summary.reported), (300, Some(340)));
        assert_eq!(summary.drift.absolute, Some(Percentiles { p50: 10, p95: 50, p99: 50, max: 50 }));
        assert_eq!(summary.drift.relative, Some(Percentiles { p50: 5.0, p95: 50.0, p99: 50.0, max: 50.0 }));
    }

    #[test]
    fn an_exact_figure_of_nothing_has_no_share() {
        let summary = Summary::of([Reading { exact: 0, reported: 5 }]);
        assert_eq!(summary.drift.absolute.map(|found| found.max), Some(5));
        assert_eq!(summary.drift.relative, None);
    }

    #[test]
    fn the_largest_drift_is_the_first_of_its_size() {
        let mut all = DriftHistogram::default();
        for (pid, reported) in [(1, 90), (2, 130), (3, 70)] {
            all.record(Reading { exact: 100, reported }, || (pid, format!("p{pid}"), SystemTime::UNIX_EPOCH));
        }
        let largest = all.largest().unwrap();
        assert_eq!((largest.pid, largest.comm.as_str(), largest.reading.drift()), (2, "p2", -30));
    }

    #[test]
    fn buckets_follow_one_another_without_a_gap() {
        for bucket in 0..=bucket_of(u64::MAX) {
            let highest = highest_of(bucket);
            assert_eq!(bucket_of(highest), bucket);
            if let Some(next) = highest.checked_add(1) {
                assert_eq!(bucket_of(next), bucket + 1);
            }
        }
        assert_eq!(highest_of(bucket_of(u64::MAX)), u64::MAX);
    }

    proptest! {
        #[test]
        fn an_interval_equals_a_naive_sort(
            values in prop::collection::vec(prop_oneof![0..50u64, 0..1_000_000u64], 1..200),
        ) {
            let summary =
                Summary::of(values.iter().map(|&value| Reading { exact: value.cast_signed(), reported: 0 }));
            let found = summary.drift.absolute.unwrap();
            prop_assert_eq!(found.p50, naive(&values, 50.0));
            prop_assert_eq!(found.p95, naive(&values, 95.0));
            prop_assert_eq!(found.p99, naive(&values, 99.0));
            prop_assert_eq!(found.max, *values.iter().max().unwrap());
        }

        #[test]
        fn all_readings_are_exact_when_small_and_never_too_low(
            values in prop::collection::vec(prop_oneof![0..4000u64, any::<u64>().prop_map(|v| v >> 1)], 1..200),
        ) {
            let mut all = DriftHistogram::default();
            for &value in &values {
                all.record(Reading { exact: value.cast_signed(), reported: 0 }, nobody);
            }
            let found = all.distribution().absolute.unwrap();
            for (percent, got) in [(50.0, found.p50), (95.0, found.p95), (99.0, found.p99)] {
                let right = naive(&values, percent);
                let slack = if right < 2048 { 0 } else { right / 1024 };
                prop_assert!(right <= got && got - right <= slack, "p{}: {} for {}", percent, got, right);
            }
            prop_assert_eq!(found.max, *values.iter().max().unwrap());
        }

        #[test]
        fn extreme_readings_do_not_panic(exact: i64, reported: i64) {
            let reading = Reading { exact, reported };
            let mut all = DriftHistogram::default();
            all.record(reading, nobody);
            all.record(reading, nobody);
            let _ = (all.distribution(), Summary::of([reading, reading]));
        }
    }
}
