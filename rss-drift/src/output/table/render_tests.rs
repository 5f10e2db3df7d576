use std::time::Duration;

use proptest::prelude::*;

use super::{super::super::fixture::Report, *};
use crate::{
    drift::{
        sample::{Note, Row},
        stats::{DriftHistogram, Reading},
    },
    output::{SelfCheck, Skipped, fixture},
    table::{Record as _, parse_fields},
};

/// A table of processes.
type View = super::View<Row>;

fn report() -> Report {
    Report::of(vec![fixture::row(42, "bash", 1000, 900), fixture::row(4_000_000, "\x1b[2J\n", 200, 210)])
}

fn fields(list: &str) -> View {
    View::plain(Some(&parse_fields(list).unwrap()))
}

fn table_lines(text: &str) -> Vec<&str> {
    text.lines()
        .skip_while(|line| !line.trim_end_matches("\x1b[0m").split([' ', 'm']).any(|word| word == "PID"))
        .take_while(|line| !line.starts_with("self-check:"))
        .collect()
}

#[test]
fn a_block_is_told_whole() {
    let mut report = report();
    report.left_out = 3;
    report.events = vec!["pid 7 (a\x07b) is gone".to_owned()];
    let text = render(&report.block(), &mut fields("pid,comm,reported,exact,drift,drift%,bound,uncertainty"));
    let (first, rest) = text.split_once('\n').unwrap();
    assert_eq!(&first[8..], " box, kernel 6.12.0, per-cpu accounting, passive mode; exact here: ps, smaps");
    assert_eq!(
        rest,
        "off by at most 768 KiB a process: top, htop (/proc/PID/statm), pidstat, Prometheus clients for Go and Python \
         (/proc/PID/stat), the OOM killer (up to Linux 6.18)\n\
         2 processes, sum of stat 4440 KiB, exact 4800 KiB: stat shows 360 KiB too little; table in KiB\n\
         nothing is off by more than 1 MiB: at most 400 KiB too little, 10.00 % of bash (pid 42)\n\
         \u{20}   PID COMM        REPORTED EXACT DRIFT DRIFT% BOUND UNCERT\n\
         \u{20}    42 bash            3600  4000   400  10.00   768    >=0\n\
         4000000 \\u{1b}[2J\\n      840   800   -40  -5.00   768    >=0\n\
         3 more processes not shown\n\
         pid 7 (a\\u{7}b) is gone\n\
         self-check: ok\n\
         DRIFT: above 0 the kernel shows too little, below 0 too much; one smaller than UNCERT may be none\n\
         \n"
    );
}

#[test]
fn figures_of_a_selection_say_so() {
    let mut report = report();
    report.headline.selected_of = Some(130);
    let text = render(&report.block(), &mut View::plain(None));
    assert!(text.contains("\n2 of 130 processes selected, sum of stat 4440 KiB, exact 4800 KiB"), "{text}");
}

#[test]
fn nothing_but_text_without_colour() {
    let text = render(&report().block(), &mut View::plain(None));
    assert!(!text.chars().any(|character| character.is_control() && character != '\n'));
}

#[test]
fn the_note_has_a_column_only_where_there_is_one() {
    let mut report = report();
    assert!(!render(&report.block(), &mut View::plain(None)).contains("NOTE"));
    assert!(render(&report.block(), &mut fields("pid,note")).contains("NOTE"), "asked for");
    report.rows[0].notes = vec![Note::Uncertain];
    let text = render(&report.block(), &mut View::plain(None));
    assert!(text.contains("NOTE") && text.contains(" uncertain\n"), "{text}");
}

#[test]
fn resident_has_a_column_where_it_was_read() {
    let mut report = report();
    assert!(!render(&report.block(), &mut View::plain(None)).contains("RESIDENT"));
    report.rows[0].files.resident = Some(1000);
    assert!(render(&report.block(), &mut View::plain(None)).contains("RESIDENT"));
}

#[test]
fn unreadable_is_a_dash_and_not_0() {
    let mut report = report();
    report.rows.truncate(1);
    report.rows[0].files.stat = None;
    let text = render(&report.block(), &mut fields("pid,reported,drift,drift%"));
    assert_eq!(table_lines(&text)[1].split_whitespace().collect::<Vec<_>>(), ["42", "-", "-", "-"]);
}

#[test]
fn a_narrow_terminal_loses_the_least_important_columns() {
    let mut view = fields("time,pid,comm,drift");
    view.width = Some(32);
    let text = render(&report().block(), &mut view);
    assert_eq!(table_lines(&text)[0], "    PID COMM        DRIFT");
    assert!(text.contains("\nno room for TIME: widen the\n  terminal, name fewer --fields,\n"), "{text}");
    view.width = None;
    assert!(!render(&report().block(), &mut view).contains("no room for"));
    assert!(table_lines(&render(&report().block(), &mut view))[0].starts_with("    TIME "));
}

#[test]
fn a_terminal_of_80_columns_keeps_all_default_columns() {
    let mut report = Report::of(vec![fixture::row(4_000_000, "a-name-of-15-by", 2_000_000, 1_999_000)]);
    let mut view = View::plain(None);
    view.width = Some(80);
    let text = render(&report.block(), &mut view);
    assert_eq!(table_lines(&text)[0].split_whitespace().count(), 9, "{text}");
    report.rows[0].notes = vec![Note::Uncertain];
    let text = render(&report.block(), &mut view);
    assert!(table_lines(&text)[0].ends_with("NOTE"), "{text}");
}

#[test]
fn drift_is_coloured_where_it_is_remarkable_and_where_it_cannot_be() {
    let mut report = Report::of(vec![
        fixture::row(1, "even", 1000, 1000),
        fixture::row(2, "large", 1000, 899),
        fixture::row(3, "wrong", 1000, 700),
    ]);
    report.rows[0].bound = Some(0);
    let mut view = fields("pid,drift");
    view.colour = true;
    let text = render(&report.block(), &mut view);
    assert_eq!(
        table_lines(&text),
        ["\x1b[1mPID DRIFT\x1b[0m", "  1     0", "  2 \x1b[33m  404\x1b[0m", "  3 \x1b[31m 1200\x1b[0m"]
    );
}

#[test]
fn the_summary_names_the_largest_drift_and_whose_it_was() {
    let mut all = DriftHistogram::default();
    for (pid, reported) in [(1, 90), (2, 130)] {
        all.record(Reading { exact: 100, reported }, || (pid, "\x1bx".to_owned(), fixture::time()));
    }
    let summary = FinalSummary {
        host: &fixture::host(),
        duration: Duration::from_secs(61),
        intervals: 2,
        dropped: 0,
        processes: 1,
        selected: false,
        drift: all.distribution(),
        largest: all.largest(),
        check: &SelfCheck::default(),
        cpu_time: Duration::from_millis(1230),
        skipped: &[],
    };
    let text = render_summary(&summary, &View::plain(None));
    assert!(text.starts_with("run of 1m 1s: 2 intervals, 1 process, 2 readings\n"), "{text}");
    assert!(
        text.contains(
            "p50 40 KiB, p95 120 KiB, p99 120 KiB, max 120 KiB; in % of exact p50 10.00, p95 30.00"
        ),
        "{text}"
    );
    assert!(text.contains("largest drift: -120 KiB of exact 400 KiB, pid 2 (\\u{1b}x) at "), "{text}");
    assert!(text.ends_with("CPU time 1.23 s\n"), "{text}");
    let skipped = Skipped { output: "/x/\x1bf".to_owned(), reports: 3, of: 7 };
    let summary = FinalSummary { dropped: 1, skipped: &[skipped], ..summary };
    let text = render_summary(&summary, &View::plain(None));
    let end = "\ndropped: 1 report, because a signal came before all of it was read\n\
               skipped: 3 of 7 reports of /x/\\u{1b}f\n";
    assert!(text.ends_with(end), "{text}");
}

proptest! {
    #[test]
    fn no_line_is_wider_than_the_terminal(
        comms in prop::collection::vec(any::<String>(), 0..4),
        cgroup in ".{0,60}",
        figures in (0..i64::MAX >> 24, 0..i64::MAX >> 24),
        event in any::<String>(),
        chosen in prop::collection::btree_set(0..Row::columns().count(), 1..12),
        width in MIN_WIDTH..200,
    ) {
        let rows = comms.iter().map(|comm| {
            let mut row = fixture::row(u32::MAX, comm, figures.0, figures.1);
            row.process.cgroup = Some(cgroup.clone());
            row.notes = vec![Note::DeadLeader, Note::SharedMm, Note::Uncertain, Note::Died];
            row
        });
        let mut report = Report::of(rows.collect());
        report.events = vec![event];
        let mut view = View::plain(Some(&chosen.iter().filter_map(|&index| Row::columns().nth(index)).collect::<Vec<_>>()));
        for defaults in [false, true] {
            if defaults {
                view = View::plain(None);
            }
            view.width = Some(width);
            for line in render(&report.block(), &mut view).lines() {
                prop_assert!(text::width(line) <= width, "{} > {}: {}", text::width(line), width, line);
            }
        }
    }
}
