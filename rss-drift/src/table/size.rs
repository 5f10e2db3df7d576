//! Sizes as people read them: one place for units.

/// In which unit a table shows sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Units {
    /// The unit that fits each size, beside the number.
    Human,
    /// Bare numbers: whole KiB.
    Kib,
    /// Bare numbers: MiB with two decimals.
    Mib,
    /// Bare numbers.
    Bytes,
}

/// Units above the byte, by powers of 1,024.
const NAMES: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

impl Units {
    /// The unit of every bare number; `None` where each size has its own beside it.
    #[must_use]
    pub const fn of_all(self) -> Option<&'static str> {
        match self {
            Self::Human => None,
            Self::Kib => Some("KiB"),
            Self::Mib => Some("MiB"),
            Self::Bytes => Some("bytes"),
        }
    }

    /// A size for a cell of a table: bare, unless each size has its own unit.
    #[must_use]
    pub fn cell(self, bytes: i64) -> String {
        match self {
            Self::Human => human(bytes),
            Self::Kib => (bytes / 1024).to_string(),
            Self::Mib => format!("{:.2}", bytes as f64 / f64::from(1 << 20)),
            Self::Bytes => bytes.to_string(),
        }
    }

    /// A difference for a cell: people see its sign also where it is above 0.
    #[must_use]
    pub fn difference(self, bytes: i64) -> String {
        let plus = if self == Self::Human && bytes > 0 { "+" } else { "" };
        plus.to_owned() + &self.cell(bytes)
    }

    /// A level that somebody gave, in a sentence: whole, in the largest unit of which it is a whole number, or with the one decimal that it
    /// has. It is not rounded: what is said to be below it is.
    #[must_use]
    pub fn level(bytes: u64) -> String {
        let tenths = |power: usize| (u128::from(bytes) * 10) >> (10 * power);
        let is_exact = |power: usize| tenths(power) << (10 * power) == u128::from(bytes) * 10;
        let fits = |&power: &usize| tenths(power) >= 10 && is_exact(power);
        let Some(power) = (1..=NAMES.len()).rev().find(fits) else { return format!("{bytes} B") };
        let (whole, part) = (tenths(power) / 10, tenths(power) % 10);
        let part = if part == 0 { String::new() } else { format!(".{part}") };
        format!("{whole}{part} {}", NAMES[power - 1])
    }

    /// A size in a sentence, always with its unit.
    #[must_use]
    pub fn text(self, bytes: i64) -> String {
        let cell = self.cell(bytes);
        self.of_all().map_or_else(|| cell.clone(), |unit| format!("{cell} {unit}"))
    }
}

/// With one decimal from MiB on; a size of RSS below that is whole KiB, as pages are.
fn human(bytes: i64) -> String {
    let sign = if bytes < 0 { "-" } else { "" };
    let size = u128::from(bytes.unsigned_abs());
    if size == 0 {
        return "0".to_owned();
    }
    if size < 1024 {
        return format!("{sign}{size} B");
    }
    if size < 1 << 20 {
        return format!("{sign}{} KiB", size >> 10);
    }
    let tenths = |power: usize| (size * 10 + (1 << (10 * power)) / 2) >> (10 * power);
    // What would be rounded up to 1024.0 has the next unit.
    let power = (2..NAMES.len()).find(|&power| tenths(power) < 10_240).unwrap_or(NAMES.len());
    format!("{sign}{}.{} {}", tenths(power) / 10, tenths(power) % 10, NAMES[power - 1])
}

/// A count with its thousands grouped.
#[must_use]
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Units; 4] = [Units::Human, Units::Kib, Units::Mib, Units::Bytes];

    #[test]
    fn a_level_is_not_rounded() {
        for (bytes, right) in [
            (512 << 20, "512 MiB"),
            (1536 << 20, "1.5 GiB"),
            (1030 << 20, "1030 MiB"),
            (1500 << 20, "1500 MiB"),
            (4096, "4 KiB"),
            (102, "102 B"),
            ((1 << 30) + 1, "1073741825 B"),
            (1 << 60, "1 EiB"),
        ] {
            assert_eq!(Units::level(bytes), right);
        }
    }

    #[test]
    fn each_size_has_the_unit_that_fits() {
        for (bytes, right) in [
            (0, "0"),
            (-1023, "-1023 B"),
            (4096, "4 KiB"),
            (-(744 << 10), "-744 KiB"),
            ((1 << 20) - 4096, "1020 KiB"),
            (1 << 20, "1.0 MiB"),
            (52_006_912, "49.6 MiB"),
            ((1 << 30) - 4096, "1.0 GiB"),
            ((1 << 30) - (1 << 20), "1023.0 MiB"),
            (i64::MAX, "8.0 EiB"),
            (i64::MIN, "-8.0 EiB"),
        ] {
            assert_eq!(human(bytes), right);
        }
    }

    #[test]
    fn bare_numbers_have_one_unit() {
        let all = |bytes| ALL.map(|units| units.cell(bytes));
        assert_eq!(all(258_048), ["252 KiB", "252", "0.25", "258048"]);
        assert_eq!(all(-258_048), ["-252 KiB", "-252", "-0.25", "-258048"]);
        assert_eq!(ALL.map(|units| units.text(258_048)), ["252 KiB", "252 KiB", "0.25 MiB", "258048 bytes"]);
        assert_eq!(ALL.map(|units| units.difference(4096)), ["+4 KiB", "4", "0.00", "4096"]);
        assert_eq!(Units::Human.difference(0), "0");
    }

    #[test]
    fn thousands_are_grouped() {
        for (count, right) in
            [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567"), (100_000, "100,000")]
        {
            assert_eq!(grouped(count), right);
        }
    }

    proptest! {
        #[test]
        fn no_human_size_is_long_or_off(bytes: i64) {
            let text = human(bytes);
            prop_assert!(text.len() <= "-1023.9 MiB".len(), "{}", text);
            if let Some((number, unit)) = text.split_once(' ') {
                let power = ["B"].iter().chain(&NAMES).position(|name| *name == unit).unwrap();
                let unit = 1024_f64.powi(i32::try_from(power).unwrap());
                let off = (number.parse::<f64>().unwrap() - bytes as f64 / unit).abs();
                prop_assert!(off < if power == 1 { 1.0 } else { 0.0501 }, "{} of {}", text, bytes);
            }
        }
    }
}
