//! What people see on a terminal, word for word.

use super::{super::super::fixture::Report, *};
use crate::{
    drift::{
        behaviour::Precisions,
        sample::{Note, Row, ShadowFigures},
        stats::Reading,
        verdict::Verdict,
    },
    kernel::Accounting,
    output::{Detail, fixture},
    proc::{Precision, Source},
    table::parse_fields,
};

/// A table of processes.
type View = super::View<Row>;

fn view(fields: Option<&str>) -> View {
    let fields = fields.map(|list| parse_fields(list).unwrap());
    View::new(fields.as_deref(), Units::Human, Detail::Happened)
}

/// Full mode: what moved between the two readings is known.
fn moved(mut row: Row, pages: u64) -> Row {
    row.shadow =
        Some(ShadowFigures { uncertainty: Some(pages), hits: 1_234_567, ..ShadowFigures::default() });
    row
}

fn report() -> Report {
    Report::of(vec![
        moved(fixture::row(1042, "mysqld", 131_500, 131_000), 0),
        moved(fixture::row(7, "sh", 1000, 1010), 10),
        moved(fixture::row(8, "idle", 900, 900), 0),
    ])
}

fn lines(report: &Report, view: &mut View) -> Vec<String> {
    render(&report.block(), view).lines().map(str::to_owned).collect()
}

fn verdict(report: &mut Report, near: u64) -> String {
    let mut verdict = Verdict::new(4096, Some(near));
    for row in &report.rows {
        let reading = Reading { exact: row.exact_rss(), reported: row.reported().unwrap() };
        verdict.count(row.process.pid, reading, || row.process.comm.clone());
    }
    report.headline.verdict = verdict;
    lines(report, &mut view(None))[3].clone()
}

#[test]
fn a_report_for_people() {
    let lines = lines(&report(), &mut view(None));
    assert_eq!(
        &lines[0][8..],
        " box, kernel 6.12.0, per-cpu accounting, passive mode; exact here: ps, smaps"
    );
    assert_eq!(
        lines[1..],
        [
            "off by at most 768 KiB a process: top, htop (/proc/PID/statm), pidstat, Prometheus clients for Go and Python \
             (/proc/PID/stat), the OOM killer (up to Linux 6.18)",
            "3 processes, sum of stat 519.2 MiB, exact 521.1 MiB: stat shows 1.9 MiB too little",
            "1 process is off by more than 1 MiB: at most 2.0 MiB too little, 0.38 % of mysqld (pid 1042)",
            " PID COMM    REPORTED     EXACT    DRIFT DRIFT%   BOUND UNCERT",
            "1042 mysqld 511.7 MiB 513.7 MiB +2.0 MiB   0.38 768 KiB      0",
            "   7 sh       3.9 MiB   3.9 MiB ~-40 KiB  -1.00 768 KiB 40 KiB",
            "   8 idle     3.5 MiB   3.5 MiB        0   0.00 768 KiB      0",
            "self-check: ok",
            "DRIFT: + the kernel shows too little, - too much; ~ moving: so much changed while it was read that it may be none",
            "",
        ]
    );
}

#[test]
fn a_level_says_whom_it_parts() {
    let mut report = report();
    assert_eq!(
        verdict(&mut report, 512 << 20),
        "1 process is off by more than 1 MiB: at most 2.0 MiB too little, 0.38 % of mysqld (pid 1042) and 0.38 % of 512 MiB; \
         1 process crosses 512 MiB by the exact figure but not by stat: mysqld (pid 1042) stat 511.7 MiB, exact 513.7 MiB"
    );
    assert!(verdict(&mut report, 1 << 30).ends_with(
        "; no process crosses 1 GiB by one figure alone, nearest mysqld (pid 1042) with 513.7 MiB"
    ));
    report.rows = (1..=5).map(|pid| fixture::row(pid, "web", 1000, 1000 - i64::from(pid))).collect();
    assert!(verdict(&mut report, 1000 * 4096).ends_with(
        "5 processes cross 4000 KiB by the exact figure but not by stat: web (pid 5) stat 3.9 MiB, exact 3.9 MiB; web (pid 4) stat 3.9 MiB, \
         exact 3.9 MiB; web (pid 3) stat 3.9 MiB, exact 3.9 MiB; 2 more"
    ));
    report.rows = vec![fixture::row(1, "web", 999, 1000)];
    assert!(
        verdict(&mut report, 1000 * 4096)
            .contains("1 process crosses 4000 KiB by stat but not by the exact figure: ")
    );
    report.rows.push(fixture::row(2, "web", 1000, 999));
    assert!(verdict(&mut report, 1000 * 4096).contains("2 processes cross 4000 KiB by one figure alone: "));
}

#[test]
fn the_head_follows_what_is_found_of_the_files() {
    let head = |report: &Report| lines(report, &mut view(None))[..4].join("\n");
    let mut report = report();
    report.headline.precisions = fixture::rules().precisions;
    report.host.accounting = Accounting::PerTask;
    let text = head(&report);
    assert!(
        text.contains("exact here: smaps\noff by at most 768 KiB a thread: ps (/proc/PID/status), top, "),
        "{text}"
    );
    report.headline.precisions = Precisions::UNKNOWN;
    report.headline.summary.reported = None;
    let text = head(&report);
    assert!(
        text.contains("exact here: smaps\nexact or not, that is unknown here: ps (/proc/PID/status), "),
        "{text}"
    );
    assert!(
        text.contains("sum of stat unknown, exact 521.1 MiB\nwhat stat shows is not called drift"),
        "{text}"
    );
    report.headline.precisions = Precisions { stat: Precision::Approximate, ..Precisions::EXACT };
    report.headline.source = Source::Statm;
    assert!(lines(&report, &mut view(None)).contains(&"nothing is off: statm is exact here".to_owned()));
    report.headline.precisions = Precisions::EXACT;
    let text = lines(&report, &mut view(None));
    assert!(
        text[0].ends_with(
            "exact here: ps, top, htop, pidstat, Prometheus clients for Go and Python, the OOM killer, smaps"
        ),
        "{}",
        text[0]
    );
    assert!(text[1].starts_with("3 processes, "), "nobody is off: {}", text[1]);
}

#[test]
fn shared_pages_count_once_where_page_tables_were_walked() {
    let mut report = report();
    (report.rows[0].files.pss, report.rows[1].files.pss) = (Some(3 << 20), Some(512 << 10));
    assert!(
        lines(&report, &mut view(None))[2]
            .ends_with("; shared pages counted once (Pss) of 2 of them 3.5 MiB")
    );
    report.rows[2].files.pss = Some(0);
    assert!(lines(&report, &mut view(None))[2].ends_with("; shared pages counted once (Pss) 3.5 MiB"));
}

#[test]
fn columns_stay_where_they_are() {
    let mut view = view(None);
    let report = report();
    let wide = lines(&report, &mut view);
    let few = Report::of(vec![fixture::row(9, "a", 1, 1)]);
    let narrow = lines(&few, &mut view);
    let head = |lines: &[String]| lines.iter().find(|line| line.contains("PID ")).unwrap().clone();
    assert_eq!(head(&wide), head(&narrow));
    assert!(narrow.iter().any(|line| line.starts_with("   9 a       ")), "{narrow:?}");
    // A long name that was there once takes no column away on a terminal that has room without it.
    view.width = Some(70);
    let long = Report::of(vec![fixture::row(4_000_000, "a-name-of-15-by", 100 << 18, 99 << 18)]);
    let long = lines(&long, &mut view);
    assert!(long.iter().any(|line| line.starts_with("no room for ")), "{long:?}");
    let narrow = lines(&few, &mut view);
    assert!(!narrow.iter().any(|line| line.starts_with("no room for ")), "{narrow:?}");
}

#[test]
fn what_moves_has_a_mark_by_its_band() {
    let cell = |drift: i64, moved_by: u64| {
        let row = moved(fixture::row(1, "x", 1000, 1000 - drift), moved_by);
        let low_and_high = row.band().unwrap();
        let spans = low_and_high.0 <= 0 && low_and_high.1 >= 0 && moved_by > 0;
        assert_eq!(row.is_moving(), spans, "drift {drift}, moved {moved_by}");
        lines(&Report::of(vec![row]), &mut view(Some("drift")))[5].clone()
    };
    assert_eq!(cell(5, 4), "+20 KiB");
    assert_eq!(cell(5, 5), "~+20 KiB");
    assert_eq!(cell(-5, 6), "~-20 KiB");
    assert_eq!(cell(0, 3).trim(), "~0");
    assert_eq!(cell(0, 0).trim(), "0");
    // Passive mode: at least so much moved.
    let mut passive = fixture::row(1, "x", 1000, 990);
    passive.moved = Some(10);
    assert!(passive.is_moving());
    passive.moved = Some(9);
    assert!(!passive.is_moving());
}

#[test]
fn counts_are_grouped_and_ids_are_not() {
    let mut report = report();
    report.rows.truncate(1);
    report.rows[0].process.pid = 4_000_000;
    let lines = lines(&report, &mut view(Some("pid,hits,threads")));
    assert_eq!(lines[5], "4000000 1,234,567       3");
}

#[test]
fn a_peak_says_since_when() {
    let report = report();
    let mut block = report.block();
    block.since = Some(fixture::time());
    let text = render(&block, &mut view(Some("pid,peak,peak_drift")));
    let told = format!("\nPEAK, PEAK-DRIFT: since {}, or since the process began\n", clock(fixture::time()));
    assert!(text.contains(&told), "{text}");
    assert!(!render(&block, &mut view(None)).contains("since"));
}

#[test]
fn what_signs_mean_is_told_once() {
    let report = report();
    let mut block = report.block();
    assert!(render(&block, &mut view(None)).contains("\nDRIFT: +"));
    block.interval = 2;
    assert!(!render(&block, &mut view(None)).contains("\nDRIFT: +"));
}

#[test]
fn all_is_told_when_it_is_asked_for() {
    let mut report = report();
    report.rows[0].notes = vec![Note::Uncertain];
    let mut view = view(None);
    view.detail = Detail::All;
    let text = render(&report.block(), &mut view);
    assert!(
        text.contains(
            "\n|drift|: p50 40 KiB, p95 2.0 MiB, p99 2.0 MiB, max 2.0 MiB; in % of exact p50 0.38, "
        ),
        "{text}"
    );
    assert!(text.contains("\nself-check: 0 readings retried, "), "{text}");
}
