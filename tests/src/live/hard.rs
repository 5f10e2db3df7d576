//! Full mode where the kernel moves memory in unusual ways: huge pages that are split, a worker of `io_uring`, an mm at the
//! address of one that has just ended.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rss_drift::{
    kernel::Accounting,
    probe::{FullOptions, Hidden},
};
use rss_drift_common::{Member, Pages, shadow::ShadowRecord};

use super::{
    fallback::NO_FENTRY,
    foreign::khugepaged_at_once,
    memory::{growth, only, signed},
    shadow::{open, shadow},
};
use crate::{
    harness::{Outcome, Reason, allowed_cpus},
    helper::{Helper, Kind, Life, Region},
    invariants::Invariants,
    measure::{IdleProcess, Meter, wait_until},
    thp,
    truth::{Walk, page_size},
};

/// One process that is idle between orders, followed step by step: by how much it grew, what the page tables hold, and that
/// the shadow followed by events, not by repair.
struct Followed {
    pid: u32,
    last: IdleProcess,
    shadow: ShadowRecord,
    missed: u64,
}

impl Followed {
    fn new(meter: &mut Meter, pid: u32) -> Self {
        let last = meter.idle(pid);
        Self { pid, last, shadow: shadow(meter, pid), missed: missed(meter) }
    }

    /// Asserts what an order changed. [`Meter::idle`] holds the counters, the page tables and the shadow against each other.
    fn grew(&mut self, meter: &mut Meter, expected: Pages, what: &str) {
        let now = meter.idle(self.pid);
        assert!(now.shadow.is_some(), "it has a shadow");
        assert_eq!(growth(&self.last, &now), expected, "{what}");
        let record = shadow(meter, self.pid);
        assert_eq!(record.id, self.shadow.id, "{what}: it is the same state");
        let (repaired, missed) = (record.repaired - self.shadow.repaired, missed(meter) - self.missed);
        assert!(repaired == 0 || missed > 0, "{what}: {repaired} pages were repaired");
        *self = Self { pid: self.pid, last: now, shadow: record, missed: self.missed + missed };
    }

    fn huge(&self, region: &Region) -> i64 {
        self.last.walk.within(&region.addresses(), |mapping| mapping.huge)
    }
}

fn missed(meter: &Meter) -> u64 {
    meter.session.probe.missed_events().expect("full mode")
}

/// Huge pages that are split: partly given up, unmapped or made read-only in the middle, written to after a fork.
pub fn huge_pages_that_are_split() -> Outcome {
    if !thp::can_be_had() {
        return Outcome::Skipped(Reason::NoThp);
    }
    let in_one = (2 << 20) / page_size();
    let count = in_one.unsigned_abs();
    let anon = |pages| only(Member::Anon, pages);
    let mut meter = open(FullOptions::default());
    let mut invariants = Invariants::default();
    let _allowed = thp::allow().expect("a setting that can be written");
    let mut helper = Helper::start();
    let region = helper.map(Kind::Huge, 5 * count);
    // Now, as an order to map can take a page of the helper's heap.
    let small = helper.map(Kind::Huge, 2 * count);
    // Code that an order needs for the first time is there afterwards.
    let warm_up = helper.map(Kind::Anon, 8);
    helper.protect(&warm_up, 7..8);
    helper.unmap_part(&warm_up, 5..6);
    helper.fork(&warm_up, 4);
    helper.write(&warm_up, 0..4);
    let mut followed = Followed::new(&mut meter, helper.pid());
    helper.write(&region, 0..region.pages);
    followed.grew(&mut meter, anon(5 * in_one), "five huge pages");
    assert_eq!(followed.huge(&region), 5 * in_one, "they are huge");
    // khugepaged is to leave alone what is split.
    helper.advise(&region, 0..region.pages, libc::MADV_NOHUGEPAGE);

    helper.give_up(&region, 100..300);
    followed.grew(&mut meter, anon(-200), "a part of the first is given up");
    assert_eq!(followed.huge(&region), 4 * in_one, "the first is split");
    helper.write(&region, 100..150);
    followed.grew(&mut meter, anon(50), "and comes back by small pages");
    helper.unmap_part(&region, count + 7..count + 107);
    followed.grew(&mut meter, anon(-100), "the middle of the second is unmapped");
    assert_eq!(followed.huge(&region), 3 * in_one, "the second is split");
    helper.protect(&region, 2 * count + 9..2 * count + 10);
    followed.grew(&mut meter, [0; 4], "one page of the third cannot be written to any more");
    assert_eq!(followed.huge(&region), 2 * in_one, "the third is split");
    // From the end of one over the border to the next.
    helper.unmap_part(&region, 4 * count - 1..4 * count + 1);
    followed.grew(
        &mut meter,
        anon(-2),
        "the last page of the fourth and the first of the fifth are unmapped",
    );
    assert_eq!(followed.huge(&region), 0, "both are split");

    helper.write(&small, 0..small.pages);
    followed.grew(&mut meter, anon(2 * in_one), "two more");
    helper.advise(&small, 0..small.pages, libc::MADV_NOHUGEPAGE);
    let child = helper.fork(&small, 1);
    followed.grew(&mut meter, [0; 4], "after a fork");
    let of_the_child = meter.idle(child);
    let resident = of_the_child.walk.within(&small.addresses(), |mapping| mapping.rss);
    assert!((1..=2 * in_one).contains(&resident), "{resident} pages of the child");
    helper.write(&small, 0..small.pages);
    followed.grew(&mut meter, [0; 4], "the parent writes to pages that the child has too");
    helper.unmap(&small);
    followed.grew(&mut meter, anon(-2 * in_one), "both are unmapped");
    assert_eq!(growth(&of_the_child, &meter.idle(child)), [0; 4], "the child keeps its own");
    invariants.check(&mut meter.session.probe);
    invariants.end(&mut meter.session, "thp_split");
    Outcome::Passed
}

/// A worker of `io_uring` reads into fresh memory and gives memory up: a thread of the process that never runs its code (up
/// to 5.11 a kernel thread on the borrowed mm).
pub fn a_worker_of_io_uring() -> Outcome {
    const PAGES: u64 = 200;
    if Reason::NoIoUring.holds() {
        return Outcome::Skipped(Reason::NoIoUring);
    }
    let mut meter = open(FullOptions::default());
    let mut invariants = Invariants::default();
    let mut helper = Helper::start();
    // What the first time needs is there afterwards, the worker too.
    let warm_up = helper.map(Kind::Anon, 8);
    helper.fill_by_a_worker(&warm_up, 8);
    helper.give_up_by_a_worker(&warm_up, 8);
    let mut followed = Followed::new(&mut meter, helper.pid());
    for (kind, member) in [(Kind::Anon, Member::Anon), (Kind::Shmem, Member::Shmem)] {
        let region = helper.map(kind, PAGES);
        let (faults, workers) = helper.fill_by_a_worker(&region, PAGES);
        assert!(workers > 0, "somebody did it");
        assert!(faults < PAGES / 10, "{faults} of the faults are the process's own");
        followed.grew(&mut meter, only(member, signed(PAGES)), "a worker read into it");
        let (_, workers) = helper.give_up_by_a_worker(&region, PAGES - 50);
        assert!(workers > 0, "somebody did it");
        followed.grew(&mut meter, only(member, 50 - signed(PAGES)), "a worker gave most of it up");
        // The process and its worker change the same mm by turns.
        helper.write(&region, 0..100);
        followed.grew(&mut meter, only(member, 100), "the process took some of it back");
        helper.fill_by_a_worker(&region, PAGES);
        followed.grew(&mut meter, only(member, signed(PAGES) - 150), "the worker the rest");
        helper.unmap(&region);
        followed.grew(&mut meter, only(member, -signed(PAGES)), "all of it is unmapped");
    }
    invariants.check(&mut meter.session.probe);
    invariants.end(&mut meter.session, "io_worker");
    Outcome::Passed
}

/// How long ends are interrupted, once for each way in which an end is seen.
const INTERRUPTED: Duration = Duration::from_secs(6);

/// How often it is tried to have a new mm at the address of an old one.
const TRIES: u32 = 100;

/// Between two readings a process ends and another one is born at the address of its `mm_struct`: with figures of its own.
pub fn an_address_that_is_used_again() -> Outcome {
    const LARGE: u64 = 3000;
    const SMALL: u64 = 20;
    let mut meter = open(FullOptions::default());
    let mut invariants = Invariants::default();
    let mut parent = Helper::start();
    // The kernel gives out first what was freed last on the same CPU.
    parent.pin(allowed_cpus()[0]);
    let region = parent.map(Kind::Anon, LARGE);
    parent.write(&region, 0..SMALL);
    let mut again = 0;
    for tries in 1..=TRIES {
        let first = parent.fork(&region, LARGE);
        let old = meter.idle(first);
        let old_shadow = shadow(&mut meter, first);
        invariants.check(&mut meter.session.probe);
        end(first);
        let second = parent.fork(&region, SMALL);
        let (snapshot, _) = invariants.check(&mut meter.session.probe);
        assert!(
            snapshot.process(first).is_none(),
            "one interval saw the end of the one and the birth of the other"
        );
        if snapshot.process(second).expect("it lives").mm == old.mm.mm {
            again += 1;
            let new = meter.idle(second);
            assert_eq!(new.walk.within(&region.addresses(), |mapping| mapping.anonymous), signed(SMALL));
            // It only grew.
            has_its_own(&mut meter, second, &new, &old_shadow, 0);
        }
        end(second);
        if again == 3 {
            println!("report: address_again_tries={tries}");
            break;
        }
    }
    assert!(again > 0, "in {TRIES} tries no address was used again");
    invariants.end(&mut meter.session, "address_again");
    Outcome::Passed
}

/// The same within one process: two execve between two readings, and its memory is where it was before.
pub fn an_address_that_is_used_again_by_its_process() -> Outcome {
    const LARGE: u64 = 3000;
    let mut meter = open(FullOptions::default());
    let mut invariants = Invariants::default();
    let mut helper = Helper::start();
    let pid = helper.pid();
    let mut again = false;
    for tries in 1..=TRIES {
        helper.pin(allowed_cpus()[0]);
        let region = helper.map(Kind::Anon, LARGE);
        helper.write(&region, 0..LARGE);
        let old = meter.idle(pid);
        let old_shadow = shadow(&mut meter, pid);
        helper.exec();
        helper.exec();
        let new = meter.idle(pid);
        assert_eq!(new.mm.exec_id, old.mm.exec_id + 2, "two generations later");
        if new.mm.mm == old.mm.mm {
            // A helper that begins gives a few pages back.
            has_its_own(&mut meter, pid, &new, &old_shadow, 16);
            println!("report: exec_address_again_tries={tries}");
            again = true;
            break;
        }
        invariants.check(&mut meter.session.probe);
    }
    assert!(again, "in {TRIES} tries no address was used again");
    invariants.end(&mut meter.session, "exec_address_again");
    Outcome::Passed
}

/// An mm ends, at exit and at execve(2), on the CPU that changed it last, whose slot still holds what it changed; in the middle of
/// that another process takes the CPU, so that the slot flushes. What it held counts once. (A kernel that does not preempt itself
/// lets no one in.)
pub fn ends_that_are_interrupted() -> Outcome {
    const PAGES: u64 = 10;
    let cpu = allowed_cpus()[0];
    for (hidden, life) in [(NO_FENTRY, Life::Fork), (Hidden::default(), Life::Replace)] {
        let mut meter = open(FullOptions { hidden, ..FullOptions::default() });
        let mut invariants = Invariants::default();
        let mut flood = Helper::start_as("live-flood");
        let mut interrupts = Helper::start();
        for helper in [&mut flood, &mut interrupts] {
            helper.pin(cpu);
        }
        let region = flood.map(Kind::Anon, PAGES);
        flood.write(&region, 0..PAGES);
        interrupts.begin_interrupting();
        flood.begin_flood(life, u64::MAX >> 1, &region, PAGES);
        let end = Instant::now() + INTERRUPTED;
        while Instant::now() < end {
            invariants.check(&mut meter.session.probe);
            thread::sleep(Duration::from_millis(200));
        }
        let interruptions = interrupts.end_storm();
        let lives = flood.end_storm();
        println!("report: interrupted_lives={lives}");
        println!("report: interruptions={interruptions}");
        assert!(lives > 0 && interruptions > 0, "{lives} lives, {interruptions} interruptions");
        invariants.end(&mut meter.session, "interrupted");
    }
    Outcome::Passed
}

/// khugepaged fills the gaps of a process whose mm it runs on lazily, page by page and without a lock that would keep it on its
/// CPU (`mm/khugepaged.c:__collapse_huge_page_copy_succeeded`); another process takes the CPU from it again and again, and with
/// that the slot. What it filled counts once. (A kernel that does not preempt itself lets no one in.)
pub fn khugepaged_is_interrupted() -> Outcome {
    const HUGE: u64 = 32;
    if Reason::NotAGuest.holds() {
        return Outcome::Skipped(Reason::NotAGuest);
    }
    if !thp::can_be_had() {
        return Outcome::Skipped(Reason::NoThp);
    }
    let in_one = (2 << 20) / page_size().unsigned_abs();
    let mut meter = open(FullOptions::default());
    let mut invariants = Invariants::default();
    let _settings = khugepaged_at_once();
    let mut helper = Helper::start();
    let mut interrupts = Helper::start();
    let cpu = allowed_cpus()[0];
    helper.pin(cpu);
    interrupts.pin(cpu);
    let _pinned = Pinned::to(cpu);
    let region = helper.map(Kind::Huge, HUGE * in_one);
    // A small one of its own: each order to write to it lets the process run, and khugepaged goes on with its mm.
    let turns = helper.map(Kind::Anon, 1);
    interrupts.begin_interrupting();
    let all = signed(region.pages);
    let end = Instant::now() + INTERRUPTED;
    let mut filled = 0;
    while Instant::now() < end {
        helper.give_up(&region, 0..region.pages);
        helper.advise(&region, 0..region.pages, libc::MADV_NOHUGEPAGE);
        for huge in 0..HUGE {
            helper.write(&region, huge * in_one..huge * in_one + 1);
        }
        helper.advise(&region, 0..region.pages, libc::MADV_HUGEPAGE);
        wait_until("khugepaged makes huge pages", || {
            helper.write(&turns, 0..1);
            let walk = Walk::of(helper.pid()).expect("read smaps");
            walk.within(&region.addresses(), |mapping| mapping.huge) == all
        });
        filled += HUGE;
        for _ in 0..2 {
            invariants.check(&mut meter.session.probe);
        }
    }
    println!("report: interruptions={}", interrupts.end_storm());
    println!("report: filled={filled}");
    assert!(meter.idle(helper.pid()).shadow.is_some(), "it has a shadow");
    invariants.end(&mut meter.session, "khugepaged");
    Outcome::Passed
}

/// khugepaged on one CPU. Dropping it lets it go to all again.
struct Pinned(Pid, CpuSet);

impl Pinned {
    fn to(cpu: usize) -> Self {
        let pid = khugepaged();
        let before = sched_getaffinity(pid).expect("ask for khugepaged's CPUs");
        let mut set = CpuSet::new();
        set.set(cpu).and_then(|()| sched_setaffinity(pid, &set)).expect("pin khugepaged");
        Self(pid, before)
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        sched_setaffinity(self.0, &self.1).expect("let khugepaged go");
    }
}

fn khugepaged() -> Pid {
    let named = fs::read_dir("/proc").expect("list processes").filter_map(Result::ok).find(|entry| {
        fs::read_to_string(entry.path().join("comm")).is_ok_and(|comm| comm.trim_end() == "khugepaged")
    });
    let name = named.expect("there is khugepaged").file_name();
    Pid::from_raw(name.to_str().and_then(|name| name.parse().ok()).expect("a pid"))
}

/// Figures of an mm that took the address of another, which was several times as large: none of them is that one's. By so
/// many pages it was larger than now at most.
fn has_its_own(meter: &mut Meter, pid: u32, new: &IdleProcess, old: &ShadowRecord, shrunk: i64) {
    let record = shadow(meter, pid);
    assert_ne!(record.id, old.id, "another mm has another state");
    let error = (record.active_max - 1).max(0) * signed(most_pending(meter));
    let peak = record.peak_exact - new.printed.rollup;
    assert!((0..=shrunk + error).contains(&peak), "{peak} above its largest, {error} allowed: {record:?}");
    let own = 2 * new.printed.rollup.unsigned_abs();
    for (figure, of_the_old) in [(record.churn, old.churn), (record.updates(), old.updates())] {
        assert!(figure > 0 && figure < own && own < of_the_old, "{own}: {record:?} after {old:?}");
    }
}

/// The most that a CPU can hold back of what another one counts already, in pages of RSS.
fn most_pending(meter: &Meter) -> u64 {
    let kernel = &meter.session.kernel;
    let twice = if kernel.accounting == Accounting::PerTask { 66 * 16 } else { 0 };
    3 * (kernel.cpus.batch() - 1) + twice
}

/// Kills a child of a helper's, and waits until it has no memory any more.
fn end(pid: u32) {
    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).expect("kill a process of ours");
    wait_until("a killed process ends", || {
        fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
    });
}
