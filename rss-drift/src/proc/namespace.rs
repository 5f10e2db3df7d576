//! Namespaces that /proc looks through: what it prints depends on who reads it.

use std::{fs, path::Path};

/// What /proc adds to boot times for a reader in our time namespace, in nanoseconds; 0 where the kernel has none (before 5.6).
#[must_use]
pub fn boottime_offset() -> i64 {
    let folder = Path::new("/proc/self");
    let link = |name| fs::read_link(folder.join("ns").join(name)).ok();
    // The file is of the namespace that our children get, which is another one in a program that has just made it for them.
    if link("time") != link("time_for_children") {
        return 0;
    }
    fs::read_to_string(folder.join("timens_offsets")).ok().and_then(|text| offset_of(&text)).unwrap_or(0)
}

/// The offset of the clock of boot times in `timens_offsets` (`time_namespaces(7)`): clock, seconds, nanoseconds.
fn offset_of(text: &str) -> Option<i64> {
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        // Kernels before 5.7 print the clock's number.
        words.next().filter(|clock| ["boottime", "7"].contains(clock))?;
        let (seconds, nanoseconds) = (words.next()?.parse::<i64>().ok()?, words.next()?.parse::<i64>().ok()?);
        seconds.checked_mul(1_000_000_000)?.checked_add(nanoseconds)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offset_of_boot_times() {
        assert_eq!(offset_of("monotonic     1000  5\nboottime      1000  7\n"), Some(1_000_000_000_007));
        assert_eq!(offset_of("monotonic  0  0\nboottime  -3  500000000\n"), Some(-2_500_000_000));
        for other in
            ["", "monotonic 1 2\n", "boottime\n", "boottime x 0\n", "boottime 9223372036854775807 0\n"]
        {
            assert_eq!(offset_of(other), None, "{other}");
        }
    }
}
