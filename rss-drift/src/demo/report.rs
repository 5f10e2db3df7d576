//! What the demo found: each source beside the exact and the resident figure, and beside the RFC's own.

use std::fmt::Write as _;

use anyhow::Context as _;
use rss_drift_common::{Member, Pages};
use serde_json::{Map, Value};

use super::need::Need;
use crate::{
    drift::{
        collect::Rules,
        sample::{Host, Row},
    },
    kernel::tunables::Cpus,
    proc::{Precision, Source},
    table::{Column, bytes, clean, clean_json, columns, json_object},
};

/// What `ps` said of the RFC's demo (10,000 threads x 32 pages), in KiB.
const RFC_PS_KIB: i64 = 43_888;
/// What it truly used, as the RFC's kernel said, in KiB.
const RFC_USED_KIB: i64 = 1_498_856;

/// What the report is made of.
#[derive(Clone, Debug)]
pub(super) struct Report {
    pub need: Need,
    /// Whether its threads were bound to CPUs.
    pub spread: bool,
    pub host: Host,
    /// Its CPUs at the end.
    pub cpus: Cpus,
    /// What the row was made by.
    pub rules: Rules,
    pub row: Row,
    /// Whether two readings were equal.
    pub idle: bool,
}

/// The report for machines, beside what is nested in it.
static FIGURES: &[Column<Report>] = columns! { Report;
    threads Number "threads that touch memory" |it, _| it.need.threads;
    pages Number "pages that each of them touches" |it, _| it.need.pages;
    spread Flag "whether the threads were bound to CPUs" |it, _| it.spread;
    kernel Text "release of the kernel" |_, host| host.kernel.as_str();
    accounting Text "per-cpu or per-task" |_, host| host.accounting.name();
    cpus_online Number "CPUs online at the end" |it, _| it.cpus.online.len() as u64;
    page_size_bytes Bytes "size of a page" |_, host| host.page_size;
    at_rest Flag "whether two readings were equal" |it, _| it.idle;
    touched_bytes Bytes "what all threads touched" |it, _| it.need.touched_bytes();
    resident_bytes Pages "by a walk of the page tables" |it, _| it.row.files.resident;
    exact_bytes Pages "RSS by the kernel's counters" |it, _| it.row.exact_rss();
    moved_bytes Pages "what moved around the reading" |it, _| it.row.moved;
};

/// What is nested under `exact` and `global`.
static MEMBERS: &[Column<Pages>] = columns! { Pages;
    file_bytes Pages "pages of files" |of, _| of[Member::File.index()];
    anon_bytes Pages "anonymous pages" |of, _| of[Member::Anon.index()];
    shmem_bytes Pages "pages of shared memory" |of, _| of[Member::Shmem.index()];
    swap_bytes Pages "swapped out" |of, _| of[Member::Swap.index()];
};

/// What is nested under `sources`, under each file's name.
static SOURCES: &[Column<Said>] = columns! { Said;
    precision Text "how it reads the counters" |said, _| said.precision.name();
    reported_bytes Pages "what it says" |said, _| said.reported;
    drift_bytes Pages "exact - reported; empty where the precision is unknown" |said, _| said.drift;
    missing_percent Percent "drift as a share of exact" |said, _| said.percent;
    bound_bytes Pages "the largest |drift| that it can have" |said, _| said.bound;
};

/// What one file of /proc said.
struct Said {
    source: Source,
    precision: Precision,
    reported: Option<i64>,
    drift: Option<i64>,
    percent: Option<f64>,
    bound: u64,
}

impl Report {
    fn said(&self) -> [Said; 3] {
        let exact = self.row.exact_rss();
        Source::ALL.map(|source| {
            let precision = self.rules.precisions.of(source);
            let reported = self.row.files.of(source);
            let drift = reported.and_then(|reported| precision.drift(exact, reported));
            Said {
                source,
                precision,
                reported,
                drift,
                percent: drift.and_then(|drift| share(drift, exact)),
                bound: self.rules.batching().bound(precision, self.row.process.threads),
            }
        })
    }

    /// The report for people.
    #[must_use]
    pub(super) fn text(&self) -> String {
        let page_size = self.host.page_size;
        let kib = |pages: i64| bytes(pages, page_size) / 1024;
        let cell = |pages: Option<i64>| pages.map_or_else(|| "-".to_owned(), |pages| kib(pages).to_string());
        let mut text = format!(
            "{} threads, {} pages touched by each{}, kernel {}, {} accounting, {} CPUs online\n\n",
            self.need.threads,
            self.need.pages,
            if self.spread { ", spread over the CPUs" } else { "" },
            clean(&self.host.kernel),
            self.host.accounting.name(),
            self.cpus.online.len(),
        );
        let mut line = |label: &str, [size, missing, percent, bound]: [&str; 4]| {
            let line = format!("{label:<24}{size:>10}{missing:>13}{percent:>11}{bound:>11}");
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{}", line.trim_end());
        };
        line("", ["KiB", "missing KiB", "missing %", "bound KiB"]);
        let touched = (self.need.touched_bytes() / 1024).to_string();
        line("touched by the threads", [&touched, "", "", ""]);
        line("resident (smaps_rollup)", [&cell(self.row.files.resident), "", "", ""]);
        line("exact", [&cell(Some(self.row.exact_rss())), "", "", ""]);
        for said in self.said() {
            let label = format!("{} ({})", said.source.name(), said.precision.name());
            let percent = said.percent.map_or_else(|| "-".to_owned(), |percent| format!("{percent:.2}"));
            let bound = (bytes(said.bound, page_size) / 1024).to_string();
            line(&label, [&cell(said.reported), &cell(said.drift), &percent, &bound]);
        }
        let rfc = share(RFC_USED_KIB - RFC_PS_KIB, RFC_USED_KIB).unwrap_or(0.0);
        line("RFC (10000 x 32): used", [&RFC_USED_KIB.to_string(), "", "", ""]);
        let missing = (RFC_USED_KIB - RFC_PS_KIB).to_string();
        line("RFC (10000 x 32): ps", [&RFC_PS_KIB.to_string(), &missing, &format!("{rfc:.2}"), ""]);
        text.push('\n');
        text += &self.verdict(kib);
        text
    }

    /// Whether exact and resident agree, and whether the reading is to be believed.
    fn verdict(&self, kib: impl Fn(i64) -> i64) -> String {
        let exact = self.row.exact_rss();
        let mut text = match self.row.files.resident {
            None => "resident could not be read: nothing tells whether exact is right\n".to_owned(),
            Some(resident) if resident == exact => "exact and resident agree to the page\n".to_owned(),
            Some(resident) => {
                format!(
                    "exact is {} KiB from resident: docs/limitations.md says where they differ\n",
                    kib(exact - resident)
                )
            }
        };
        if !self.idle {
            text += "the process never became idle: the figures are not of one instant\n";
        }
        text
    }

    /// The report for machines: sizes in bytes, `null` is unreadable.
    pub(super) fn json(&self) -> anyhow::Result<String> {
        let members = |pages: &Pages| json_object(MEMBERS, pages, &self.host).into();
        let source = |of: Said| (of.source.name().to_owned(), json_object(SOURCES, &of, &self.host).into());
        let rfc = serde_json::json!({
            "threads": 10_000,
            "pages": 32,
            "ps_bytes": RFC_PS_KIB * 1024,
            "used_bytes": RFC_USED_KIB * 1024,
        });
        let nested: [(_, Value); 4] = [
            ("exact", members(&self.row.exact)),
            ("global", members(&self.row.global)),
            ("sources", self.said().map(source).into_iter().collect::<Map<_, _>>().into()),
            ("rfc", rfc),
        ];
        let mut report = json_object(FIGURES, self, &self.host);
        report.extend(nested.map(|(name, value)| (name.to_owned(), value)));
        let text = serde_json::to_string_pretty(&report).context("cannot write the report as JSON")?;
        Ok(clean_json(&text) + "\n")
    }
}

/// A drift as a share of what is used, in percent; `None` of nothing.
fn share(drift: i64, used: i64) -> Option<f64> {
    (used != 0).then(|| drift as f64 * 100.0 / used as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{kernel::Accounting, output::fixture};

    /// What a kernel with per-task accounting makes of the RFC's demo,
    /// after a change to the row and to whether it is idle: as text and as JSON.
    fn reports(change: impl FnOnce(&mut Row, &mut bool)) -> (String, String) {
        let host = Host { accounting: Accounting::PerTask, kernel: "6.1.0".to_owned(), ..fixture::host() };
        let rules = fixture::rules();
        let mut row = fixture::row(7, "rss-drift-demo", 350_891, 10_831);
        row.process.threads = 10_001;
        row.files.resident = Some(350_891);
        row.files.status = None;
        let mut idle = true;
        change(&mut row, &mut idle);
        let need = Need { threads: 10_000, pages: 32, page_size: 4096 };
        let report = Report { need, spread: true, host, cpus: rules.cpus.clone(), rules, row, idle };
        (report.text(), report.json().unwrap())
    }

    #[test]
    fn people_see_every_source_beside_the_rfc() {
        let (text, _) = reports(|_, _| {});
        assert_eq!(
            text,
            "10000 threads, 32 pages touched by each, spread over the CPUs, kernel 6.1.0, per-task accounting, 2 CPUs \
             online\n\
             \n\
             \u{20}                              KiB  missing KiB  missing %  bound KiB\n\
             touched by the threads     1280000\n\
             resident (smaps_rollup)    1403564\n\
             exact                      1403564\n\
             stat (approximate)           43324      1360240      96.91   42244224\n\
             statm (approximate)          43324      1360240      96.91   42244224\n\
             status (approximate)             -            -          -   42244224\n\
             RFC (10000 x 32): used     1498856\n\
             RFC (10000 x 32): ps         43888      1454968      97.07\n\
             \n\
             exact and resident agree to the page\n"
        );
    }

    #[test]
    fn what_cannot_be_trusted_is_said() {
        let (text, _) = reports(|row, idle| {
            row.files.resident = Some(350_890);
            *idle = false;
        });
        assert!(text.contains("\nexact is 4 KiB from resident: "), "{text}");
        assert!(text.ends_with("never became idle: the figures are not of one instant\n"), "{text}");
        let (text, _) = reports(|row, _| row.files.resident = None);
        assert!(text.contains("resident could not be read"), "{text}");
    }

    #[test]
    fn machines_get_bytes_and_null_for_what_is_unreadable() {
        let (_, json) = reports(|row, _| row.files.resident = None);
        assert_eq!(json, include_str!("golden.json"));
    }
}
