//! Sizes on the command line: a bare number is bytes, units are powers of 1,024.

/// The letters of units, each 1,024 times the one before.
const UNITS: &str = "kmgtpe";

/// Parses "65536", "64K", "1.5M", "1MiB", "2 GiB"; 0 and what does not fit into 63 bits are refused.
pub(super) fn parse(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text.trim());
    of(number, unit.trim_start())
        .filter(|&bytes| bytes > 0)
        .ok_or_else(|| "give a size above 0, such as 65536, 64K, 1.5M or 1GiB (powers of 1024)".to_owned())
}

/// Parts the number at the beginning from what stands behind it.
pub(super) fn split(text: &str) -> (&str, &str) {
    let end =
        text.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(text.len());
    text.split_at(end)
}

/// So many of a unit, in bytes; `None` where one of them is none, or they do not fit into 63 bits.
pub(super) fn of(number: &str, unit: &str) -> Option<u64> {
    scaled(number, shift(unit)?)
}

/// Whether it is a unit.
pub(super) fn is_unit(unit: &str) -> bool {
    shift(unit).is_some()
}

/// The units as people write them.
pub(super) fn units() -> impl Iterator<Item = String> + Clone {
    let letters = UNITS.chars().map(|letter| letter.to_ascii_uppercase());
    ["B".to_owned()]
        .into_iter()
        .chain(letters.flat_map(|letter| [format!("{letter}"), format!("{letter}iB")]))
}

/// The power of two of a unit, in capitals or not: none, `B`, `K`, `KB` or `KiB`.
fn shift(unit: &str) -> Option<u32> {
    let unit = unit.to_ascii_lowercase();
    let mut rest = unit.chars();
    let shift = match rest.next() {
        None | Some('b') => 0,
        Some(letter) => 10 * (u32::try_from(UNITS.find(letter)?).ok()? + 1),
    };
    let known = match rest.as_str() {
        "" => true,
        "b" | "ib" | "i" => shift > 0,
        _ => false,
    };
    known.then_some(shift)
}

/// A decimal number times a power of two, rounded down. Without floating point: every byte of a large size counts.
fn scaled(number: &str, shift: u32) -> Option<u64> {
    /// Digits behind the point that are looked at: 10^18 times the largest unit fits into 128 bits.
    const DIGITS: usize = 18;
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && part.is_empty() || part.contains('.') {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let part = &part[..part.len().min(DIGITS)];
    let parts: u128 = if part.is_empty() { 0 } else { part.parse().ok()? };
    let of_parts = (parts << shift) / 10_u128.pow(u32::try_from(part.len()).ok()?);
    let bytes = whole.checked_mul(1 << shift)?.checked_add(of_parts)?;
    i64::try_from(bytes).ok().map(i64::unsigned_abs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("65536", 65536),
            ("64K", 65536),
            ("2g", 2 << 30),
            ("1.5M", 3 << 19),
            (" 1MiB ", 1 << 20),
            ("512 mib", 512 << 20),
            ("1T", 1 << 40),
            ("10kb", 10240),
            ("7B", 7),
            (".5k", 512),
            ("0.1K", 102),
            ("9007199254740993", 9_007_199_254_740_993),
            ("4.5E", 9 << 59),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn units_are_taken_as_they_are_listed() {
        assert_eq!(units().take(5).collect::<Vec<_>>(), ["B", "K", "KiB", "M", "MiB"]);
        assert!(units().all(|unit| is_unit(&unit)) && is_unit("") && !is_unit("X"));
        assert_eq!(
            (of("0", ""), of("1.5", "MiB"), of("", "M"), of("9", "E")),
            (Some(0), Some(3 << 19), None, None)
        );
    }

    #[test]
    fn what_is_no_size_is_told_with_what_is() {
        for text in [
            "",
            "0",
            "-1",
            "K",
            ".",
            "1.2.3",
            "1X",
            "1MM",
            "1Bi",
            "1e3",
            "8E",
            "99999999999G",
            "0.0001K",
            "1,5M",
            "\u{661}K",
        ] {
            assert!(parse(text).is_err_and(|error| error.contains("1.5M")), "{text}");
        }
    }
}
