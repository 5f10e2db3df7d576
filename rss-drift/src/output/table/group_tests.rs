//! What people see of groups, word for word.

use super::{super::super::fixture::Report, *};
use crate::{
    drift::{by::By, groups::Aggregate},
    output::{Detail, fixture},
    table::parse_fields,
};

fn view(fields: Option<&str>) -> View<Aggregate> {
    let fields = fields.map(|list| parse_fields(list).unwrap());
    View::new(fields.as_deref(), Units::Human, Detail::Happened)
}

/// Two units, and processes of none.
fn groups() -> Vec<Aggregate> {
    let mut none = fixture::group(By::Unit, "", 100, 130);
    none.name.text = None;
    vec![
        fixture::group(By::Unit, "mysql.service", 131_500, 131_000),
        fixture::group(By::Unit, "nginx.service", 1000, 1010),
        none,
    ]
}

fn lines(report: &Report, view: &mut View<Aggregate>) -> Vec<String> {
    render(&report.block(), view).lines().map(str::to_owned).collect()
}

#[test]
fn a_report_of_groups() {
    let report = Report::of_groups(By::Unit, groups(), Some(512 << 20));
    assert_eq!(
        lines(&report, &mut view(None))[2..],
        [
            "by unit: 2 units, and 2 processes in no unit (-); 6 processes, sum of stat 516.2 MiB, exact 518.0 MiB: stat shows \
             1.8 MiB too little",
            "1 unit is off by more than 1 MiB: at most 2.0 MiB too little, 0.38 % of mysql.service and 0.38 % of 512 MiB; 1 unit \
             crosses 512 MiB by the exact figure but not by stat: mysql.service stat 511.7 MiB, exact 513.7 MiB",
            "GROUP         PROCS  REPORTED     EXACT    DRIFT DRIFT%   BOUND WORST WORST-COMM WORST-DRIFT",
            "mysql.service     2 511.7 MiB 513.7 MiB +2.0 MiB   0.38 1.5 MiB    42 sh            +2.0 MiB",
            "nginx.service     2   3.9 MiB   3.9 MiB  -40 KiB  -1.00 1.5 MiB    42 sh             -40 KiB",
            "-                 2   520 KiB   400 KiB -120 KiB -30.00 1.5 MiB    42 sh            -120 KiB",
            "self-check: ok",
            "DRIFT: + the kernel shows too little, - too much",
            "",
        ]
    );
}

#[test]
fn rows_that_are_not_there_are_counted_as_what_they_are() {
    let mut report = Report::of_groups(By::Unit, groups(), None);
    report.shown = Some(1);
    let text = lines(&report, &mut view(None)).join("\n");
    assert!(
        text.contains("\nby unit: 1 of 2 units, and 2 processes in no unit (-); 6 processes, "),
        "{text}"
    );
    assert!(text.contains("\n2 more rows not shown\n"), "{text}");
    let mut unread = Report::of_groups(By::User, groups(), None);
    unread.headline.groups.as_mut().unwrap().in_none = 1;
    let text = lines(&unread, &mut view(None)).join("\n");
    assert!(
        text.contains("\nby user: 2 users, and 1 process whose user could not be read (-); 6 "),
        "{text}"
    );
    report.groups.pop();
    report.headline.groups.as_mut().unwrap().in_none = 0;
    let text = lines(&report, &mut view(None)).join("\n");
    assert!(
        text.contains("\nby unit: 1 of 2 units; 6 processes, ") && text.contains("\n1 more unit not shown\n"),
        "{text}"
    );
    // Too small ones have no row in any output.
    report.groups.truncate(1);
    report.shown = None;
    let text = lines(&report, &mut view(None)).join("\n");
    assert!(text.contains("\nby unit: 1 of 2 units; ") && !text.contains("not shown"), "{text}");
    report.headline.selected_of = Some(130);
    let text = lines(&report, &mut view(None)).join("\n");
    assert!(text.contains("units; 6 of 130 processes selected, sum of stat "), "{text}");
}

#[test]
fn nothing_to_judge_and_nobody_across_are_said_of_groups() {
    let verdict =
        |groups, near| lines(&Report::of_groups(By::User, groups, near), &mut view(None))[3].clone();
    assert_eq!(verdict(groups().split_off(2), None), "no user to judge");
    let root = || vec![fixture::group(By::User, "root", 1000, 1000)];
    assert_eq!(verdict(root(), None), "no user is off by more than 1 MiB: no user drifts");
    let right = "; no user crosses 1 GiB by one figure alone, nearest root with 3.9 MiB";
    assert!(verdict(root(), Some(1 << 30)).ends_with(right));
    let many = (0..5).map(|number| fixture::group(By::User, &format!("u{number}"), 1000, 999));
    let right =
        "5 users cross 4000 KiB by the exact figure but not by stat: u0 stat 3.9 MiB, exact 3.9 MiB; ";
    assert!(verdict(many.collect(), Some(1000 * 4096)).contains(right));
}

#[test]
fn a_control_group_shows_its_charge_and_limit() {
    let mut groups = fixture::all_and_little();
    groups[0].name.container = Some("shop".to_owned());
    let mut report = Report::of_groups(By::Container, vec![groups[0].clone()], None);
    report.groups.push(groups[1].clone());
    let text = lines(&report, &mut view(None)).join("\n");
    assert!(
        text.contains(
            "GROUP PROCS REPORTED   EXACT  DRIFT DRIFT%   BOUND  CHARGE BEYOND-RSS   LIMIT CHARGE% EXACT% ABOVE ABOVE% \
             WORST WORST-COMM WORST-DRIFT RESIDENT   PSS\n"
        ) && text.contains("1.5 MiB 1.0 MiB   -1.0 MiB 4.0 MiB   25.00  50.00 ")
            && text.contains("\nBEYOND-RSS: what ")
            && text.contains("\nCHARGE%, EXACT%: of the limit, ")
            && text.contains(" / ") && text.contains("75.00") && text.contains("\nABOVE, ABOVE%: "),
        "{text}"
    );
    // Shared pages count once.
    assert!(text.contains("; shared pages counted once (Pss) 4 KiB"), "{text}");
    // None has a limit.
    for group in &mut report.groups {
        group.charge.iter_mut().for_each(|charge| (charge.memory.limit, charge.above) = (None, None));
    }
    let text = lines(&report, &mut view(None)).join("\n");
    assert!(text.contains("CHARGE BEYOND-RSS WORST") && !text.contains("CHARGE%"), "{text}");
}

#[test]
fn a_path_is_cut_at_its_front_and_a_name_at_its_end() {
    let path = "/user.slice/user-1000.slice/user@1000.service/app.slice/web.service";
    let mut view = view(Some("name,drift"));
    view.width = Some(32);
    let mut of = |name: &str| {
        lines(&Report::of_groups(By::Cgroup, vec![fixture::group(By::Cgroup, name, 10, 5)], None), &mut view)
    };
    assert!(of(path).contains(&"+e/app.slice/web.service +20 KiB".to_owned()), "{:?}", of(path));
    let name = "a-unit-with-a-really-long-name.service";
    assert!(of(name).contains(&"a-unit-with-a-really-lo+ +20 KiB".to_owned()), "{:?}", of(name));
}

#[test]
fn no_name_moves_the_cursor() {
    let mut group = fixture::group(By::Container, "/\x1b[2J\u{9b}\n", 10, 5);
    group.name.cgroup = Some("/\x1b]0;x\x07".to_owned());
    group.name.container = Some("\x1b[31m".to_owned());
    group.worst.as_mut().unwrap().comm = "\x1bc".to_owned();
    let report = Report::of_groups(By::Container, vec![group], Some(8 * 4096));
    for fields in [None, Some("all")] {
        let text = render(&report.block(), &mut view(fields));
        assert!(!text.chars().any(|it| it.is_control() && it != '\n'), "{text:?}");
    }
}

#[test]
fn a_narrow_terminal_keeps_what_matters() {
    let mut groups = fixture::all_and_little().to_vec();
    groups[0].name.cgroup = Some("/system.slice/shop.service".to_owned());
    groups[0].name.container = None;
    groups[0].name.text = Some("/system.slice/shop.service".to_owned());
    groups[0].walked = None;
    let report = Report::of_groups(By::Cgroup, vec![groups.swap_remove(0)], None);
    for width in [40, 80, 100] {
        let mut view = view(None);
        view.width = Some(width);
        let lines = lines(&report, &mut view);
        assert!(lines.iter().all(|line| text::width(line) <= width), "{lines:#?}");
        let head = lines.iter().find(|line| line.starts_with("GROUP ")).unwrap();
        for name in ["GROUP", "EXACT", "DRIFT"] {
            assert!(head.split_whitespace().any(|word| word == name), "{width}: {head}");
        }
        let keeps_limits = head.contains("CHARGE%") && head.contains("EXACT%") && head.contains("WORST");
        assert_eq!(keeps_limits, width >= 80, "{width}: {head}");
    }
}
