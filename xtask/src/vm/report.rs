//! `vm report`: docs/compatibility.md, made from the results of the last complete `vm test` and of the last `vm test --wide`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{
    largest,
    matrix::{self, Cell},
    wide_report,
};
use crate::table::Table;

const HEAD: &str = "\
# Compatibility

<!-- Made by `cargo xtask vm report` from the last complete `cargo xtask vm test`: do not edit. -->

What rss-drift found on real kernels: Debian's cloud flavour, booted in virtual machines by `cargo xtask vm test`. Nothing
here was told to it; another kernel of the same version may differ, and `rss-drift doctor` says how it is on yours.
";

/// The /proc files whose figures are compared.
const SOURCES: [&str; 3] = ["stat", "statm", "status"];

/// Where `vm test` leaves its results.
pub(crate) fn file() -> PathBuf {
    super::target().join("report.json")
}

/// Writes the document. The part whose tests did not run stays as it is.
pub(crate) fn run() -> Result<ExitCode> {
    let path = crate::workspace::root().join("docs/compatibility.md");
    let document = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let (usual, wide) = document.split_once(wide_report::MARK).unwrap_or((&document, ""));
    let of_usual = part_of(&file(), &matrix::DEFAULT, render)?;
    let of_wide = part_of(&wide_report::file(), &super::wide::cells(), wide_report::render)?;
    if of_usual.is_none() && of_wide.is_none() {
        bail!(
            "no results in {}: `cargo xtask vm test` and `cargo xtask vm test --wide`, without other arguments, make them",
            super::target().display()
        );
    }
    let usual = of_usual.as_deref().unwrap_or(usual).trim_end();
    let wide = of_wide.as_deref().unwrap_or(wide).trim();
    let text = format!("{usual}\n\n{}\n\n{wide}\n", wide_report::MARK);
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    println!("{}", path.display());
    Ok(ExitCode::SUCCESS)
}

/// One part of the document; `None` where its tests left no results.
fn part_of(file: &Path, cells: &[Cell], render: impl Fn(&[Guest]) -> String) -> Result<Option<String>> {
    if !file.exists() {
        eprintln!("no results in {}: their part of the document stays", file.display());
        return Ok(None);
    }
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let results: Value =
        serde_json::from_str(&text).with_context(|| format!("{} is damaged", file.display()))?;
    let guests = guests(&results, cells).with_context(|| format!("{} cannot be used", file.display()))?;
    Ok(Some(render(&guests)))
}

/// One guest's results.
pub(super) struct Guest<'a> {
    pub(super) cell: Cell,
    pub(super) value: &'a Value,
}

impl Guest<'_> {
    pub(super) fn text(&self, key: &str) -> String {
        show(&self.value[key])
    }

    /// What a check of `doctor` found.
    pub(super) fn found(&self, check: &str) -> &str {
        let found = self.checks().iter().find(|found| found["name"] == check);
        found.and_then(|found| found["found"].as_str()).unwrap_or_default()
    }

    /// What the tests reported: names and figures.
    pub(super) fn facts(&self) -> impl Iterator<Item = (&str, &str)> {
        let facts = self.value["facts"].as_object().into_iter().flatten();
        facts.filter_map(|(name, figure)| Some((name.as_str(), figure.as_str()?)))
    }

    pub(super) fn checks(&self) -> &[Value] {
        self.value["doctor"]["checks"].as_array().map_or(&[], Vec::as_slice)
    }

    fn row<const N: usize>(&self, columns: [String; N]) -> Vec<String> {
        [self.cell.kernel.to_string()].into_iter().chain(columns).collect()
    }
}

/// The guests in the order of these cells, all of which must be there; with repetitions the last one counts.
pub(super) fn guests<'a>(results: &'a Value, cells: &[Cell]) -> Result<Vec<Guest<'a>>> {
    let values = results["guests"].as_array().map_or(&[][..], Vec::as_slice);
    let mut guests = Vec::new();
    for cell in cells {
        let is_of = |value: &&Value| {
            value["kernel"] == cell.kernel.name()
                && value["cpus"] == cell.cpus
                && value["variant"] == cell.variant.name
        };
        let Some(value) = values.iter().rev().find(is_of) else {
            bail!("nothing of {cell}: run `cargo xtask vm test`, of everything that is to be documented");
        };
        if value["failed"] != 0 {
            bail!("tests failed on {cell}: what is documented has to be tested");
        }
        guests.push(Guest { cell: *cell, value });
    }
    guests.sort_by_key(|guest| (guest.cell.kernel, guest.cell.cpus));
    Ok(guests)
}

fn render(guests: &[Guest]) -> String {
    let sections = [
        kernels(guests),
        bounds(guests),
        demo(guests),
        tests(guests),
        skips(guests),
        lacks(guests),
        largest::figures(guests),
    ];
    std::iter::once(HEAD.to_owned()).chain(sections.into_iter().filter(|text| !text.is_empty())).collect()
}

/// A section with a table; nothing without rows.
pub(super) fn section(
    title: &str,
    text: &str,
    heading: &[&str],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> String {
    let table = Table::of_facts(heading).with(rows);
    if table.is_empty() { String::new() } else { format!("\n## {title}\n\n{text}\n\n{}", table.markdown()) }
}

fn kernels(guests: &[Guest]) -> String {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for guest in guests.iter().filter(|guest| guest.cell.variant.name.is_empty()) {
        let files = SOURCES.map(|source| part(guest.found("proc-files"), source));
        let [stat, statm, status] = files;
        let accounting = guest.found("accounting").to_owned();
        let row = guest.row([guest.text("release"), guest.text("version"), accounting, stat, statm, status]);
        // The same for every number of CPUs, or it is shown twice.
        if !rows.contains(&row) {
            rows.push(row);
        }
    }
    section(
        "Kernels",
        "Accounting is where the kernel caches updates of RSS; the last columns are what each file of /proc prints \
         (docs/how-it-works.md).",
        &["kernel", "release", "package", "accounting", "stat", "statm", "status"],
        rows,
    )
}

fn bounds(guests: &[Guest]) -> String {
    let rows = guests.iter().filter_map(|guest| {
        let (bounds, why) = guest.found("bound").split_once("; ")?;
        Some(guest.row([guest.text("cpus"), bounds.to_owned(), why.to_owned()]))
    });
    section(
        "Bounds",
        "The largest difference between what a file prints and the exact figure.",
        &["kernel", "CPUs", "bound", "by"],
        rows,
    )
}

fn demo(guests: &[Guest]) -> String {
    let rows = guests.iter().filter(|guest| guest.value["demo"].is_object()).map(|guest| {
        let demo = &guest.value["demo"];
        let [stat, statm, status] = SOURCES.map(|source| kib(&demo["sources"][source]["reported_bytes"]));
        let [exact, resident] = ["exact_bytes", "resident_bytes"].map(|figure| kib(&demo[figure]));
        guest.row([guest.text("cpus"), stat, statm, status, exact, resident])
    });
    section(
        "The demo",
        "`rss-drift demo --spread`: 10,000 threads that touch 32 pages each, all idle. Figures in KiB; resident is a walk \
         of the page tables.",
        &["kernel", "CPUs", "stat", "statm", "status", "exact", "resident"],
        rows,
    )
}

fn tests(guests: &[Guest]) -> String {
    let rows = guests.iter().map(|guest| {
        let [passed, failed, skipped] = ["passed", "failed", "skipped"].map(|key| guest.text(key));
        guest.row([guest.cell.size(), passed, failed, skipped])
    });
    section(
        "Live tests",
        "The same binary as on a host, run in each guest.",
        &["kernel", "CPUs", "passed", "failed", "skipped"],
        rows,
    )
}

fn skips(guests: &[Guest]) -> String {
    let mut places = BTreeMap::<_, Vec<_>>::new();
    for guest in guests {
        for skip in guest.value["skips"].as_array().into_iter().flatten() {
            places.entry((show(&skip["reason"]), show(&skip["test"]))).or_default().push(place(guest));
        }
    }
    let rows = places.into_iter().map(|((reason, test), places)| vec![test, reason, places.join(", ")]);
    section(
        "Skipped tests",
        "A test is skipped only where the kernel itself confirms what is missing.",
        &["test", "reason", "where"],
        rows,
    )
}

fn lacks(guests: &[Guest]) -> String {
    let mut places = BTreeMap::<_, Vec<_>>::new();
    for guest in guests {
        for check in guest.checks().iter().filter(|check| check["state"] != "ok") {
            let row = ["name", "state", "found", "remedy"].map(|key| show(&check[key]));
            places.entry(row).or_default().push(place(guest));
        }
    }
    let rows = places.into_iter().map(|(row, places)| row.into_iter().chain([places.join(", ")]).collect());
    section(
        "What doctor complains about",
        "Checks of `rss-drift doctor` that are not ok.",
        &["check", "state", "found", "remedy", "where"],
        rows,
    )
}

fn place(guest: &Guest) -> String {
    format!("{} x {}", guest.cell.kernel, guest.cell.size())
}

/// The part of "stat approximate, statm exact" that is about `name`.
fn part(list: &str, name: &str) -> String {
    let mut parts = list.split(", ").filter_map(|part| part.split_once(' '));
    parts.find(|(first, _)| *first == name).map(|(_, rest)| rest.to_owned()).unwrap_or_default()
}

/// Bytes as KiB with commas; empty for what is no number.
pub(super) fn kib(bytes: &Value) -> String {
    let Some(bytes) = bytes.as_u64() else { return String::new() };
    let digits = (bytes / 1024).to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

pub(super) fn show(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        // A verifier's log is no cell of a table.
        Value::String(text) => text.lines().next().unwrap_or_default().to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::kernels::Kernel, *};

    fn results() -> Value {
        let guest = |cell: &Cell| {
            json!({
                "kernel": cell.kernel.name(), "cpus": cell.cpus, "variant": cell.variant.name,
                "release": "R", "version": "V",
                "passed": 30, "failed": 0, "skipped": 1,
                "skips": [{ "test": "swap::zram", "reason": "no-swap" }],
                "facts": { "rows": "5", "misses per program": "8.64, of these by fork=6", "soak_idle": "50",
                    "soak_error": "0", "soak_deaths": (cell.cpus * 100).to_string(), "soak_residues": "3",
                    "forks_idle": "40", "forks_repaired": "0", "forks_missed": "1",
                    "instructions_rss": if cell.kernel == Kernel::V5_10 { "0" } else { "9099" } },
                "doctor": { "checks": [
                    { "name": "accounting", "state": "ok", "found": "per-cpu", "remedy": null },
                    { "name": "proc-files", "state": "ok", "found": "stat approximate, statm exact, status exact" },
                    { "name": "bound", "state": "ok",
                      "found": "stat 97536 KiB (file 32512), statm, status 0 KiB; 64 CPUs online, batch 128" },
                    { "name": "memlock", "state": "warning", "found": "64 KiB", "remedy": "ulimit -l unlimited" },
                ] },
                "demo": {
                    "sources": { "stat": { "reported_bytes": 1_436_610_560_u64 } },
                    "exact_bytes": 1_436_672_000_u64,
                    "resident_bytes": null,
                },
            })
        };
        json!({ "guests": matrix::DEFAULT.iter().map(guest).collect::<Vec<_>>() })
    }

    /// Tables without the blanks that only align them.
    fn unaligned(text: &str) -> String {
        let line = |line: &str| line.split('|').map(str::trim).collect::<Vec<_>>().join(" | ");
        text.lines().map(|text| line(text).trim().to_owned() + "\n").collect()
    }

    #[test]
    fn every_fact_has_its_place() {
        let results = results();
        let text = unaligned(&render(&guests(&results, &matrix::DEFAULT).unwrap()));
        for line in [
            "| 6.12 | R | V | per-cpu | approximate | exact | exact |",
            "| 7.x | 64 | stat 97536 KiB (file 32512), statm, status 0 KiB | 64 CPUs online, batch 128 |",
            "| 7.x | 8 | 1,402,940 |  |  | 1,403,000 |  |",
            "| 5.10 | 8 | 30 | 0 | 1 |",
            "| swap::zram | no-swap | 5.10 x 8, 6.1 x 8, 6.12 x 1, 6.12 x 2 (lockdown), 6.12 x 8, 7.x x 8, 7.x x 64 |",
            "| 6.12 | 2 (lockdown) | 30 | 0 | 1 |",
            "| memlock | warning | 64 KiB | ulimit -l unlimited | 5.10 x 8,",
            "| 5.10 | 50 | 0 | 0 | 1 |  | 800 | 3 |  |",
            "| 7.x | 50 | 0 | 0 | 1 |  | 6400 | 3 | 9099 |",
        ] {
            assert!(text.contains(line), "{line:?} is not in\n{text}");
        }
        assert_eq!(text.matches("| 7.x | R |").count(), 1, "the same for 8 and 64 CPUs");
        for raw in ["| rows", "forks_", "fork=6"] {
            assert!(!text.contains(raw), "{raw:?}: only the largest figures are shown: {text}");
        }
    }

    #[test]
    fn what_is_not_there_makes_no_section() {
        let mut results = results();
        for guest in results["guests"].as_array_mut().unwrap() {
            guest["demo"] = Value::Null;
            guest["facts"] = json!({});
        }
        let text = render(&guests(&results, &matrix::DEFAULT).unwrap());
        assert!(!text.contains("The demo") && !text.contains("Largest figures"), "{text}");
    }

    #[test]
    fn a_part_is_not_taken_for_the_whole() {
        let mut results = results();
        results["guests"].as_array_mut().unwrap().pop();
        let error = guests(&results, &matrix::DEFAULT).err().unwrap().to_string();
        assert!(error.contains("cargo xtask vm test"), "{error}");
    }

    #[test]
    fn a_failed_run_documents_nothing() {
        let mut results = results();
        results["guests"][4]["failed"] = json!(1);
        let error = guests(&results, &matrix::DEFAULT).err().unwrap().to_string();
        assert!(error.contains("kernel 5.10, 8 CPUs"), "{error}");
    }

    #[test]
    fn figures_are_grouped() {
        let grouped =
            [0_u64, 1024, 1024 * 999, 1024 * 1000, 1024 * 12_345_678].map(|bytes| kib(&json!(bytes)));
        assert_eq!(grouped, ["0", "1", "999", "1,000", "12,345,678"]);
    }
}
