//! The exact reader's rule, which reads the kernel's counters alone.

use std::collections::BTreeSet;

use crate::{
    host::{ANON, Check as _, Config, Quiet, at, narrow},
    search::{Bounds, MM, Scenario, WHOLE},
};

/// A reading beside updates of other CPUs by these deltas, each by a list of its own. `slots`: what lies in the slots before.
fn beside(name: &'static str, slots: &'static [i32], deltas: &'static [&'static [i32]], bounds: Bounds) {
    let config = Config { cpus: slots.len(), batch: 2, ..Config::anon(Quiet::default()) };
    let scenario = Scenario::new(name, config, move |host| {
        for (slot, &pages) in host.mm(MM).slots.iter().zip(slots) {
            slot[at(ANON)].poke(pages);
        }
    });
    let cpus = (0..).zip(deltas).fold(scenario, |scenario, (cpu, deltas)| {
        scenario.cpu(cpu, move |host| {
            deltas.iter().for_each(|&delta| host.kernel_update(narrow(cpu as u64), MM, ANON, delta));
        })
    });
    let true_sums = sums(slots.iter().copied().map(i64::from).sum(), deltas);
    cpus.reader(move |host| {
        let reading = host.read_exact(MM);
        let sum = reading.rss();
        assert!(!reading.valid || true_sums.contains(&sum), "{sum} is none of {true_sums:?}");
    })
    .search(bounds);
}

/// What the counter can come to, when each CPU has done some of its updates.
fn sums(before: i64, deltas: &[&[i32]]) -> BTreeSet<i64> {
    deltas.iter().fold(BTreeSet::from([before]), |sums, deltas| {
        let done = (0..=deltas.len()).map(|done| deltas[..done].iter().copied().map(i64::from).sum::<i64>());
        done.flat_map(|done| sums.iter().map(move |sum| sum + done)).collect()
    })
}

/// The fold can come between any two of the reader's steps.
#[test]
fn a_valid_exact_reading_beside_a_fold_is_true() {
    beside("exact reading and fold", &[1], &[&[1]], WHOLE);
}

#[test]
fn a_valid_exact_reading_beside_two_folds_is_true() {
    beside("exact reading and two folds", &[1], &[&[1, 2]], WHOLE);
}

#[test]
fn a_valid_exact_reading_beside_two_cpus_is_true() {
    let bounds = Bounds { daily: Some(3), all: None };
    beside("exact reading and two CPUs", &[1, 1], &[&[1], &[1]], bounds);
}
