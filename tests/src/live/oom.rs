//! `oom`: beside the scores that the kernel gives, and beside whom its OOM killer takes.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    cgroup::{self, Group},
    command::run,
    harness::{Outcome, Reason},
    helper::{AS_HELPER, FILL, Helper, Kind},
    soak::Random,
    truth::page_size,
};

/// What `oom --json` says.
struct Said(Value);

impl Said {
    #[track_caller]
    fn of(arguments: &[&str]) -> Self {
        let done = run(&[&["oom", "--json"], arguments].concat());
        done.must_be_fine();
        Self(serde_json::from_str(&done.stdout).expect("JSON"))
    }

    fn list(&self, key: &str) -> &[Value] {
        self.0[key].as_array().unwrap_or_else(|| panic!("no list {key}: {:#}", self.0))
    }

    fn candidates(&self) -> &[Value] {
        self.list("candidates")
    }

    fn candidate(&self, pid: u32) -> Option<&Value> {
        self.candidates().iter().find(|it| it["pid"] == pid)
    }

    /// Why a process is never taken.
    fn spared(&self, pid: u32) -> Option<&str> {
        self.list("never_taken").iter().find(|it| it["pid"] == pid).and_then(|it| it["why"].as_str())
    }
}

/// The kernel's score of every process.
fn scores() -> BTreeMap<u32, i64> {
    let pids = fs::read_dir("/proc")
        .expect("read /proc")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let score = |pid: u32| fs::read_to_string(format!("/proc/{pid}/oom_score")).ok()?.trim().parse().ok();
    pids.filter_map(|pid| Some((pid, score(pid)?))).collect()
}

fn adjust(pid: u32, adj: i64) -> bool {
    fs::write(format!("/proc/{pid}/oom_score_adj"), adj.to_string()).is_ok()
}

/// A helper with so many pages of its own.
fn helper(pages: u64) -> Helper {
    let mut helper = Helper::start();
    let region = helper.map(Kind::Anon, pages);
    helper.write(&region, 0..pages);
    helper
}

/// All processes of the host, while some come and go: each has the score that the kernel gives it, and they are in the order of these.
pub fn ranks_as_the_kernel_scores() -> Outcome {
    // More than a step of the score on a host of 16 GiB.
    let adjusted: Vec<_> = [(30_000, 0), (500, 20), (2000, 300), (500, 1000)]
        .into_iter()
        .map(|(pages, adj)| {
            let helper = helper(pages);
            assert!(adjust(helper.pid(), adj), "an adjustment upwards is allowed");
            (helper, adj)
        })
        .collect();
    let immune = helper(40_000);
    let is_immune = adjust(immune.pid(), -1000);
    let mut storm = Helper::start();
    storm.begin_storm(100);
    let mut compared = 0;
    for _ in 0..5 {
        let before = scores();
        let said = Said::of(&[]);
        let after = scores();
        let kernel = |pid: u32| Some((*before.get(&pid)?, *after.get(&pid)?));
        let mut last = i64::MAX;
        for it in said.candidates() {
            let pid = it["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).expect("a pid");
            // One that began or ended meanwhile, or was in the middle of that.
            let Some((first, second)) = kernel(pid).filter(|(first, second)| *first > 0 && *second > 0)
            else {
                continue;
            };
            let score = it["score"].as_i64().unwrap_or_else(|| panic!("no score: {it:#}"));
            let range = first.min(second) - 1..=first.max(second) + 1;
            assert!(range.contains(&score), "{range:?} by the kernel: {it:#}");
            if first == second {
                assert!(first <= last.saturating_add(1), "after one of {last}: {it:#}");
                last = first;
            }
            compared += 1;
        }
        for (&pid, &first) in &before {
            let lives = after.get(&pid) == Some(&first);
            let seen = said.candidate(pid).is_some() || said.spared(pid).is_some();
            assert!(!lives || first == 0 || seen, "{pid} is missing, whose score is {first}");
            assert!(!lives || first == 0 || said.spared(pid).is_none(), "{pid} has a score of {first}");
        }
        for (helper, adj) in &adjusted {
            let it = said.candidate(helper.pid()).expect("it lives");
            assert_eq!(it["oom_score_adj"], *adj, "{it:#}");
        }
        assert_eq!(said.0["victim_pid"], adjusted[3].0.pid(), "the one with 1000");
        assert_eq!(said.spared(immune.pid()), is_immune.then_some("oom_score_adj"));
    }
    println!("report: oom_scores_compared={compared}");
    storm.end_storm();
    // A process that began with the reading ended with it: it is in neither list.
    let gone = helper(10);
    let pid = gone.pid();
    drop(gone);
    let said = Said::of(&[]);
    assert!(said.candidate(pid).is_none() && said.spared(pid).is_none());
    Outcome::Passed
}

/// A process in the middle of a vfork is none that the kernel takes, and its parent is.
pub fn skips_whom_the_kernel_skips() -> Outcome {
    let mut parent = Helper::start();
    let region = parent.map(Kind::Anon, 100);
    let child = parent.vfork(&region, 10);
    let said = Said::of(&[]);
    let kernel = scores();
    assert_eq!(kernel.get(&child), Some(&0), "the kernel's own word");
    assert_eq!(said.spared(child), Some("skipped"), "{:#}", said.0);
    let of = said.candidate(parent.pid()).expect("it is a candidate");
    assert_eq!(of["sharing_memory"], 1, "{of:#}");
    parent.end_vfork(child);
    let said = Said::of(&[]);
    assert_eq!(said.candidate(parent.pid()).expect("it lives")["sharing_memory"], 0);
    if kernel.get(&1) == Some(&0) && said.list("never_taken").iter().any(|it| it["pid"] == 1) {
        assert_eq!(said.spared(1), Some("init"));
    }
    Outcome::Passed
}

/// Whom the OOM killer takes of a control group that goes over its limit is who was said right before: twenty times, with other sizes and
/// adjustments, and every other time with two that are as bad but for a few pages.
pub fn takes_the_predicted_victim() -> Outcome {
    const ROUNDS: u64 = 20;
    const LIMIT: u64 = 128 << 20;
    /// Pages of each helper: so many and fewer than as many again.
    const PAGES: u64 = 1500;
    let Some(version) = limiting() else { return Outcome::Skipped(Reason::NoMemoryCgroup) };
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let group = Group::limited("live-oom", LIMIT).expect("make a control group");
    let member = |pages: u64| {
        let mut helper = Helper::start();
        group.take(helper.pid()).expect("move a process");
        let region = helper.map(Kind::Anon, pages + 2 * PAGES);
        helper.write(&region, 0..pages);
        Member { helper, region, written: pages }
    };
    let mut members: Vec<_> = (0..5).map(|_| member(PAGES + random.below(PAGES))).collect();
    // The largest, which is never taken where that can be asked for.
    let immune = member(2 * PAGES + 500);
    if !adjust(immune.helper.pid(), -1000) {
        println!("report: oom_immune=refused");
        drop(immune);
    }
    let (mut killed, mut others) = (group.oom_kills(), 0);
    for round in 0..ROUNDS {
        for member in &members {
            let adj = i64::try_from(random.below(60)).expect("a small number");
            assert!(adjust(member.helper.pid(), adj), "an adjustment that is not below 0");
        }
        if round % 2 == 1 {
            make_alike(&mut members, &mut random);
        }
        let said = Said::of(&["--cgroup", "/live-oom"]);
        assert_eq!(said.0["cgroup_limit_bytes"], LIMIT, "{:#}", said.0);
        assert_eq!(said.0["cgroup"], "/live-oom");
        let filled = Filled::over(&group, LIMIT);
        assert!(
            filled.is_done(),
            "round {round}: it was killed, which has less than each of these: {:#}",
            said.0
        );
        let kills = usize::try_from(group.oom_kills() - killed).expect("a few");
        killed += kills as u64;
        // The kernel takes another where the memory of the first is not free yet: then the next of the order.
        assert!(kills >= 1, "nobody was killed");
        let mut dead = Vec::new();
        wait_until("as many are dead as were killed", || {
            dead.extend(
                members.extract_if(.., |member| member.helper.was_killed()).map(|it| it.helper.pid()),
            );
            dead.len() >= kills
        });
        let badness = |it: &Value| it["badness_bytes"].as_i64().expect("a badness");
        let of_dead = |pid: &u32| badness(said.candidate(*pid).expect("a candidate"));
        let mut found: Vec<_> = dead.iter().map(of_dead).collect();
        found.sort_by_key(|&badness| std::cmp::Reverse(badness));
        // Of equal ones the kernel takes the last of its list, which is no order of ours.
        let right: Vec<_> = said.candidates()[..kills].iter().map(badness).collect();
        assert_eq!(found, right, "round {round}: {dead:?} were killed: {:#}", said.0);
        let first = |key: &str| said.0[key].as_u64().expect("a pid");
        others += u64::from(first("victim_by_exact_pid") != first("victim_pid"));
        drop(filled);
        members.extend(dead.iter().map(|_| member(PAGES + random.below(PAGES))));
    }
    println!("report: oom_victims_predicted={ROUNDS}");
    println!("report: oom_victims_that_exact_would_not_take={others}");
    println!("report: oom_reads={}", Said::of(&[]).0["killer_reads"]);
    if version == 2 {
        fs::write(group.path().join("memory.oom.group"), "1").expect("a file of version 2 since 4.19");
        let said = Said::of(&["--cgroup", "/live-oom"]);
        assert_eq!(said.0["dies_whole"], "/live-oom");
        // It is in the group, and dies with it.
        let filled = Filled::over(&group, LIMIT);
        assert!(!filled.is_done());
        for member in &mut members {
            wait_until("all are killed", || member.helper.was_killed());
        }
    }
    Outcome::Passed
}

/// A helper in the group.
struct Member {
    helper: Helper,
    region: crate::helper::Region,
    written: u64,
}

impl Member {
    fn grow(&mut self, pages: u64) {
        let pages = pages.min(self.region.pages - self.written);
        self.helper.write(&self.region, self.written..self.written + pages);
        self.written += pages;
    }
}

/// Lets the second of the kernel's order grow to within a few pages of the first: what slots and caches hold decides then.
fn make_alike(members: &mut [Member], random: &mut Random) {
    let said = Said::of(&["--cgroup", "/live-oom"]);
    let of = |place: usize| {
        let it = &said.candidates()[place];
        (it["pid"].as_u64().expect("a pid"), it["badness_by_exact_bytes"].as_i64().expect("a badness"))
    };
    let ((_, first), (second, less)) = (of(0), of(1));
    let pages = ((first - less) / page_size()).max(0).unsigned_abs() + random.below(12);
    let member = members.iter_mut().find(|it| u64::from(it.helper.pid()) == second);
    member.expect("a member").grow(pages);
}

/// Memory of the group that is nobody's RSS. Given back when dropped.
struct Filled {
    child: Child,
    is_done: bool,
}

impl Filled {
    /// Goes over the limit by less than a process has.
    fn over(group: &Group, limit: u64) -> Self {
        let free = limit.saturating_sub(group.charge());
        let mibs = (free >> 20) + 2;
        let mut command = Command::new("/proc/self/exe");
        command.args([AS_HELPER, FILL, &mibs.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        group.enter(&mut command).expect("enter a control group");
        let mut child = command.spawn().expect("start this very program");
        let mut said = String::new();
        let stdout = child.stdout.take().expect("it has a pipe");
        BufReader::new(stdout).read_line(&mut said).expect("read its word");
        Self { child, is_done: said == "filled\n" }
    }

    /// Whether it was not killed on its way.
    fn is_done(&self) -> bool {
        self.is_done
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(60), "waited in vain until {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// The version of the groups that can limit memory here.
fn limiting() -> Option<u32> {
    let (_, version) = cgroup::hierarchy()?;
    (version == 1 || !Reason::NoMemoryCgroup.holds()).then_some(version)
}

/// A group without a limit, one that is not there, and words that do not go together.
pub fn of_groups_and_words() -> Outcome {
    run(&["oom", "-p", "1"]).must_say(2, &["-p"]);
    run(&["oom", "--top", "x"]).must_say(2, &["--top"]);
    run(&["oom", "--top", "1", "--all"]).must_say(2, &["--all"]);
    run(&["oom", "--json", "--units", "kib"]).must_say(2, &["--units"]);
    run(&["oom", "--cgroup", "/a", "--unit", "b"]).must_say(2, &["an OOM is of one control group"]);
    run(&["oom", "--unit", "a,b"]).must_say(2, &["an OOM is of one control group"]);
    run(&["oom", "--unit", "a.timer"]).must_say(1, &["'a.timer' is a timer"]);
    run(&["oom", "--cgroup", "/live-nothing"]).must_say(1, &["there is no control group '/live-nothing'"]);
    if Reason::NoCgroups.holds() {
        return Outcome::Skipped(Reason::NoCgroups);
    }
    let group = Group::named("live-oom").expect("make a control group");
    let empty = run(&["oom", "--cgroup", "/live-oom"]);
    empty.must_be_fine();
    assert!(empty.stdout.contains("would find no process to take"), "{}", empty.stdout);
    let inside = Helper::start();
    group.take(inside.pid()).expect("move a process");
    let said = Said::of(&["--cgroup", "/live-oom"]);
    let pids: Vec<_> = said.candidates().iter().map(|it| it["pid"].as_u64()).collect();
    assert_eq!(pids, [Some(inside.pid().into())]);
    assert_eq!(said.0["cgroup_limit_bytes"], Value::Null);
    assert_eq!(said.0["total_bytes"], Said::of(&["--top", "0"]).0["total_bytes"], "that of the host");
    let text = run(&["oom", "--cgroup", "/live-oom"]);
    assert!(text.stdout.contains("/live-oom has no limit"), "{}", text.stdout);
    let row = text.stdout.lines().find(|line| line.contains(&inside.pid().to_string()));
    assert!(row.is_some(), "{}", text.stdout);
    drop(inside);
    Outcome::Passed
}
