//! Whose mm a CPU's slot holds where no switch told of it, and the peaks of an mm that another CPU changes.

use std::fs;

use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};
use rss_drift::{
    kernel::Accounting,
    probe::{FullOptions, Publish},
    proc::{Source, Wanted},
};
use rss_drift_common::shadow::ShadowRecord;

use super::shadow::{counts, open, shadow};
use crate::{
    harness::{Outcome, Reason, allowed_cpus},
    helper::{Helper, Kind, Region},
    measure::{Meter, wait_until},
    remote::write_into,
    truth::{Walk, stat_field},
};

/// A task that runs on its CPU when the BPF programs attach, and is not switched: its updates are hits from the first one on, as the slot
/// learns its mm by that.
pub fn a_task_that_runs_when_we_attach() -> Outcome {
    const PAGES: u64 = 64;
    /// So often it is attached.
    const ROUNDS: u32 = 3;
    let cpus = allowed_cpus();
    if cpus.len() < 2 {
        return Outcome::Skipped(Reason::OneCpu);
    }
    stay_on(cpus[0]);
    for round in 0..ROUNDS {
        let mut helper = Helper::start();
        let pid = helper.pid();
        helper.pin(cpus[1]);
        let region = helper.map(Kind::Anon, PAGES);
        helper.begin_churning(&region, PAGES);
        wait_until("it runs", || faults_of(pid) > 10 * PAGES.cast_signed());
        let switches = switches_of(pid);
        let mut meter = open(FullOptions::default());
        let first = first_updates(&mut meter, pid);
        let was_switched = switches_of(pid) > switches;
        assert_hits(&first, round);
        let caught = counts(&meter).caught;
        println!(
            "report: hog_{round}_caught={caught}{}",
            if was_switched { ", switched meanwhile" } else { "" }
        );
        let per_cpu = meter.session.kernel.accounting == Accounting::PerCpu;
        // Where it was switched, that can have told the slot.
        assert!(caught > 0 || was_switched || !per_cpu, "no switch told of it: {first:?}");
        // Long enough for a switch or not: nothing changes by it.
        wait_until("it goes on", || {
            meter.snapshot().shadow(pid).is_some_and(|now| now.updates() > 2 * first.updates())
        });
        let later = *meter.snapshot().shadow(pid).expect("it is known");
        assert_hits(&later, round);
        println!("report: hog_{round}_hits={} of {}", later.hits, later.updates());
        assert!(helper.end_storm() > 0, "it ran");
    }
    Outcome::Passed
}

/// The first reading in which a process has had updates.
fn first_updates(meter: &mut Meter, pid: u32) -> ShadowRecord {
    let mut first = None;
    wait_until("updates", || {
        first = meter.snapshot().shadow(pid).filter(|shadow| shadow.updates() > 20).copied();
        first.is_some()
    });
    first.expect("it was waited for")
}

fn assert_hits(shadow: &ShadowRecord, round: u32) {
    assert!(shadow.hits * 100 >= shadow.updates() * 95, "round {round}: {shadow:?}");
}

/// A CPU that does not hold an mm changes it (`process_vm_writev`), while the CPU that does has pages pending, or has given up pages of
/// which nothing was told: the peak is within its error, which is not 0.
pub fn a_peak_that_another_cpu_raises() -> Outcome {
    let cpus = allowed_cpus();
    if cpus.len() < 2 {
        return Outcome::Skipped(Reason::OneCpu);
    }
    stay_on(cpus[0]);
    let mut meter = open(FullOptions::default());
    let error_of_one = {
        let rules = meter.session.rules(Source::Stat, Wanted::default());
        i64::try_from(rules.unpublished(Publish::Batches)).expect("pages")
    };
    // Below a batch; or beyond, and back below what was told.
    for (name, written, given_up) in [("under", 20, 0), ("over", 40, 31)] {
        let (truth, record) = raise_from_outside(&mut meter, cpus[1], written, given_up);
        // As it is printed (`peak_error`): per-task accounting measures its own.
        let measured = i64::try_from(record.peak_error).expect("pages");
        let error = (record.active_max - 1).max(0) * error_of_one + measured;
        println!("report: remote_{name}=peak {} +- {error}, true {truth} pages", record.peak_exact);
        assert!(error > 0, "{name}: two CPUs changed it: {record:?}");
        assert!((record.peak_exact - truth).abs() <= error, "{name}: {truth} +- {error}: {record:?}");
    }
    Outcome::Passed
}

/// The largest true sum, by a walk of the page tables, and what the shadow says at the end: of a process that kept its CPU all the time.
fn raise_from_outside(meter: &mut Meter, cpu: usize, written: u64, given_up: u64) -> (i64, ShadowRecord) {
    const PAGES: u64 = 2000;
    /// Somebody else can take the CPU: then what is pending is told.
    const ATTEMPTS: u32 = 100;
    for _ in 0..ATTEMPTS {
        let mut helper = Helper::start();
        let pid = helper.pid();
        helper.pin(cpu);
        let [own, room] = [64, PAGES].map(|pages| helper.map(Kind::Anon, pages));
        // The page tables are there.
        for region in [&own, &room] {
            touch(&mut helper, region);
        }
        meter.idle(pid);
        helper.begin_spinning(&own, written, given_up);
        let switches = switches_of(pid);
        write_into(pid, &room, PAGES).expect("process_vm_writev");
        let truth = Walk::of(pid).expect("read smaps").rss();
        let kept = switches_of(pid) == switches;
        helper.end_storm();
        let record = shadow(meter, pid);
        if kept {
            return (truth, record);
        }
    }
    panic!("it lost its CPU {ATTEMPTS} times");
}

fn touch(helper: &mut Helper, region: &Region) {
    helper.write(region, 0..1);
    helper.give_up(region, 0..1);
}

fn stay_on(cpu: usize) {
    let mut set = CpuSet::new();
    set.set(cpu).and_then(|()| sched_setaffinity(Pid::from_raw(0), &set)).expect("stay on a CPU");
}

/// Minor faults of a process so far.
fn faults_of(pid: u32) -> i64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process that lives");
    stat_field(&stat, 10).expect("its faults")
}

/// How often a process has left its CPU.
fn switches_of(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process that lives");
    status
        .lines()
        .filter(|line| line.contains("ctxt_switches:"))
        .map(|line| {
            line.split_whitespace().nth(1).and_then(|word| word.parse::<u64>().ok()).expect("a number")
        })
        .sum()
}
