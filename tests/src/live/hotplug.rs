//! CPUs that go offline and come back while pages move.

use std::time::{Duration, Instant};

use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};
use rss_drift::{
    kernel::Accounting,
    probe::{FullOptions, Holder, Holders},
};
use rss_drift_common::{Member, member};

use super::shadow::open;
use crate::{
    command::{Running, run},
    guard::Setting,
    harness::{Outcome, Reason, allowed_cpus},
    helper::{Helper, Kind, Life},
    invariants::Invariants,
    measure::Meter,
    records::{Record, parse},
    truth::page_size,
};

/// Who holds pages of a process.
fn holders(meter: &mut Meter, pid: u32) -> Vec<Holders> {
    let read = meter.session.probe.holders(&[pid], &|| false);
    read.expect("read the slots").expect("nobody gives up")
}

/// The slot of a CPU that goes away is folded into the count, the bound follows the number of CPUs, and exact is right
/// before, meanwhile and afterwards.
pub fn cpus_that_go_and_come() -> Outcome {
    for reason in [Reason::NotAGuest, Reason::OneCpu] {
        if reason.holds() {
            return Outcome::Skipped(reason);
        }
    }
    let cpus = allowed_cpus();
    let (first, last) = (cpus[0], cpus[cpus.len() - 1]);
    let mut meter = open(FullOptions::default());
    let per_cpu = meter.session.kernel.accounting == Accounting::PerCpu;
    let mut invariants = Invariants::default();
    invariants.may_be_late();
    let mut storm = Helper::start();
    storm.begin_storm(50);

    // The helper begins where this process is, so that it has nothing in the last CPU's slot before it goes there.
    let mut set = CpuSet::new();
    set.set(first).and_then(|()| sched_setaffinity(Pid::from_raw(0), &set)).expect("stay on a CPU");
    let mut helper = Helper::start();
    helper.pin(first);
    let pid = helper.pid();
    let region = helper.map(Kind::Anon, 100);
    helper.write(&region, 0..7);
    helper.pin(last);
    helper.write(&region, 7..18);
    let before = meter.idle(pid);
    let online = online_cpus();
    assert_eq!(bound(&row(pid)), expected_bound(&meter, online));

    for round in 0..2 {
        let offline = take_offline(last);
        assert_eq!(online_cpus(), online - 1);
        for _ in 0..3 {
            invariants.check(&mut meter.session.probe);
        }
        let without = meter.idle(pid);
        assert_eq!(without.mm.exact(), before.mm.exact());
        if round == 0 {
            let folded = without.printed.stat - before.printed.stat;
            assert_eq!(folded, if per_cpu { 11 } else { 0 }, "a dead CPU's slot is in the count");
            // A session that begins now knows fewer CPUs and reads the same.
            let row = row(pid);
            assert_eq!(row.must("exact_bytes"), before.exact() * page_size());
            assert_eq!(bound(&row), expected_bound(&meter, online - 1));
        }
        drop(offline);
        assert_eq!(online_cpus(), online);
        invariants.check(&mut meter.session.probe);
    }

    // The CPU that is back has a slot as before.
    helper.pin(last);
    let back = meter.idle(pid);
    helper.write(&region, 18..23);
    let after = meter.idle(pid);
    assert_eq!(after.exact() - back.exact(), 5);
    if per_cpu {
        assert_eq!(after.printed.stat, back.printed.stat, "the new pages are in the CPU's slot");
    }
    storm.end_storm();
    invariants.check(&mut meter.session.probe);
    Outcome::Passed
}

/// A peak of drift is believed up to what the CPUs that are online can hold: also of those that came online after the attach.
pub fn a_peak_of_drift_on_more_cpus_than_at_the_attach() -> Outcome {
    /// Rows that are looked at for the drift: five a second.
    const ROWS: u32 = 500;
    for reason in [Reason::NotAGuest, Reason::OneCpu, Reason::PerTask] {
        if reason.holds() {
            return Outcome::Skipped(reason);
        }
    }
    let cpus = allowed_cpus();
    let mut set = CpuSet::new();
    set.set(cpus[0]).and_then(|()| sched_setaffinity(Pid::from_raw(0), &set)).expect("stay on a CPU");
    let offline: Vec<_> = cpus[cpus.len() / 2..].iter().map(|&cpu| take_offline(cpu)).collect();
    let mut helper = Helper::start();
    let pid = helper.pid();
    let watched = pid.to_string();
    let words = ["-p", &watched, "-i", "0.2", "--format", "csv"];
    let mut running = Running::start(&words);
    let header = running.line().expect("the header");
    let mut next = || {
        let line = running.line().expect("a row");
        parse(&(header.clone() + &line)).pop().expect("a row")
    };
    let of_fewer = bound(&next());
    drop(offline);
    // The bound follows at a reading.
    while bound(&next()) == of_fewer {}
    fill_slots(&mut helper, &cpus);
    // Those that were written meanwhile come first.
    let pages = |row: &Record, name: &str| row.must(name).unsigned_abs() / page_size().unsigned_abs();
    let late = (0..ROWS).map(|_| next()).find(|row| pages(row, "drift_bytes") > of_fewer);
    let row = late.unwrap_or_else(|| panic!("no drift beyond {of_fewer} pages: {:?}", next()));
    let [drift, peak] = ["drift_bytes", "peak_drift_bytes"].map(|name| pages(&row, name));
    println!("report: drift_of_more_cpus={drift} peak={peak} bound_of_fewer={of_fewer} pages");
    assert!(peak >= drift, "{peak} of {drift} pages: {row:?}");
    running.kill();
    Outcome::Passed
}

/// The slots of anonymous and of shared memory hold a page less than a batch on every CPU.
fn fill_slots(helper: &mut Helper, cpus: &[usize]) {
    let pid = helper.pid();
    let most = (2 * online_cpus()).max(32).cast_signed() - 1;
    // Passive: its readings change nothing.
    let mut meter = Meter::open();
    for (kind, member) in [(Kind::Anon, Member::Anon), (Kind::Shmem, Member::Shmem)] {
        for &cpu in cpus {
            let region = helper.map(kind, 2 * most.unsigned_abs());
            helper.pin(cpu);
            let list = holders(&mut meter, pid).pop().expect("a list");
            let is_this =
                |holder: &Holder| matches!(holder, Holder::Cpu(number) if u32::try_from(cpu) == Ok(*number));
            let held = list.held.iter().find(|(holder, _)| is_this(holder));
            let held = held.map_or(0, |(_, pages)| pages[member.index()]);
            helper.write(&region, 0..(most - held).unsigned_abs());
        }
    }
}

/// All CPUs but one (of many, as many as a while allows) go one after the other under load, and come back: what their slots held is in the counts with no event
/// that told of it, and counts once.
pub fn all_cpus_but_one_under_load() -> Outcome {
    const THREADS: u64 = 2;
    const PAGES: u64 = 7;
    const WHILE: Duration = Duration::from_secs(20);
    for reason in [Reason::NotAGuest, Reason::OneCpu] {
        if reason.holds() {
            return Outcome::Skipped(reason);
        }
    }
    let cpus = allowed_cpus();
    let mut meter = open(FullOptions::default());
    let per_cpu = meter.session.kernel.accounting == Accounting::PerCpu;
    let mut invariants = Invariants::default();
    let mut storms = [Helper::start_as("live-storm"), Helper::start_as("live-flood")];
    let mut grows = Helper::start();
    let room = grows.map(Kind::Anon, 1000);

    let mut set = CpuSet::new();
    set.set(cpus[0]).and_then(|()| sched_setaffinity(Pid::from_raw(0), &set)).expect("stay on a CPU");
    let mut helper = Helper::start();
    let pid = helper.pid();
    // From here on it may go to all of them.
    let mut all = CpuSet::new();
    for &cpu in &cpus {
        all.set(cpu).expect("a CPU's number");
    }
    sched_setaffinity(Pid::from_raw(pid.cast_signed()), &all).expect("allow all CPUs");
    let touched = storms[1].map(Kind::Anon, PAGES);
    storms[0].begin_storm(200);
    storms[1].begin_flood(Life::Fork, u64::MAX >> 1, &touched, PAGES);
    // Every CPU's slot gets some, and fewer than a batch.
    let region = helper.map(Kind::Anon, THREADS * PAGES * cpus.len() as u64);
    helper.hop(THREADS, &region, PAGES);
    let before = meter.idle(pid);
    let slots = holders(&mut meter, pid).pop().expect("it has some");

    let began = Instant::now();
    invariants.may_be_late();
    let mut offline = Vec::new();
    for &cpu in cpus[1..].iter().rev() {
        if began.elapsed() > WHILE {
            break;
        }
        offline.push(take_offline(cpu));
        grows.write(&room, 0..1000);
        grows.give_up(&room, 0..1000);
        invariants.check(&mut meter.session.probe);
    }
    println!("report: cpus_taken_offline={}", offline.len());
    assert_eq!(online_cpus(), (cpus.len() - offline.len()) as u64);
    let without = meter.idle(pid);
    assert!(without.shadow.is_some(), "it has a shadow");
    assert_eq!(without.mm.exact(), before.mm.exact());
    let folded = without.printed.stat - before.printed.stat;
    if per_cpu {
        let gone = &cpus[cpus.len() - offline.len()..];
        let of_gone = |holder: &Holder| matches!(holder, Holder::Cpu(cpu) if gone.iter().any(|&it| u32::try_from(it) == Ok(*cpu)));
        let held = slots.held.iter().filter(|(holder, _)| of_gone(holder));
        let held: i64 = held.map(|(_, pages)| member::rss(pages)).sum();
        assert_eq!(folded, held, "what the dead CPUs' slots held is in the count: {slots:?}");
        // Beside what the threads themselves took where they happened to run.
        let touched = i64::try_from(offline.len() as u64 * THREADS * PAGES).expect("pages");
        assert!(held >= touched, "{held} pages in the slots, {touched} were touched there");
    } else {
        assert_eq!(folded, 0, "a task's cache is no CPU's");
    }
    while let Some(cpu) = offline.pop() {
        drop(cpu);
        invariants.check(&mut meter.session.probe);
    }
    assert_eq!(online_cpus(), cpus.len() as u64);
    grows.write(&room, 0..1000);
    for pid in [pid, grows.pid()] {
        assert!(meter.idle(pid).shadow.is_some(), "it has a shadow");
    }
    let lives: u64 = storms.iter_mut().map(Helper::end_storm).sum();
    println!("report: hotplug_lives={lives}");
    invariants.end(&mut meter.session, "hotplug");
    Outcome::Passed
}

fn take_offline(cpu: usize) -> Setting {
    Setting::change(&format!("/sys/devices/system/cpu/cpu{cpu}/online"), "0").expect("take a CPU offline")
}

/// What the C library counts.
fn online_cpus() -> u64 {
    // SAFETY: sysconf has no preconditions.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) }).expect("CPUs")
}

/// The row of a process, of a run of its own.
fn row(pid: u32) -> Record {
    let done = run(&["-p", &pid.to_string(), "-n", "1", "--resident", "--format", "csv"]);
    done.must_be_fine();
    let row = parse(&done.stdout).pop().expect("a row");
    assert_eq!(row.must("exact_bytes"), row.must("resident_bytes"));
    row
}

fn bound(row: &Record) -> u64 {
    row.must("bound_bytes").unsigned_abs() / page_size().unsigned_abs()
}

/// Pages: three members, each of which has a slot on every online CPU that holds less than the batch; or one thread's
/// faults on files, of 16 pages each.
fn expected_bound(meter: &Meter, online: u64) -> u64 {
    match meter.session.kernel.accounting {
        Accounting::PerCpu => 3 * online * ((2 * online).max(32) - 1),
        Accounting::PerTask => 66 * 16,
    }
}
