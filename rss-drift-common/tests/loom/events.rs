//! Events of several CPUs at once.

use crate::{
    host::{ANON, Check as _, Config, Host, Quiet, address},
    loom_words::Loom,
    search::{Bounds, WHOLE, search},
};
use loom::{sync::Arc, thread};
use rss_drift_common::protocol::percpu::events;

const ONLY_ANON: [bool; 4] = [false, true, false, false];

/// What no check is about, and no step depends on.
const FIGURES: Quiet = Quiet::of(&[
    "hits",
    "misses",
    "churn",
    "faults",
    "flushes",
    "cpus",
    "active",
    "active_max",
    "peak_exact",
    "peak_drift",
    "deferred",
    "rss",
    "approximate",
    "entered",
]);

/// A host on which the first `holders` CPUs hold the mm, after an update each.
fn host(config: &Config, holders: u32) -> Host<Loom> {
    let host = Host::new(config);
    for cpu in 0..holders {
        events::switched(&host.program(cpu), address(0));
        host.update(cpu, address(0), ANON, 1);
    }
    host
}

/// Nothing is lost, and nothing is left for a reading to correct.
fn check(host: &Host<Loom>) {
    let mm = address(0);
    let record = host.read(0, mm);
    assert_eq!((record.shadow, record.repaired), (host.mm(mm).truth(), 0));
    assert_eq!(host.state_now(0).global, host.mm(mm).counts());
    assert_eq!((record.updates(), host.all_counts_now().unsettled), (host.mm(mm).events.peek(), 0));
}

/// CPU 0 and CPU 1 update the mm by so many pages at once.
fn together(host: Host<Loom>, deltas: [i32; 2]) {
    let host = Arc::new(host);
    let others = Arc::clone(&host);
    let other = thread::spawn(move || others.update(1, address(0), ANON, deltas[1]));
    host.update(0, address(0), ANON, deltas[0]);
    other.join().expect("the other CPU's event ends");
    check(&host);
}

/// One of them folds.
#[test]
fn two_cpus_lose_nothing_with_a_fold() {
    search("two CPUs, one fold", WHOLE, || {
        let config = Config { members: ONLY_ANON, quiet: FIGURES, batch: 2, ..Config::default() };
        together(host(&config, 2), [1, -1]);
    });
}

/// Both fold: load and exchange of the count's mirror are two steps, and who exchanges last has to leave the last count.
#[test]
fn two_folds_leave_the_last_count() {
    search("two folds", WHOLE, || {
        let config = Config { members: ONLY_ANON, quiet: FIGURES, batch: 2, ..Config::default() };
        together(host(&config, 2), [1, 1]);
    });
}

/// The slots are quiet here: each CPU has its own. The first CPU has folded before: three that wait for one lock would be searched in vain.
#[test]
fn three_folds_leave_the_last_count() {
    const QUIET: Quiet = Quiet::of(&[
        "hits",
        "misses",
        "churn",
        "faults",
        "flushes",
        "cpus",
        "active",
        "active_max",
        "peak_exact",
        "peak_drift",
        "deferred",
        "rss",
        "approximate",
        "entered",
        "mm",
        "id",
        "index",
        "busy",
        "pending",
        "live",
        "seen",
        "slot",
        "publications",
        "totals",
        "seeded",
    ]);
    search("three folds", Bounds { daily: Some(2), all: Some(3) }, || {
        let config = Config { cpus: 3, members: ONLY_ANON, quiet: QUIET, batch: 1, ..Config::default() };
        let host = host(&config, 3);
        host.kernel_update(0, address(0), ANON, 1);
        let host = Arc::new(host);
        let others = [1, 2].map(|cpu| {
            let host = Arc::clone(&host);
            thread::spawn(move || host.update(cpu, address(0), ANON, 1))
        });
        host.event(0, address(0), ANON);
        for other in others {
            other.join().expect("the other CPU's event ends");
        }
        check(&host);
    });
}

/// The other CPU's slot does not hold the mm.
#[test]
fn a_hit_and_a_miss_lose_nothing() {
    search("a hit and a miss", WHOLE, || {
        let config = Config { members: ONLY_ANON, quiet: FIGURES, batch: 2, ..Config::default() };
        together(host(&config, 1), [1, -2]);
    });
}
