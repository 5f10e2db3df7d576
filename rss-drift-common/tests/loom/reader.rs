//! A reading beside what another CPU does.

use crate::{
    host::{ANON, Config, Host, Quiet, address},
    loom_words::Loom,
    search::{Bounds, search},
};
use loom::{sync::Arc, thread};
use rss_drift_common::{protocol::percpu::events, shadow::SHADOW_VALID};

const ONLY_ANON: [bool; 4] = [false, true, false, false];

/// What the reader leaves alone, or nobody else does anything with.
const FIGURES: Quiet = Quiet::of(&[
    "misses",
    "churn",
    "faults",
    "cpus",
    "active",
    "active_max",
    "peak_exact",
    "peak_drift",
    "deferred",
    "rss",
    "approximate",
    "entered",
    "reader",
    "pass",
    "visited",
    "looked",
    "looked_at",
    "tgid",
    "owned",
    "seeded",
    "repaired",
    "live",
    "mm",
    "index",
    "hits",
]);

/// As [`FIGURES`], and the kernel's counters: nothing changes them.
const STILL: Quiet = Quiet::of(&[
    "misses",
    "churn",
    "faults",
    "cpus",
    "active",
    "active_max",
    "peak_exact",
    "peak_drift",
    "deferred",
    "rss",
    "approximate",
    "entered",
    "reader",
    "pass",
    "visited",
    "looked",
    "looked_at",
    "tgid",
    "owned",
    "seeded",
    "repaired",
    "live",
    "mm",
    "index",
    "hits",
    "lock",
    "count",
    "slot",
    "global",
    "seen",
]);

/// A reading on CPU 0 beside what CPU 1 does, whose slot has a page pending. A valid one is true.
fn beside(config: &Config, work: fn(&Host<Loom>)) {
    let mm = address(0);
    let host = Arc::new(Host::<Loom>::new(config));
    events::switched(&host.program(1), mm);
    // The first update is in the totals, as it made the state; the second one is pending.
    host.update(1, mm, ANON, 1);
    host.update(1, mm, ANON, 1);
    let others = Arc::clone(&host);
    let before = host.mm(mm).truth()[1];
    let other = thread::spawn(move || work(&others));
    let record = host.read(0, mm);
    let after = host.mm(mm).truth()[1];
    other.join().expect("the other CPU's program ends");
    if record.flags & SHADOW_VALID != 0 {
        let read = record.shadow[1];
        assert!((before..=after).contains(&read), "{read} is not within {before} and {after}");
    }
    let record = host.read(0, mm);
    assert_eq!(record.shadow, host.mm(mm).truth());
    assert_eq!(record.flags, SHADOW_VALID);
}

fn still() -> Config {
    Config { members: ONLY_ANON, quiet: STILL, mms: 2, batch: 8, threshold: 8, ..Config::default() }
}

#[test]
fn a_valid_reading_beside_a_publication_is_true() {
    search("reading and publication", Bounds { daily: Some(3), all: None }, || {
        beside(&still(), |host| events::switched(&host.program(1), 0));
    });
}

#[test]
fn a_valid_reading_beside_a_flush_is_true() {
    search("reading and flush", Bounds { daily: Some(3), all: None }, || {
        beside(&still(), |host| events::switched(&host.program(1), address(1)));
    });
}

/// The other CPU's slot comes back with the same mm: mark and id are as before.
#[test]
fn a_valid_reading_beside_two_switches_is_true() {
    search("reading, flush and back", Bounds { daily: Some(2), all: Some(3) }, || {
        beside(&still(), |host| {
            events::switched(&host.program(1), address(1));
            events::switched(&host.program(1), address(0));
            host.update(1, address(0), ANON, 1);
        });
    });
}

/// The event publishes at its end.
#[test]
fn a_valid_reading_beside_an_event_is_true() {
    search("reading and event", Bounds { daily: Some(2), all: Some(3) }, || {
        let config =
            Config { members: ONLY_ANON, quiet: FIGURES, batch: 8, threshold: 2, ..Config::default() };
        beside(&config, |host| host.update(1, address(0), ANON, 1));
    });
}

/// The event folds: the reader can take the count from it, and not the slot.
#[test]
fn a_valid_reading_beside_a_fold_is_true() {
    search("reading and fold", Bounds { daily: Some(2), all: Some(3) }, || {
        let config =
            Config { members: ONLY_ANON, quiet: FIGURES, batch: 3, threshold: 8, ..Config::default() };
        beside(&config, |host| host.update(1, address(0), ANON, 1));
    });
}
