//! The exact reader: what passes as valid is a sum that the mm had.

use crate::{
    common::{Scenario, World},
    host::{ANON, Config, Host, Quiet, Watch, address, narrow},
};
use rss_drift_common::memory::Word as _;

const MM: u64 = address(0);

/// A host whose CPUs' slots hold so many pages, with a batch of 3.
fn slots(host: &World, slots: &[i32]) {
    for (cpu, &pages) in (0..).zip(slots) {
        host.kernel_update(cpu, MM, ANON, pages);
    }
}

fn config(cpus: usize) -> Config {
    Config { cpus, batch: 3, instants: true, ..Config::anon(Quiet::default()) }
}

/// One reading, while each CPU makes its updates. `right`: what a valid one may be.
pub(crate) fn beside(
    name: &'static str,
    before: &'static [i32],
    updates: &'static [&[i32]],
    right: fn(&World, &Watch, i64) -> bool,
) -> Scenario {
    let begin = |host: &World| slots(host, before);
    let scenario = (0..).zip(updates).fold(
        Scenario::new(name, config(before.len()), begin),
        |scenario, (cpu, deltas)| {
            scenario.cpu(cpu, move |host| {
                for &delta in *deltas {
                    host.kernel_update(narrow(cpu as u64), MM, ANON, delta);
                }
            })
        },
    );
    scenario.reader(move |host| {
        let watch = host.watch(MM);
        let reading = host.read_exact(MM);
        assert!(!reading.valid || right(host, &watch, reading.rss()), "valid, and wrong: {reading:?}");
    })
}

/// As long as no two CPUs write: the sum of an instant.
fn of_an_instant(host: &World, _: &Watch, rss: i64) -> bool {
    host.mm(MM).had(rss)
}

/// Else of updates since the reading's begin.
pub(crate) fn of_updates(host: &World, watch: &Watch, rss: i64) -> bool {
    watch.reaches(host.mm(MM), rss)
}

/// A fold adds to the count, then empties its slot: no reading is valid that saw one of both.
#[test]
fn no_half_of_a_fold_is_valid() {
    beside("one fold", &[2], &[&[1]], of_an_instant).explore();
    beside("one fold of two slots", &[2, 1], &[&[1]], of_an_instant).explore();
}

/// Two folds, one after the other or at once.
#[test]
fn no_half_of_two_folds_is_valid() {
    beside("two folds", &[2, 2], &[&[1], &[1]], of_updates).explore();
    beside("a fold after a fold", &[2], &[&[1, 1, 2]], of_an_instant).explore();
}

/// Where nobody changes anything a reading is valid.
#[test]
fn what_is_idle_is_valid() {
    let host = Host::new(&config(2));
    slots(&host, &[1, -2]);
    host.mm(MM).count[1].set(7);
    let reading = host.read_exact(MM);
    assert!(reading.valid);
    assert_eq!(reading.rss(), 6);
}
