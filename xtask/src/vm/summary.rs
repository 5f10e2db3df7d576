//! What became of each guest's tests, for the terminal: failures with what explains them, a table, a closing line.

use std::{
    fs::File,
    io::{self, Write},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{
    cached::Cached,
    guest,
    matrix::Cell,
    qemu::End,
    results::{Counts, Results},
};
use crate::table::Table;

/// Lines of a guest's errors that explain a failure.
const ERROR_LINES: usize = 20;

/// Longest line of a failed test's output that is shown whole.
const LINE_LENGTH: usize = 400;

/// All that a guest printed.
pub(crate) struct Printed {
    /// Its command's output.
    pub(crate) out: String,
    /// Its command's errors.
    pub(crate) err: String,
    /// The kernel's warnings.
    pub(crate) console: String,
}

impl Printed {
    /// The last lines of errors and console.
    fn tails(&self) -> String {
        guest::last_lines(&self.err, ERROR_LINES, "stderr") + &guest::tail(&self.console)
    }
}

/// What a guest prints: kept, and written to target/vm/log as it comes, so that one that takes long can be followed.
pub(crate) struct Log {
    text: Vec<u8>,
    file: File,
}

impl Log {
    /// An empty one.
    pub(crate) fn create(cell: Cell, ending: &str) -> Result<Self> {
        let dir = super::target().join("log");
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let path = log_file(cell, ending);
        let file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self { text: Vec::new(), file })
    }

    /// All of it.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.text).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        self.file.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn log_file(cell: Cell, ending: &str) -> PathBuf {
    // What is special may hold words for the kernel: no part of a file's name but letters and digits.
    let special: String =
        cell.variant.name.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
    let special = if special.is_empty() { special } else { format!("-{special}") };
    super::target().join("log").join(format!("{}-{}{special}.{ending}", cell.kernel, cell.cpus))
}

/// Cuts long lines: a verifier's log in one line buries all other failures.
fn shorten(text: &str) -> String {
    let lines = text.lines().map(|line| match line.char_indices().nth(LINE_LENGTH) {
        Some((end, _)) => format!("{} ...\n", &line[..end]),
        None => format!("{line}\n"),
    });
    lines.collect()
}

/// What became of one guest.
pub(crate) struct Row {
    /// Which one it was.
    pub(crate) cell: Cell,
    /// How its tests ended; a guest that broke off counts as a failed test of its own.
    pub(crate) counts: Counts,
    /// Its part of the report; none for a kernel that is missing.
    pub(crate) value: Option<Value>,
    /// All that its tests printed.
    pub(crate) printed: String,
    release: String,
    took: Duration,
    remark: String,
    explanation: String,
}

impl Row {
    /// Judges a guest by its end and by what its tests printed.
    pub(crate) fn new(cell: Cell, kernel: &Cached, end: &End, printed: &Printed, took: Duration) -> Self {
        let results = Results::parse(&printed.out);
        let (counts, remark) = judge(&results, end);
        let mut explanation = String::new();
        if counts.failed > 0 {
            let failures = shorten(&results.failures.concat());
            let log = log_file(cell, "*");
            explanation =
                format!("--- {cell}, all of it in {}\n{failures}{}", log.display(), printed.tails());
        }
        let mut value = results.to_json(counts);
        value["kernel"] = json!(cell.kernel.name());
        value["cpus"] = json!(cell.cpus);
        value["variant"] = json!(cell.variant.name);
        value["release"] = json!(kernel.release);
        value["version"] = json!(kernel.version);
        Self {
            cell,
            counts,
            value: Some(value),
            printed: printed.out.clone(),
            release: kernel.release.clone(),
            took,
            remark,
            explanation,
        }
    }

    /// A kernel that could not be fetched and may be missing: one skip.
    pub(crate) fn missing(cell: Cell, error: &anyhow::Error) -> Self {
        Self {
            cell,
            counts: Counts { skipped: 1, ..Counts::default() },
            value: None,
            printed: String::new(),
            release: String::new(),
            took: Duration::ZERO,
            remark: "skipped: cannot be fetched".to_owned(),
            explanation: format!("--- {cell}\n{error:#}\n"),
        }
    }

    /// What to say after the counts.
    pub(crate) fn remark(&self) -> String {
        if self.remark.is_empty() { String::new() } else { format!(" ({})", self.remark) }
    }

    fn cells(&self) -> Vec<String> {
        let Counts { passed, failed, skipped } = self.counts;
        vec![
            self.cell.kernel.to_string(),
            self.release.clone(),
            self.cell.size(),
            passed.to_string(),
            failed.to_string(),
            skipped.to_string(),
            self.took.as_secs().to_string(),
            self.remark.clone(),
        ]
    }
}

/// The counts of a guest, and what is wrong with it beside failed tests.
fn judge(results: &Results, end: &End) -> (Counts, String) {
    let counts = results.counts.unwrap_or_default();
    let remark = match (end, results.counts) {
        (End::Exited(0), Some(Counts { failed: 0, .. })) => String::new(),
        (End::Exited(_), Some(Counts { failed: 1.., .. })) => return (counts, String::new()),
        (End::Exited(status), Some(_)) => format!("status {status} without a failed test"),
        (End::Exited(status), None) => format!("status {status} without a closing line"),
        (End::TimedOut(limit), _) => format!("killed after {} s", limit.as_secs()),
        (End::Died(how), _) => how.clone(),
        (End::Interrupted, _) => "interrupted".to_owned(),
    };
    if remark.is_empty() {
        return (counts, remark);
    }
    (counts.plus(Counts { failed: 1, ..Counts::default() }), remark)
}

/// Explanations, table and closing line; and the closing line's numbers.
pub(crate) fn summarize(rows: &[Row]) -> (String, Counts) {
    let heading = ["kernel", "release", "CPUs", "passed", "failed", "skipped", "seconds", "remark"];
    let mut sorted: Vec<_> = rows.iter().collect();
    sorted.sort_by_key(|row| (row.cell.kernel, row.cell.cpus));
    let table = Table::of_facts(&heading).with(sorted.iter().map(|row| row.cells()));
    let explanations: String = sorted.iter().map(|row| row.explanation.as_str()).collect();
    let counts = rows.iter().fold(Counts::default(), |sum, row| sum.plus(row.counts));
    (format!("{explanations}\n{}{counts}\n", table.plain()), counts)
}

#[cfg(test)]
mod tests {
    use super::super::kernels::Kernel;
    use super::*;

    const CELL: Cell = Cell::new(Kernel::V6_12, 8);

    fn row(end: &End, out: &str) -> Row {
        let kernel = Cached {
            kernel: Kernel::V6_12,
            release: "6.12.118".to_owned(),
            version: "6.12.118-1".to_owned(),
            dir: PathBuf::new(),
        };
        let printed =
            Printed { out: out.to_owned(), err: "error\n".to_owned(), console: "Oops\n".to_owned() };
        Row::new(CELL, &kernel, end, &printed, Duration::from_secs(7))
    }

    #[test]
    fn a_guest_that_passes_explains_nothing() {
        let (text, counts) = summarize(&[row(&End::Exited(0), "3 passed, 0 failed, 1 skipped\n")]);
        assert_eq!(counts, Counts { passed: 3, failed: 0, skipped: 1 });
        assert!(!text.contains("Oops") && text.ends_with("\n3 passed, 0 failed, 1 skipped\n"), "{text}");
        assert!(text.contains("6.12    6.12.118     8       3       0        1        7\n"), "{text}");
    }

    #[test]
    fn a_failed_test_comes_with_its_output() {
        let out = "FAIL    1.00 s  x: exit 101\n    | panicked\n0 passed, 1 failed, 0 skipped\n";
        let (text, counts) = summarize(&[row(&End::Exited(1), out)]);
        assert_eq!(counts.failed, 1);
        for part in [
            "--- kernel 6.12, 8 CPUs, all of it in ",
            "    | panicked\n",
            "stderr| error\n",
            "console| Oops\n",
        ] {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
    }

    #[test]
    fn long_lines_are_cut_between_characters() {
        let long = "ä".repeat(LINE_LENGTH + 1);
        assert_eq!(shorten(&format!("x\n{long}\n")), format!("x\n{} ...\n", "ä".repeat(LINE_LENGTH)));
    }

    #[test]
    fn what_breaks_off_never_counts_as_passed() {
        let good = "3 passed, 0 failed, 0 skipped\n";
        for (end, out) in [
            (End::Exited(0), ""),
            (End::Exited(1), good),
            (End::TimedOut(Duration::from_secs(9)), good),
            (End::Died("QEMU ended".to_owned()), ""),
            (End::Interrupted, good),
        ] {
            let row = row(&end, out);
            assert_eq!(row.counts.failed, 1, "{end:?}");
            assert!(!row.remark.is_empty() && row.explanation.contains("Oops"), "{end:?}");
            assert_eq!(row.value.unwrap()["failed"], 1, "{end:?}");
        }
    }

    #[test]
    fn a_missing_kernel_is_a_skip_with_its_reason() {
        let (text, counts) = summarize(&[Row::missing(CELL, &anyhow::anyhow!("no mirror"))]);
        assert_eq!(counts.skipped, 1);
        assert!(text.contains("no mirror") && text.contains("skipped: cannot be fetched"), "{text}");
    }
}
