//! The results of `vm test --wide`, kept guest by guest, and their table in docs/compatibility.md.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{
    kernels::Source,
    report::{Guest, kib, section, show},
    summary::Row,
    wide::CPUS,
};

/// Where the part of the document begins that this file writes.
pub(crate) const MARK: &str =
    "<!-- Made by `cargo xtask vm report` from the last `cargo xtask vm test --wide`: do not edit. -->";

const TEXT: &str = "\
`cargo xtask vm test --wide` boots these kernels with 4 CPUs where nothing else is said, the words added to their command line, \
and runs a few live tests in each. Where measuring works, every idle process's shadow has to be its exact figure, the peak and \
the updates of a process that grew and shrank have to be right to the page, and the demo's exact figure has to be what is \
resident.

- works: full mode, passive mode or not at all
- idle, checked: readings of idle mms whose shadow was compared with the exact figure; error: the largest difference, in pages
- drift: of `demo --spread` (10,000 threads that touch 32 pages each), between what stat prints and what is there, in KiB
- why: what `rss-drift doctor` says where not everything works";

/// Where `vm test --wide` leaves its results.
pub(crate) fn file() -> PathBuf {
    super::target().join("report-wide.json")
}

/// Puts these guests' results in place of their older ones: a wide run may be made in parts.
pub(crate) fn keep(rows: &[Row]) -> Result<()> {
    let file = file();
    let mut guests: Vec<Value> = match fs::read_to_string(&file) {
        Ok(text) => serde_json::from_str::<Value>(&text)
            .with_context(|| format!("{} is damaged", file.display()))?["guests"]
            .as_array()
            .cloned()
            .unwrap_or_default(),
        Err(_) => Vec::new(),
    };
    for value in rows.iter().filter_map(|row| row.value.as_ref()) {
        let key = |value: &Value| ["kernel", "cpus", "variant"].map(|name| value[name].clone());
        guests.retain(|older| key(older) != key(value));
        guests.push(value.clone());
    }
    let text = serde_json::to_string_pretty(&json!({ "guests": guests })).context("cannot make JSON")?;
    fs::write(&file, text + "\n").with_context(|| format!("cannot write {}", file.display()))
}

/// The table.
pub(crate) fn render(guests: &[Guest]) -> String {
    let heading =
        ["kernel", "release", "flavour", "booted with", "works", "idle, checked", "error", "drift", "why"];
    let rows = guests.iter().map(|guest| {
        let flavour = match guest.cell.kernel.source() {
            Source::Debian(debian) => debian.flavour.name(),
            Source::File(_) => "",
        };
        let cpus = guest.cell.cpus;
        let cpus = if cpus == CPUS { String::new() } else { format!("{cpus} CPUs") };
        let words = guest.cell.variant.name;
        let words = [&cpus, words].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(", ");
        let (mode, why) = verdict(guest);
        let fact = |name: &str| {
            guest
                .facts()
                .find(|(fact, _)| *fact == name)
                .map(|(_, figure)| figure.to_owned())
                .unwrap_or_default()
        };
        vec![
            guest.cell.kernel.to_string(),
            guest.text("release"),
            flavour.to_owned(),
            words,
            mode.to_owned(),
            fact("every_idle"),
            fact("every_error"),
            kib(&guest.value["demo"]["sources"]["stat"]["drift_bytes"]),
            why,
        ]
    });
    section("Every kernel that people run", TEXT, &heading, rows).trim_start().to_owned()
}

/// What works in a guest, and what does not, by `doctor`.
fn verdict(guest: &Guest) -> (&'static str, String) {
    let told = |check: &Value| match show(&check["remedy"]) {
        remedy if remedy.is_empty() => show(&check["found"]),
        remedy => format!("{}; {remedy}", show(&check["found"])),
    };
    let worst = |state: &str| guest.checks().iter().filter(|check| check["state"] == state).map(told).next();
    if guest.value["doctor"]["works"] != true {
        return ("not", worst("failed").unwrap_or_else(|| "doctor said nothing".to_owned()));
    }
    let full = guest.found("full-mode").starts_with("attached");
    (if full { "full" } else { "passive" }, worst("warning").unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::{
        super::{kernels::Kernel, matrix::Cell},
        *,
    };

    #[test]
    fn a_row_says_what_works_and_why_not() {
        let doctor = |state: &str, works: bool| {
            json!({ "works": works, "checks": [
                { "name": "full-mode", "state": "ok", "found": "attached; room for 4096 mms" },
                { "name": "iterator", "state": state, "found": "F", "remedy": "R" },
            ]})
        };
        let row = |doctor: Value| {
            let value = json!({
                "release": "7.3-rt-amd64", "doctor": doctor,
                "facts": { "every_idle": "40", "every_error": "0" },
                "demo": { "sources": { "stat": { "drift_bytes": 2_097_152 } } },
            });
            let text = render(&[Guest { cell: Cell::new(Kernel::V7_RT, 128), value: &value }]);
            text.lines().last().unwrap().split('|').map(str::trim).collect::<Vec<_>>().join("|")
        };
        assert_eq!(row(doctor("ok", true)), "|7.x-rt|7.3-rt-amd64|PREEMPT_RT|128 CPUs|full|40|0|2,048||");
        assert!(row(doctor("warning", true)).ends_with("|full|40|0|2,048|F; R|"));
        assert!(row(doctor("failed", false)).ends_with("|not|40|0|2,048|F; R|"));
        assert!(row(Value::Null).ends_with("|not|40|0|2,048|doctor said nothing|"));
    }
}
