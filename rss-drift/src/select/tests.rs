//! Which processes are selected, of real ones where /proc is read.

use std::{os::unix::process::parent_id, process::id};

use super::*;
use crate::{
    drift::fixture::{self, rules},
    proc::ProcFigures,
};

fn mm(tgid: u32, name: &str, exact: i64, reported: i64) -> Mm {
    let mut comm = [0; 16];
    comm[..name.len()].copy_from_slice(name.as_bytes());
    let (count, cached) = ([0, reported, 0, 0], [0, exact - reported, 0, 0]);
    Mm { tgid, mm: u64::from(tgid), comm, count, cached, ..bytemuck::Zeroable::zeroed() }
}

/// The chosen pids of a reading.
fn chosen(filter: &mut Filter, mms: &[Mm]) -> Vec<u32> {
    let snapshot = Snapshot::without_shadow(std::time::SystemTime::UNIX_EPOCH, mms.to_vec());
    filter.choose(&snapshot, None, &rules(), &|_| true, &|| false).expect("nobody gives up")
}

fn pids(criteria: &Criteria, mms: &[Mm]) -> Vec<u32> {
    chosen(&mut Filter::new(criteria).expect("it is there"), mms)
}

fn patterns(texts: &[&str]) -> Vec<Pattern> {
    texts.iter().map(|text| Pattern::parse(text).unwrap()).collect()
}

#[test]
fn nothing_asked_for_is_all() {
    assert_eq!(pids(&Criteria::default(), &[mm(1, "a", 1, 1), mm(2, "", 0, 0)]), [1, 2]);
    assert!(!Filter::new(&Criteria::default()).unwrap().is_selective());
}

#[test]
fn values_of_one_kind_are_alternatives_and_kinds_are_all_required() {
    let mms = [mm(1, "web", 100, 90), mm(2, "web-worker", 10, 10), mm(3, "db", 100, 100), mm(4, "x", 100, 0)];
    let of = |names: &[&str]| Criteria { comms: patterns(names), ..Criteria::default() };
    assert_eq!(pids(&of(&["web", "db"]), &mms), [1, 3]);
    assert_eq!(pids(&of(&["web*"]), &mms), [1, 2]);
    assert_eq!(pids(&of(&["/^(db|x)$/"]), &mms), [3, 4]);
    assert_eq!(pids(&Criteria { min_rss: Some(50 * 4096), ..of(&["web*"]) }, &mms), [1]);
    assert_eq!(pids(&Criteria { min_drift: Some(10 * 4096), ..Criteria::default() }, &mms), [1, 4]);
    assert_eq!(pids(&Criteria { min_drift: Some(10 * 4096 + 1), ..of(&["web*", "x"]) }, &mms), [4]);
}

#[test]
fn names_are_cut_as_the_kernel_cuts_them() {
    let cut = |name: &str| cut(&Pattern::Exact(name.to_owned())).written();
    assert_eq!(cut("short"), "short");
    assert_eq!(cut("a-name-of-many-bytes"), "a-name-of-many-");
    assert_eq!(
        cut("\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}"),
        "\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}+"
    );
}

#[test]
fn a_name_that_the_kernel_cut_within_a_character_is_found_by_all_of_it() {
    let long = "\u{e4}".repeat(8);
    let mut cut = mm(1, "", 1, 1);
    cut.comm[..15].copy_from_slice(&long.as_bytes()[..15]);
    for asked in [&long, "\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}+", "\u{e4}*+"] {
        assert_eq!(
            pids(&Criteria { comms: patterns(&[asked]), ..Criteria::default() }, &[cut]),
            [1],
            "{asked}"
        );
    }
}

#[test]
fn a_size_that_none_has_is_an_answer_and_a_name_that_none_has_is_not() {
    let mms = [mm(1, "web", 100, 90)];
    let mut filter = Filter::new(&Criteria { min_drift: Some(1 << 30), ..Criteria::default() }).unwrap();
    assert_eq!(chosen(&mut filter, &mms), Vec::<u32>::new());
    assert!(filter.found_any());
    let mut filter = Filter::new(&Criteria { comms: patterns(&["db"]), ..Criteria::default() }).unwrap();
    assert_eq!(chosen(&mut filter, &mms), Vec::<u32>::new());
    assert!(!filter.found_any());
    assert_eq!(chosen(&mut filter, &[mm(2, "db", 1, 1)]), [2], "a process that begins later");
    assert!(filter.found_any());
}

#[test]
fn rows_that_became_too_small_are_left_out() {
    let filter = Filter::new(&Criteria { min_drift: Some(8 * 4096), ..Criteria::default() }).unwrap();
    let mut rows =
        vec![fixture::row(1, "a", 100, 92), fixture::row(2, "b", 100, 93), fixture::row(3, "c", 92, 100)];
    rows.push(Row { files: ProcFigures::default(), ..rows[0].clone() });
    filter.keep_large(&mut rows, 4096);
    assert_eq!(rows.iter().map(|row| row.process.pid).collect::<Vec<_>>(), [1, 3]);
}

#[test]
fn users_and_command_lines_are_those_of_proc() {
    let (own, parent) = ([mm(id(), "x", 1, 1)], [mm(parent_id(), "x", 1, 1)]);
    let (user, line) =
        (TaskFolder::process(id()).user().unwrap(), TaskFolder::process(parent_id()).command_line());
    let line = line.unwrap();
    assert!(!line.is_empty() && !line.contains('\0') && !line.ends_with(' '), "{line:?}");
    let of_user = Criteria { users: vec![user.to_string()], ..Criteria::default() };
    assert_eq!(pids(&of_user, &own), [id()]);
    let cmd = |pattern: Pattern| Criteria { cmds: vec![pattern], ..Criteria::default() };
    assert_eq!(pids(&cmd(Pattern::Exact(line)), &parent), [parent_id()]);
    assert_eq!(pids(&cmd(Pattern::parse("*-no-such-argument").unwrap()), &parent), Vec::<u32>::new());
    assert_eq!(
        pids(&cmd(Pattern::parse("*").unwrap()), &own),
        Vec::<u32>::new(),
        "our own has all patterns in it"
    );
    // A process that is gone has neither.
    assert_eq!(pids(&of_user, &[mm(u32::MAX, "x", 1, 1)]), Vec::<u32>::new());
}

#[test]
fn the_group_of_this_process_has_it() {
    let Some(groups) = TaskFolder::process(id()).groups() else { return };
    let own = [mm(id(), "x", 1, 1), mm(u32::MAX, "gone", 1, 1)];
    for path in [&groups.memory, "/"] {
        assert_eq!(
            pids(&Criteria { cgroups: vec![path.to_owned()], ..Criteria::default() }, &own),
            [id()],
            "{path}"
        );
    }
}

#[test]
fn what_is_not_there_is_an_error() {
    let missing = |criteria: Criteria| Filter::new(&criteria).unwrap_err().to_string();
    let name = || vec!["rss-drift-nobody".to_owned()];
    let error = missing(Criteria { users: name(), ..Criteria::default() });
    assert!(error.starts_with("there is no user 'rss-drift-nobody'"), "{error}");
    let error = missing(Criteria { users: vec!["4294967294".to_owned()], ..Criteria::default() });
    assert_eq!(error, "there is no user with the number 4294967294, and no process of one");
    let error = missing(Criteria { cgroups: name(), ..Criteria::default() });
    assert!(error.starts_with("there is no control group '/rss-drift-nobody'"), "{error}");
    let error = missing(Criteria { units: name(), ..Criteria::default() });
    assert!(error.contains("'rss-drift-nobody.service'"), "{error}");
    let error = missing(Criteria { containers: name(), ..Criteria::default() });
    assert!(error.starts_with("there is no container 'rss-drift-nobody'"), "{error}");
    // Of several the others are watched.
    let some = [name(), vec!["root".to_owned()]].concat();
    assert!(Filter::new(&Criteria { users: some, ..Criteria::default() }).is_ok());
}
