//! What a guest's live tests printed, read: counts, skips with their reasons, failures, facts for the report.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// The results of one guest.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Results {
    /// The closing line's numbers; `None` when the tests did not come to it.
    pub(crate) counts: Option<Counts>,
    /// Skipped tests, each with its reason.
    pub(crate) skips: Vec<(String, String)>,
    /// The lines of each failed test.
    pub(crate) failures: Vec<String>,
    /// `report: key=value` lines.
    pub(crate) facts: BTreeMap<String, String>,
    /// What `rss-drift doctor --json` printed.
    pub(crate) doctor: Option<Value>,
    /// What `rss-drift demo --spread --json` printed, in the test of it.
    pub(crate) demo: Option<Value>,
}

/// How many tests ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Tests that passed.
    pub(crate) passed: u32,
    /// Tests that failed.
    pub(crate) failed: u32,
    /// Tests that a kernel or a machine lacks something for.
    pub(crate) skipped: u32,
}

impl Counts {
    /// Parses `N passed, N failed, N skipped`.
    fn parse(line: &str) -> Option<Self> {
        let mut numbers = ["passed", "failed", "skipped"].into_iter();
        let mut parts = line.split(", ");
        let mut number = || -> Option<u32> {
            let (number, word) = parts.next()?.split_once(' ')?;
            if word == numbers.next()? { number.parse().ok() } else { None }
        };
        let counts = Self { passed: number()?, failed: number()?, skipped: number()? };
        parts.next().is_none().then_some(counts)
    }

    /// The sum with others.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            skipped: self.skipped + other.skipped,
        }
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

impl Results {
    /// Reads all that a guest printed.
    pub(crate) fn parse(output: &str) -> Self {
        let mut sections = output.split("@vm ");
        let mut results = Self::of_tests(sections.next().unwrap_or_default());
        for section in sections {
            let (name, text) = section.split_once('\n').unwrap_or((section, ""));
            // A kernel or a build that cannot do it prints no JSON: its place in the report stays empty.
            let value = serde_json::from_str(text).ok();
            if name.trim_end() == "doctor" {
                results.doctor = value;
            }
        }
        let demo = results.facts.remove("demo");
        results.demo = demo.and_then(|text| serde_json::from_str(&text).ok());
        results
    }

    fn of_tests(text: &str) -> Self {
        let mut results = Self::default();
        let mut of_failed = false;
        for line in text.lines().map(str::trim_end) {
            let fact = line.split_once("report: ").and_then(|(_, fact)| fact.split_once('='));
            results.facts.extend(fact.map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned())));
            if line.starts_with("FAIL ") {
                of_failed = true;
                results.failures.push(format!("{line}\n"));
            } else if of_failed && line.starts_with("    |") {
                if let Some(failure) = results.failures.last_mut() {
                    *failure += line;
                    failure.push('\n');
                }
            } else {
                of_failed = false;
            }
            if let Some(skip) = line.strip_prefix("skip ") {
                results.skips.extend(parse_skip(skip));
            }
            results.counts = Counts::parse(line).or(results.counts);
        }
        results
    }

    /// As a part of the report's file, with the counts that the guest was judged by.
    pub(crate) fn to_json(&self, counts: Counts) -> Value {
        let skips: Vec<_> =
            self.skips.iter().map(|(test, reason)| json!({ "test": test, "reason": reason })).collect();
        json!({
            "passed": counts.passed,
            "failed": counts.failed,
            "skipped": counts.skipped,
            "skips": skips,
            "facts": self.facts,
            "doctor": self.doctor,
            "demo": self.demo,
        })
    }
}

/// Parses `   0.01 s  name: reason`.
fn parse_skip(line: &str) -> Option<(String, String)> {
    let (_, rest) = line.split_once(" s  ")?;
    let (test, reason) = rest.split_once(": ")?;
    Some((test.to_owned(), reason.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
ok      0.10 s  exact::children
skip    0.01 s  swap::zram: no-swap
FAIL    2.00 s  watch::csv: exit 101
    |
    | thread panicked: left 1, right 2
    | report: precision.stat=approximate
ok      0.10 s  demo
report: demo.stat_kib=1,402,940
report: demo={\"threads\": 10000, \"name\": \"a=b\"}
failed: watch::csv
all tests took 2.2 s
2 passed, 1 failed, 1 skipped
@vm doctor
{\"works\": true, \"checks\": []}
";

    #[test]
    fn all_is_found() {
        let results = Results::parse(OUTPUT);
        assert_eq!(results.counts, Some(Counts { passed: 2, failed: 1, skipped: 1 }));
        assert_eq!(results.skips, [("swap::zram".to_owned(), "no-swap".to_owned())]);
        assert_eq!(results.failures.len(), 1);
        assert!(results.failures[0].contains("left 1") && !results.failures[0].contains("demo"));
        assert_eq!(results.facts["precision.stat"], "approximate");
        assert_eq!(results.facts["demo.stat_kib"], "1,402,940");
        assert_eq!(results.doctor, Some(json!({ "works": true, "checks": [] })));
        assert_eq!(results.demo, Some(json!({ "threads": 10000, "name": "a=b" })));
        assert_eq!(results.facts.get("demo"), None);
    }

    #[test]
    fn tests_that_break_off_have_no_counts() {
        assert_eq!(Results::parse("ok 0.1 s  x\n").counts, None);
        assert_eq!(Results::parse("").counts, None);
        assert_eq!(Results::parse("report: demo=no JSON\n@vm doctor\nerror\n"), Results::default());
        assert_eq!(Counts::parse("1 passed, 2 failed"), None);
        assert_eq!(Counts::parse("1 passed, 2 failed, 3 skipped, 4 more"), None);
        assert_eq!(Counts::parse("1 failed, 2 passed, 3 skipped"), None);
    }

    #[test]
    fn counts_add_up() {
        let counts = Counts { passed: 1, failed: 2, skipped: 3 };
        assert_eq!(counts.plus(counts).to_string(), "2 passed, 4 failed, 6 skipped");
    }
}
