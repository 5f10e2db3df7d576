//! per-task accounting: the mirror of an mm's counts has no operation that reads and writes in one step.

use crate::{
    host::{ANON, Check as _, Config, Host, Quiet, address},
    loom_words::Loom,
    search::{Bounds, WHOLE, search},
};
use loom::{sync::Arc, thread};
use rss_drift_common::protocol::pertask::events;

const QUIET: Quiet = Quiet::of(&[
    "hits",
    "misses",
    "churn",
    "faults",
    "flushes",
    "cpus",
    "active",
    "active_max",
    "deferred",
    "rss",
    "approximate",
    "entered",
    "task",
    "seen",
    "births",
    "exact",
    "drift",
    "pages",
    "peak_exact",
    "peak_drift",
    "repaired",
    "lost",
    "pending",
    "index",
    "live",
    "mm",
    "cache",
    "task_mm",
    "id",
    "seeded",
    "owned",
    "busy",
]);

/// A direct update of the mm by a task with another one, or none, as reclaim does it.
fn update(host: &Host<Loom>, cpu: u32) {
    let mm = address(0);
    host.add_mm_counter(mm, ANON, 1, |count| {
        events::updated(&host.task_program(cpu), || Some(host.task(cpu as usize)), mm, ANON, count);
    });
}

/// So many CPUs update the mm, once each, after `first` updates.
fn together(cpus: u32, first: usize) {
    let members = [false, true, false, false];
    let config =
        Config { cpus: cpus as usize, tasks: cpus as usize, members, quiet: QUIET, ..Config::default() };
    let host = Host::<Loom>::new(&config);
    (0..first).for_each(|_| update(&host, 0));
    let host = Arc::new(host);
    let others: Vec<_> = (1..cpus)
        .map(|cpu| {
            let host = Arc::clone(&host);
            thread::spawn(move || update(&host, cpu))
        })
        .collect();
    update(&host, 0);
    for other in others {
        other.join().expect("the other CPU's event ends");
    }
    let index = usize::try_from(host.table[0].peek()).expect("a small number") - 1;
    assert_eq!(host.state_now(index).global, host.mm(address(0)).counts());
    assert_eq!(host.all_counts_now().unsettled, 0);
}

/// Who stores last has seen the last count.
#[test]
fn the_last_count_stands_after_two_cpus() {
    search("two direct updates", WHOLE, || together(2, 1));
}

/// One of them makes the state.
#[test]
fn the_last_count_stands_in_a_new_state() {
    search("two direct updates of a new state", Bounds { daily: Some(3), all: None }, || together(2, 0));
}

#[test]
fn the_last_count_stands_after_three_cpus() {
    search("three direct updates", Bounds { daily: Some(3), all: Some(4) }, || together(3, 1));
}
