//! The uncertainty of a row, which is the growth of the churn between two readings, covers every movement between them.

use crate::{
    common::World,
    host::{Config, PEAKS, Quiet, narrow},
    percpu::{MM, STANDING, anon, scenario},
};
use rss_drift_common::shadow::SHADOW_VALID;

/// Figures that churn does not depend on.
const QUIET: Quiet = STANDING.with(PEAKS).and(&["active"]);

/// What the first of two readings reads first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum First {
    /// What comes before its figures is counted as a movement after it.
    Churn,
    /// The kernel's counters, as the iterator does.
    Exact,
}

/// Two readings, while CPUs make these updates and idle. `holds`: what is pending on those CPUs whose slots hold the mm.
pub(crate) fn covers(
    name: &'static str,
    first: First,
    holds: &'static [&'static [i32]],
    updates: &'static [&'static [i32]],
    switches: u32,
) {
    let config = Config { instants: true, ..anon(updates.len(), 3, QUIET) };
    let begin = move |host: &World| {
        for (cpu, pending) in (0..).zip(holds) {
            host.runs(cpu, MM, pending);
        }
    };
    let cpus = (0..).zip(updates).fold(scenario(name, config, begin), |scenario, (cpu, deltas)| {
        scenario.cpu(cpu, move |host| {
            let cpu = narrow(cpu as u64);
            host.updates(cpu, MM, deltas);
            host.switch(cpu, 0);
        })
    });
    cpus.reader(move |host| check_two_readings(host, first)).daily(switches);
}

fn check_two_readings(host: &World, first: First) {
    let early = (first == First::Exact).then(|| host.read_exact(MM));
    let before = host.read(0, MM);
    let first = early.unwrap_or_else(|| host.read_exact(MM));
    host.watch(MM);
    let second = host.read_exact(MM);
    let (low, high) = host.mm(MM).range();
    let after = host.read(0, MM);
    let valid = first.valid && second.valid && before.flags & after.flags & SHADOW_VALID != 0;
    let uncertainty =
        early.map_or(after.churn - before.churn, |early| after.moved_since(early.rss(), &before));
    let uncertainty = i64::try_from(uncertainty).expect("a small number");
    let moved = (second.rss() - first.rss()).abs();
    assert!(!valid || moved <= uncertainty, "moved by {moved}, uncertainty {uncertainty}");
    let moved = (low - first.rss()).abs().max((high - first.rss()).abs());
    assert!(!valid || moved <= uncertainty, "moved by {moved} in between, uncertainty {uncertainty}");
}

/// The reader's refresh takes a delta before its event.
#[test]
fn one_cpu_is_covered() {
    covers("one CPU", First::Churn, &[&[1]], &[&[1]], 3);
}

#[test]
fn a_fold_is_covered() {
    covers("a fold", First::Churn, &[&[2]], &[&[1]], 2);
}

#[test]
fn two_cpus_are_covered() {
    covers("two CPUs", First::Churn, &[&[], &[]], &[&[1], &[-1]], 2);
}
