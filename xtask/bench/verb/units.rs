//! Figures with their units, as tables show them: three digits that count.

use super::stats::Spread;

/// A time of so many nanoseconds, with three digits that count.
pub(crate) fn time(ns: f64) -> String {
    let (value, unit) = match ns {
        ns if ns.abs() < 1e3 => (ns, "ns"),
        ns if ns.abs() < 1e6 => (ns / 1e3, "us"),
        ns if ns.abs() < 1e9 => (ns / 1e6, "ms"),
        ns => (ns / 1e9, "s"),
    };
    format!("{} {unit}", digits(value))
}

/// Times of the middle half, in the median's unit.
pub(crate) fn times(spread: &Spread) -> String {
    format!("{} to {}", time(spread.p25), time(spread.p75))
}

/// How many times as much.
pub(crate) fn ratio(spread: &Spread) -> String {
    format!("{} ({} to {})", digits(spread.median), digits(spread.p25), digits(spread.p75))
}

/// A size in memory.
pub(crate) fn bytes(bytes: f64) -> String {
    const KIB: f64 = 1024.0;
    if bytes < KIB * KIB {
        format!("{} KiB", digits(bytes / KIB))
    } else {
        format!("{} MiB", digits(bytes / (KIB * KIB)))
    }
}

/// Three digits that count.
pub(crate) fn digits(value: f64) -> String {
    match value {
        value if value.abs() < 1.0 => format!("{value:.3}"),
        value if value.abs() < 10.0 => format!("{value:.2}"),
        value if value.abs() < 100.0 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_count() {
        assert_eq!(time(123.4), "123 ns");
        assert_eq!(time(-2_345.0), "-2.35 us");
        assert_eq!(time(1_234.0), "1.23 us");
        assert_eq!(time(12_345_678.0), "12.3 ms");
        assert_eq!(time(2e9), "2.00 s");
        assert_eq!(bytes(1_572_864.0), "1.50 MiB");
        assert_eq!(bytes(4096.0), "4.00 KiB");
        assert_eq!(ratio(&Spread { p25: 0.1, median: 0.125, p75: 150.2 }), "0.125 (0.100 to 150)");
    }
}
