use super::*;
use crate::{
    drift::{
        by::By,
        fixture::{host, row, time},
        group_fixture::{all_and_little, group},
        sample::Note,
    },
    watch::condition::{Operator, Test},
};

const PAGE: u64 = 4096;

fn condition(figure: Figure, pages: u64, reports: u64) -> Condition {
    let test = Test::Size { figure, operator: Operator::AtLeast, bytes: pages * PAGE };
    Condition { text: format!("{} >= {pages} pages", figure.name()), test, reports }
}

/// What is said in each of some reports.
fn said<R: Judged>(conditions: &mut Conditions, reports: &[Vec<R>]) -> Vec<Vec<String>> {
    let report = |(interval, rows): (u64, &Vec<R>)| {
        let fulfilled = conditions.judge(&rows.iter(), &host());
        conditions.count(fulfilled, ReportId { interval, time: time() }, &host(), Units::Human)
    };
    (1..).zip(reports).map(report).collect()
}

/// In which of some reports a condition came true.
fn when<R: Judged>(condition: Condition, reports: &[Vec<R>]) -> Vec<u64> {
    let said = said(&mut Conditions::new(vec![condition]), reports);
    (1..).zip(said).filter(|(_, lines)| !lines.is_empty()).map(|(number, _)| number).collect()
}

#[test]
fn the_same_process_has_to_fulfil_it_in_all_of_them() {
    let of =
        |drifts: &[i64]| drifts.iter().map(|drift| vec![row(1, "sh", 100, 100 - drift)]).collect::<Vec<_>>();
    let drift = |reports| condition(Figure::Drift, 10, reports);
    assert_eq!(when(drift(1), &of(&[9, 10, 3])), [2]);
    assert_eq!(when(drift(3), &of(&[10, 10, -10])), [3], "too much is drift too");
    assert_eq!(when(drift(3), &of(&[10, 10, 9, 10, 10, 11])), [6], "from the beginning again");
    // Another one each time, and one that is not there in between.
    assert!(when(drift(2), &[vec![row(1, "sh", 100, 90)], vec![row(2, "sh", 100, 90)]]).is_empty());
    assert!(
        when(drift(2), &[vec![row(1, "sh", 100, 90)], Vec::new(), vec![row(1, "sh", 100, 90)]]).is_empty()
    );
    // One pid, two processes.
    let mut later = row(1, "sh", 100, 90);
    later.process.start_ticks += 1;
    assert!(when(drift(2), &[vec![row(1, "sh", 100, 90)], vec![later]]).is_empty());
    // An execve is no other process.
    let mut later = row(1, "bash", 100, 90);
    later.process.mm_generation += 1;
    assert_eq!(when(drift(2), &[vec![row(1, "sh", 100, 90)], vec![later]]), [2]);
}

#[test]
fn what_is_not_certain_of_a_process_fulfils_nothing() {
    let with = |change: &dyn Fn(&mut Row)| {
        let mut row = row(1, "sh", 100, 90);
        change(&mut row);
        when(condition(Figure::Drift, 1, 1), &[vec![row]])
    };
    assert_eq!(with(&|_| {}), [1]);
    assert_eq!(with(&|row| row.moved = Some(9)), [1]);
    for change in [
        (&|row: &mut Row| row.moved = Some(10)) as &dyn Fn(&mut Row),
        &|row| row.moved = None,
        &|row| row.notes = vec![Note::Uncertain],
        &|row| row.files.stat = None,
        &|row| row.precision = crate::proc::Precision::Unknown,
    ] {
        assert!(with(change).is_empty());
    }
}

#[test]
fn the_one_that_is_furthest_beyond_it_is_named() {
    let rows = vec![row(1, "one", 300, 280), row(2, "t\x1b[2J", 1000, 1300), row(3, "three", 5, 5)];
    let mut conditions =
        Conditions::new(vec![condition(Figure::Drift, 10, 1), condition(Figure::Exact, 5000, 1)]);
    assert!(!conditions.came_true());
    let said = said(&mut conditions, std::slice::from_ref(&rows));
    assert_eq!(
        said[0],
        [
            "the condition 'drift >= 10 pages' is true in report 1 (2026-01-02T03:04:05.678Z): t\\u{1b}[2J (pid 2): stat 5.1 MiB, \
          exact 3.9 MiB, drift -1.2 MiB (-30.00 %); 1 more fulfils it"
        ]
    );
    assert!(conditions.came_true());
    let least = Test::Size { figure: Figure::Exact, operator: Operator::AtMost, bytes: 300 * PAGE };
    let mut conditions = Conditions::new(vec![Condition { test: least, ..condition(Figure::Exact, 0, 1) }]);
    assert!(
        tests::said(&mut conditions, &[rows])[0][0]
            .contains(": three (pid 3): stat 20 KiB, exact 20 KiB, drift 0 (0.00 %); 1 more")
    );
}

#[test]
fn what_may_have_moved_is_said() {
    let mut moving = row(1, "sh", 100, 90);
    moving.moved = Some(2);
    let said = said(&mut Conditions::new(vec![condition(Figure::Drift, 8, 1)]), &[vec![moving]]);
    assert!(
        said[0][0].ends_with("drift +40 KiB (10.00 %), of which 8 KiB may have moved meanwhile"),
        "{said:?}"
    );
}

#[test]
fn groups_are_told_apart_by_name_and_path() {
    let exact = |reports| condition(Figure::Exact, 100, reports);
    let unit = |path: &str| {
        let mut group = group(By::Unit, "web.service", 100, 90);
        group.name.cgroup = Some(path.to_owned());
        group
    };
    assert_eq!(when(exact(2), &[vec![unit("/a")], vec![unit("/a")]]), [2]);
    assert!(when(exact(2), &[vec![unit("/a")], vec![unit("/b")]]).is_empty());
    let said = said(&mut Conditions::new(vec![exact(1)]), &[vec![unit("/a")]]);
    assert!(
        said[0][0].contains(": unit web.service: stat 360 KiB, exact 400 KiB, drift +40 KiB (10.00 %)"),
        "{said:?}"
    );
    let mut moving = unit("/a");
    moving.uncertain = 1;
    assert!(when(condition(Figure::Drift, 1, 1), &[vec![moving.clone()]]).is_empty(), "not of one instant");
    assert_eq!(when(exact(1), &[vec![moving]]), [1], "exact is the sum of what was read");
}

#[test]
fn the_charge_of_a_control_group_is_judged() {
    let [all, little] = all_and_little();
    let of = |figure| {
        let test = Test::Share { figure, operator: Operator::AtLeast, percent: 25.0 };
        Conditions::new(vec![Condition { text: "x".to_owned(), test, reports: 1 }])
    };
    for figure in [Figure::ChargePercent, Figure::ChargedExactPercent] {
        let mut conditions = of(figure);
        assert!(conditions.need_charges());
        let said = said(&mut conditions, &[vec![little.clone()], vec![all.clone()]]);
        assert!(said[0].is_empty(), "none is charged");
        assert!(said[1][0].contains(&format!(", {} ", figure.name())), "{said:?}");
    }
    assert!(!Conditions::new(vec![condition(Figure::Exact, 1, 1)]).need_charges());
}
