use std::time::SystemTime;

use super::*;
use crate::drift::{fixture, stats::Summary};

/// A process of one mm: anonymous pages, of which the global count has some.
fn mm(tgid: u32, address: u64, exact: i64, counted: i64) -> Mm {
    Mm {
        tgid,
        mm: address,
        threads: 2,
        tasks: 1,
        flags: FLAG_VALID,
        count: [0, counted, 0, 0],
        cached: [0, exact - counted, 0, 0],
        ..bytemuck::Zeroable::zeroed()
    }
}

fn snapshot(mms: &[Mm]) -> Snapshot {
    Snapshot::without_shadow(SystemTime::UNIX_EPOCH, mms.to_vec())
}

fn names(texts: &[Option<&str>]) -> Vec<GroupName> {
    let name =
        |text: Option<&str>| GroupName { text: text.map(str::to_owned), ..GroupName::unknown(By::Comm) };
    texts.iter().copied().map(name).collect()
}

#[test]
fn a_shared_mm_counts_once() {
    // Three processes of one memory, of which two are in one group, and one of its own.
    let snapshot = snapshot(&[mm(1, 7, 100, 90), mm(2, 8, 10, 12), mm(3, 7, 100, 90), mm(4, 7, 100, 90)]);
    let placed = [(1, 0), (2, 0), (3, 0), (4, 1)];
    let groups = sum(&snapshot, &placed, names(&[Some("a"), Some("b")]), &fixture::rules());
    let of = |group: &Aggregate| (group.processes, group.mms, group.exact_rss(), group.reported);
    assert_eq!(of(&groups[0]), (3, 2, 110, Some(102)));
    assert_eq!(of(&groups[1]), (1, 0, 0, Some(0)), "its memory counts where the lowest pid is");
    assert_eq!((groups[0].threads, groups[1].threads), (6, 2));
    // Without those, it counts there.
    let alone = sum(&snapshot, &[(4, 1)], names(&[Some("a"), Some("b")]), &fixture::rules());
    assert_eq!(of(&alone[1]), (1, 1, 100, Some(90)));
}

#[test]
fn the_groups_add_up_to_the_sums_of_the_processes() {
    let of = |pid: u32| {
        let n = i64::from(pid);
        mm(pid, u64::from(pid % 150), n * 3, n * 3 - 40 + n % 80)
    };
    let mms: Vec<_> = (1..=200).map(of).collect();
    let snapshot = snapshot(&mms);
    let placed: Vec<_> = (1..=200).map(|pid| (pid, pid as usize % 7)).collect();
    let rules = fixture::rules();
    let groups = sum(&snapshot, &placed, names(&[None; 7]), &rules);
    let readings = snapshot.mms().filter_map(|mm| reading(mm, Precision::Approximate));
    let right = Summary::of(readings);
    assert_eq!(groups.iter().map(Aggregate::exact_rss).sum::<i64>(), right.exact);
    assert_eq!(groups.iter().filter_map(|group| group.reported).sum::<i64>(), right.reported.unwrap());
    assert_eq!(groups.iter().map(|group| group.mms).sum::<u64>(), right.drift.readings);
    assert_eq!(groups.iter().map(|group| group.processes).sum::<u64>(), 200);
    let member = |of: fn(&Mm) -> Pages| snapshot.mms().map(|mm| of(mm)[1]).sum::<i64>();
    assert_eq!(groups.iter().map(|group| group.exact[1]).sum::<i64>(), member(Mm::exact));
    assert_eq!(groups.iter().map(|group| group.global[1]).sum::<i64>(), member(|mm| mm.count));
}

#[test]
fn the_worst_is_the_largest_whatever_its_sign() {
    let mms = [mm(1, 1, 100, 90), mm(2, 2, 100, 130), mm(3, 3, 100, 70)];
    let groups = sum(&snapshot(&mms), &[(1, 0), (2, 0), (3, 0)], names(&[Some("a")]), &fixture::rules());
    let [group] = &groups[..] else { panic!("{groups:?}") };
    let worst = group.worst.as_ref().unwrap();
    assert_eq!((worst.pid, worst.drift), (2, -30), "of equal ones the first");
    assert_eq!((group.drift(), group.drift_percent()), (Some(10), Some(10.0 / 3.0)));
    let alone = sum(&snapshot(&mms), &[(2, 0)], names(&[Some("a")]), &fixture::rules());
    assert_eq!((alone[0].drift(), alone[0].drift_percent()), (Some(-30), Some(-30.0)));
}

#[test]
fn bounds_add_up_and_moving_counters_are_counted() {
    let mut moving = mm(2, 2, 0, 0);
    moving.flags = 0;
    moving.tasks = 4;
    let snapshot = snapshot(&[mm(1, 1, 5, 5), moving]);
    let rules = fixture::rules();
    let groups = sum(&snapshot, &[(1, 0), (2, 0)], names(&[Some("a")]), &rules);
    let bound = |tasks| rules.batching().bound(Precision::Approximate, tasks);
    assert_eq!((groups[0].bound, groups[0].uncertain), (bound(1) + bound(4), 1));
}

#[test]
fn a_file_of_unknown_precision_has_no_drift() {
    let mut rules = fixture::rules();
    rules.precisions.stat = Precision::Unknown;
    let groups = sum(&snapshot(&[mm(1, 1, 100, 90)]), &[(1, 0)], names(&[Some("a")]), &rules);
    let group = &groups[0];
    assert_eq!(
        (group.reported, group.drift(), group.drift_percent(), &group.worst),
        (None, None, None, &None)
    );
    assert_eq!(group.exact_rss(), 100);
}

#[test]
fn an_exact_file_has_a_drift_of_0() {
    let mut rules = fixture::rules();
    rules.precisions.stat = Precision::Exact;
    let groups = sum(&snapshot(&[mm(1, 1, 100, 90)]), &[(1, 0)], names(&[Some("a")]), &rules);
    assert_eq!((groups[0].drift(), groups[0].bound), (Some(0), 0));
}

#[test]
fn what_was_walked_adds_up() {
    let mut groups = sum(&snapshot(&[mm(1, 1, 1, 1)]), &[(1, 0)], names(&[None]), &fixture::rules());
    let rollup = |rss, pss| Rollup { rss, pss, ..Rollup::default() };
    groups[0].walk(rollup(None, None));
    assert_eq!(groups[0].walked, None, "unreadable is not 0");
    groups[0].walk(rollup(Some(8192), Some(5000)));
    groups[0].walk(rollup(Some(4096), Some(4096)));
    assert_eq!(groups[0].walked, Some(Walked { mms: 2, resident: 12288, pss: 9096 }));
}

#[test]
fn people_see_short_names_and_machines_whole_ones() {
    let id = "5e1ec7ed".repeat(8);
    let mut name = GroupName { text: Some(id.clone()), ..GroupName::unknown(By::Container) };
    assert_eq!((name.text(), name.shown()), (&*id, "5e1ec7ed5e1e"));
    name.container = Some("web".to_owned());
    assert_eq!((name.text(), name.shown()), (&*id, "web"));
    let none = GroupName::unknown(By::Container);
    assert_eq!((none.text(), none.shown()), ("-", "-"));
}
