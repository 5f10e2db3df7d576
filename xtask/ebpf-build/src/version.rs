//! Versions of compilers and of LLVM: three numbers, compared in order.

use std::fmt;

/// A version such as `22.1.8`. What follows the numbers (`-rust-1.95.0-stable`, `-nightly`) does not take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
    /// The third number.
    pub patch: u32,
}

impl Version {
    /// A version from its numbers.
    #[must_use]
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { major, minor, patch }
    }

    /// Reads the version that `text` starts with; a missing second or third number is 0. None without a first one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let numbers = text.split(|c: char| c != '.' && !c.is_ascii_digit()).next()?;
        let mut parts = numbers.split('.');
        let major = parts.next()?.parse().ok()?;
        let mut following = || parts.next().map_or(Some(0), |part| part.parse().ok());
        let (minor, patch) = (following()?, following()?);
        Some(Self { major, minor, patch })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_and_suffixes_are_not() {
        assert_eq!(Version::parse("22.1.8"), Some(Version::new(22, 1, 8)));
        assert_eq!(Version::parse("22.1.2-rust-1.95.0-stable"), Some(Version::new(22, 1, 2)));
        assert_eq!(Version::parse("1.97.0-nightly"), Some(Version::new(1, 97, 0)));
        assert_eq!(Version::parse("22.1"), Some(Version::new(22, 1, 0)));
        assert_eq!(Version::parse("22"), Some(Version::new(22, 0, 0)));
        assert_eq!(Version::parse("1.96.0+dfsg1-1~deb12u2"), Some(Version::new(1, 96, 0)));
    }

    #[test]
    fn what_is_no_version_is_none() {
        for text in ["", "nightly", ".1", "-22", "22..1", "99999999999.1"] {
            assert_eq!(Version::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_patch_level_counts() {
        let order = ["21.9.9", "22.0.9", "22.1.2", "22.1.8", "22.1.10", "23.0.0"];
        let parsed: Vec<_> = order.iter().map(|text| Version::parse(text)).collect();
        assert!(parsed.windows(2).all(|pair| pair[0] < pair[1]), "{parsed:?}");
    }

    #[test]
    fn printed_in_full() {
        assert_eq!(Version::new(22, 1, 0).to_string(), "22.1.0");
    }
}
