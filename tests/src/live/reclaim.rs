//! Memory that the kernel takes back: by kswapd, and at the limit of a control group.

use std::fs;

use rss_drift::drift::idle::IdleTracker;
use rss_drift_common::Member;

use super::{
    memory::{growth, signed},
    shadow::assert_right_if_full,
};
use crate::{
    cgroup::{self, Group},
    command::run,
    guard::Setting,
    harness::{Outcome, Reason, kib_of},
    helper::{Helper, Kind},
    measure::{IdleProcess, Meter, wait_until},
    records::parse,
    truth::page_size,
};

/// Pages of a helper's anonymous memory that are there or in swap.
fn anon_and_swap(before: &IdleProcess, after: &IdleProcess) -> i64 {
    let growth = growth(before, after);
    growth[Member::Anon.index()] + growth[Member::Swap.index()]
}

fn swapped(idle: &IdleProcess) -> i64 {
    idle.mm.exact()[Member::Swap.index()]
}

/// kswapd swaps out an idle process for another that grows, while the host is read all the time.
pub fn kswapd_swaps_out_an_idle_process() -> Outcome {
    const PAGES: u64 = 8000;
    /// Most that the one that grows has to take, which is more than 5 % of a guest's memory.
    const ROOM: u64 = 64_000;
    /// Pages from one reading to the next.
    const STEP: u64 = 1000;
    for reason in [Reason::NotAGuest, Reason::NoSwap] {
        if reason.holds() {
            return Outcome::Skipped(reason);
        }
    }
    let mut meter = Meter::open_fullest();
    let mut sleeper = Helper::start();
    let pid = sleeper.pid();
    let region = sleeper.map(Kind::Anon, PAGES);
    sleeper.write(&region, 0..PAGES);
    let before = meter.idle(pid);
    let stolen = stolen_by_kswapd();

    let free = kib_of("/proc/meminfo", "MemFree:").expect("/proc/meminfo says it");
    // Below five quarters of this kswapd is woken (`mm/page_alloc.c:__setup_per_zone_wmarks`): nearly all that is free now
    // counts as too little, and no memory has to be filled up. Nobody waits, there is enough.
    let least = Setting::change("/proc/sys/vm/min_free_kbytes", &(free * 79 / 100).to_string());
    let least = least.expect("a setting that can be written");
    let mut growing = Helper::start();
    let room = growing.map(Kind::Anon, ROOM);
    let mut tracker = IdleTracker::default();
    let swapped_now = || kib_of(&format!("/proc/{pid}/status"), "VmSwap:").expect("a process that lives");
    let mut written = 0;
    while swapped_now() == 0 && written + STEP <= room.pages {
        growing.write(&room, written..written + STEP);
        written += STEP;
        assert_right_if_full(&mut meter, &mut tracker);
    }
    wait_until("kswapd swaps out", || swapped_now() > 0);
    drop(growing);
    drop(least);

    let after = meter.idle(pid);
    println!("{written} pages written elsewhere, {} swapped out here", swapped(&after));
    assert!(swapped(&after) > 0 && stolen_by_kswapd() > stolen, "by kswapd");
    assert_eq!(anon_and_swap(&before, &after), 0);
    // What is needed comes back.
    sleeper.write(&region, 0..PAGES);
    let back = meter.idle(pid);
    assert_eq!(back.walk.within(&region.addresses(), |mapping| mapping.anonymous), signed(PAGES));
    assert_eq!(anon_and_swap(&before, &back), 0);
    assert_right_if_full(&mut meter, &mut tracker);
    Outcome::Passed
}

/// Pages that kswapd has taken since the start of the system.
fn stolen_by_kswapd() -> u64 {
    let text = fs::read_to_string("/proc/vmstat").expect("read /proc/vmstat");
    let count = text.lines().find_map(|line| line.strip_prefix("pgsteal_kswapd "));
    count.expect("the kernel counts it").parse().expect("a number")
}

/// A process that outgrows its control group swaps out its own pages; its row names the group.
pub fn a_process_at_the_limit_of_its_group() -> Outcome {
    const PAGES: u64 = 3000;
    for reason in [Reason::NoMemoryCgroup, Reason::NoSwap] {
        if reason.holds() {
            return Outcome::Skipped(reason);
        }
    }
    let mut meter = Meter::open_fullest();
    let group = Group::new(PAGES / 2 * page_size().unsigned_abs()).expect("make a control group");
    let mut helper = Helper::start();
    let pid = helper.pid();
    let region = helper.map(Kind::Anon, PAGES);
    let before = meter.idle(pid);
    group.take(pid).expect("move a process into a control group");
    helper.write(&region, 0..PAGES);
    let after = meter.idle(pid);
    assert!(swapped(&after) >= signed(PAGES / 2), "{} pages are swapped out", swapped(&after));
    assert_eq!(anon_and_swap(&before, &after), signed(PAGES));

    let done = run(&["-p", &pid.to_string(), "-n", "1", "--resident", "--format", "csv"]);
    done.must_be_fine();
    let rows = parse(&done.stdout);
    let [row] = &rows[..] else { panic!("one row: {}", done.stdout) };
    assert_eq!(row.text("cgroup"), format!("/{}", cgroup::NAME));
    assert_eq!(row.must("exact_bytes"), row.must("resident_bytes"));
    assert_eq!(row.must("exact_swap_bytes"), swapped(&after) * page_size());
    Outcome::Passed
}
