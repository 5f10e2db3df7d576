use std::{path::PathBuf, time::SystemTime};

use super::{
    super::{
        domain::{Domain, Limited},
        figures,
        ranking::{
            rank,
            tests::{TOTAL, candidate},
        },
        reading::Spared,
    },
    *,
};
use crate::{
    drift::fixture,
    kernel::hierarchies::{Controllers, Hierarchy},
    select::MemoryGroup,
};

/// Three candidates on a host of a million pages, of which the two largest change places by exact RSS.
pub(in crate::oom) fn reading() -> Reading {
    let mut candidates = vec![
        candidate(42, 25_700, 25_710, 0),
        candidate(43, 25_690, 25_720, 0),
        candidate(7, 250_000, 250_000, -300),
    ];
    candidates[0].comm = "a\nb".to_owned();
    candidates[2].certain = false;
    rank(&mut candidates, TOTAL);
    let spared = |pid: u32, why| Spared { pid, comm: format!("s{pid}"), why };
    Reading {
        host: fixture::host(),
        time: SystemTime::UNIX_EPOCH,
        domain: Domain { total: 4_096_000_000, group: None },
        reads: Precision::Approximate,
        bound: 192,
        candidates,
        spared: vec![spared(1, Why::Init), spared(5, Why::Adjustment), spared(6, Why::Adjustment)],
        dies_whole: None,
    }
}

fn in_group(limit: Option<u64>, above: Option<&str>) -> Reading {
    let hierarchy =
        Hierarchy { controllers: Controllers::Two, root: "/".to_owned(), point: PathBuf::from("/x") };
    let group = Limited {
        group: MemoryGroup { path: "/a/b".to_owned(), hierarchy },
        limit,
        above: above.map(str::to_owned),
        is_spared: false,
        has_subtree: true,
    };
    let mut it = reading();
    it.domain.group = Some(group);
    it
}

#[test]
fn one_screen_tells_all() {
    assert_eq!(
        text(&reading(), None, Units::Human, None),
        "\
the OOM killer would take pid 42 (a\\nb), badness 100.4 MiB; by exact RSS it would take pid 43 (c43)
out of memory: the host, 3.8 GiB of memory and swap
the OOM killer of this kernel reads RSS as /proc/PID/stat has it: off by at most 768 KiB a process

RANK PID COMM    BADNESS SCORE       RSS      EXACT  SWAP TABLES  ADJ BY-EXACT
   1  42 a\\nb  100.4 MiB   683 100.4 MiB  100.4 MiB 8 KiB  4 KiB    0       *2
   2  43 c43   100.4 MiB   683 100.4 MiB  100.5 MiB 8 KiB  4 KiB    0       *1
   3   7 c7   -195.3 MiB   634 976.6 MiB ~976.6 MiB 8 KiB  4 KiB -300        3
never taken: init (pid 1), 2 with oom_score_adj -1000
* 2 candidates have another place by exact RSS
~ the counters changed in each reading of them
"
    );
}

#[test]
fn bare_numbers_have_their_unit_below() {
    let text = text(&reading(), Some(1), Units::Kib, None);
    let row = text.lines().nth(5).unwrap();
    let words: Vec<_> = row.split_whitespace().collect();
    assert_eq!(words, ["1", "42", "a\\nb", "102812", "683", "102800", "102840", "8", "4", "0", "*2"]);
    assert!(
        text.contains("2 more candidates not shown (--all)\n") && text.ends_with("sizes in KiB\n"),
        "{text}"
    );
    assert!(!text.contains('~'), "none of those shown: {text}");
}

#[test]
fn the_victim_is_the_same_or_nobody() {
    let mut it = reading();
    it.candidates.remove(1);
    it.candidates[0].sharing = 1;
    rank(&mut it.candidates, TOTAL);
    assert!(
        verdict(&it, Units::Human)
            .ends_with("(a\\nb), badness 100.4 MiB; by exact RSS it would take the same")
    );
    assert_eq!(whole(&it), ["1 process has its memory, and dies with it"]);
    it.candidates.clear();
    let screen = text(&it, None, Units::Human, None);
    assert!(
        screen.starts_with("the OOM killer would find no process to take\n") && !screen.contains("RANK"),
        "{screen}"
    );
}

#[test]
fn what_is_unreadable_is_a_dash() {
    let mut it = reading();
    it.candidates[0].adj = None;
    rank(&mut it.candidates, TOTAL);
    let screen = text(&it, None, Units::Kib, None);
    let row = screen.lines().find(|line| line.contains("a\\nb")).unwrap();
    let words: Vec<_> = row.split_whitespace().collect();
    assert_eq!(words, ["-", "42", "a\\nb", "-", "-", "102800", "102840", "8", "4", "-", "-"]);
}

#[test]
fn a_group_says_whose_limit_it_is() {
    let first = |it: &Reading| domain(it, Units::Human);
    assert_eq!(
        first(&in_group(Some(1 << 20), None)),
        "out of memory: control group /a/b, 3.8 GiB by its limit, with the swap that it may use"
    );
    assert!(first(&in_group(None, Some("/a"))).contains("but /a above it has: --cgroup /a ranks"));
    assert!(first(&in_group(None, None)).contains("/a/b has no limit: of an OOM of the host"));
    let mut it = in_group(Some(1 << 20), None);
    it.dies_whole = Some("/a/b".to_owned());
    assert!(whole(&it)[0].starts_with("memory.oom.group is set for /a/b: all its processes die"));
}

#[test]
fn how_rss_is_read_is_told() {
    let with = |precision| reads(&Reading { reads: precision, ..reading() }, Units::Human);
    assert_eq!(with(Precision::Exact), "the OOM killer of this kernel reads exact RSS");
    assert!(with(Precision::Unknown).contains("is not known"));
}

#[test]
fn the_json_never_changes() {
    let mut it = in_group(Some(4_096_000_000), None);
    it.candidates.truncate(2);
    it.candidates[1].page_tables = None;
    rank(&mut it.candidates, TOTAL);
    assert_eq!(figures::json(&it, None), include_str!("golden.json"));
    let first: serde_json::Value = serde_json::from_str(&figures::json(&it, Some(1))).unwrap();
    assert_eq!(
        (first["candidates"].as_array().map(Vec::len), &first["candidates_count"]),
        (Some(1), &2.into())
    );
}

#[test]
fn a_killer_that_is_off_is_told() {
    let mut it = in_group(Some(1 << 20), Some("/a"));
    it.domain.group.as_mut().unwrap().is_spared = true;
    let screen = text(&it, None, Units::Human, None);
    assert!(
        screen.contains("\nthe killer is off in /a/b (oom_kill_disable of memory.oom_control): "),
        "{screen}"
    );
    assert!(
        screen.contains("; /a above it has a lower limit, and comes to it first (--cgroup /a)\n"),
        "{screen}"
    );
}
