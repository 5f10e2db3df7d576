//! Whole numbers on the command line: what is refused is told with what would be taken.

use std::{fmt::Display, ops::RangeInclusive};

/// Parses a whole number of this range.
pub(super) fn within<T>(range: RangeInclusive<T>) -> impl Fn(&str) -> Result<T, String> + Clone
where
    T: Copy + Display + PartialOrd + Limits + TryFrom<u128>,
{
    move |text| {
        let number = text.trim().parse::<u128>().ok();
        let number = number.and_then(|number| T::try_from(number).ok());
        number.filter(|number| range.contains(number)).ok_or_else(|| {
            if *range.end() == T::LARGEST {
                format!("give a whole number of {} or more", range.start())
            } else {
                format!("give a whole number from {} to {}", range.start(), range.end())
            }
        })
    }
}

/// A share above 0 and up to 100, with or without the sign.
pub(super) fn percent(text: &str) -> Result<f64, String> {
    let number = text.trim().trim_end_matches('%').parse().ok();
    number
        .filter(|percent| *percent > 0.0 && *percent <= 100.0)
        .ok_or_else(|| "give a percentage above 0 and up to 100, such as 2 or 0.5%".to_owned())
}

/// The largest number of a type: a range that ends there has no end for the user.
pub(super) trait Limits {
    const LARGEST: Self;
}

impl Limits for u32 {
    const LARGEST: Self = Self::MAX;
}

impl Limits for u64 {
    const LARGEST: Self = Self::MAX;
}

impl Limits for usize {
    const LARGEST: Self = Self::MAX;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_is_told_with_the_range() {
        let count = within(1..=u64::MAX);
        assert_eq!(count("20"), Ok(20));
        assert_eq!(count("18446744073709551615"), Ok(u64::MAX));
        for text in ["0", "-1", "", "x", "1.5", "18446744073709551616", "9".repeat(60).as_str()] {
            assert_eq!(count(text), Err("give a whole number of 1 or more".to_owned()), "{text}");
        }
        assert_eq!(within(1..=1000_u32)("1001"), Err("give a whole number from 1 to 1000".to_owned()));
        assert_eq!(within(0..=usize::MAX)("0"), Ok(0));
    }
}
