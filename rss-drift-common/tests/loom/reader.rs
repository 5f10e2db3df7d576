//! A reading beside what another CPU does.

use crate::{
    host::{APART, COUNTED, Check as _, Config, OWNERS, PEAKS, Quiet},
    search::{Bounds, MM, OTHER, Scenario, World},
};
use rss_drift_common::shadow::SHADOW_VALID;

/// What the reader leaves alone, or nobody else does anything with.
const UNREAD: Quiet = OWNERS.and(&["deferred", "reader", "pass", "visited", "seeded", "repaired"]);
const FIGURES: Quiet = UNREAD.with(PEAKS).with(COUNTED).with(APART).and(&["active", "mm", "index"]);

/// As [`FIGURES`], and the kernel's counters: nothing changes them.
const STILL: Quiet = FIGURES.and(&["lock", "count", "slot", "global", "seen"]);

/// A reading on CPU 0 beside what CPU 1 does, whose slot has a page pending. A valid one is true.
fn beside(name: &'static str, config: Config, work: impl Fn(&World) + Send + Sync + 'static) -> Scenario {
    // The first update is in the totals, as it made the state; the second one is pending.
    Scenario::new(name, config, |host| host.runs(1, MM, &[1, 1]))
        .cpu(1, work)
        .reader(|host| {
            let record = host.read(0, MM);
            let (read, after) = (record.shadow[1], host.mm(MM).truth()[1]);
            let valid = record.flags & SHADOW_VALID != 0;
            assert!(!valid || (2..=after).contains(&read), "{read} is not within 2 and {after}");
        })
        .end(|host| _ = host.check_read(MM))
}

fn still() -> Config {
    Config { mms: 2, batch: 8, threshold: 8, ..Config::anon(STILL) }
}

#[test]
fn a_valid_reading_beside_a_publication_is_true() {
    beside("reading and publication", still(), |host| host.switch(1, 0))
        .search(Bounds { daily: Some(3), all: None });
}

#[test]
fn a_valid_reading_beside_a_flush_is_true() {
    beside("reading and flush", still(), |host| host.switch(1, OTHER))
        .search(Bounds { daily: Some(3), all: None });
}

/// The other CPU's slot comes back with the same mm: mark and id are as before.
#[test]
fn a_valid_reading_beside_two_switches_is_true() {
    beside("reading, flush and back", still(), |host| {
        host.switch(1, OTHER);
        host.runs(1, MM, &[1]);
    })
    .search(Bounds { daily: Some(2), all: Some(3) });
}

/// The event publishes at its end.
#[test]
fn a_valid_reading_beside_an_event_is_true() {
    let config = Config { batch: 8, threshold: 2, ..Config::anon(FIGURES) };
    beside("reading and event", config, |host| host.updates(1, MM, &[1]))
        .search(Bounds { daily: Some(2), all: Some(3) });
}

/// The event folds: the reader can take the count from it, and not the slot.
#[test]
fn a_valid_reading_beside_a_fold_is_true() {
    let config = Config { batch: 3, threshold: 8, ..Config::anon(FIGURES) };
    beside("reading and fold", config, |host| host.updates(1, MM, &[1]))
        .search(Bounds { daily: Some(2), all: Some(3) });
}

/// The reader says that it is settling in one step with a full barrier: with a plain store, which others may see only after it has read a
/// slot, an event that folds in between finds the state settled, and the reader's delta, which it has yet to take back, in the totals.
#[test]
fn a_reading_beside_a_fold_raises_no_peak() {
    const QUIET: Quiet = UNREAD.with(COUNTED).with(APART).and(&[
        "peak_exact",
        "peak_drift",
        "approximate",
        "active_cpus",
        "active_max",
        "entered",
        "active",
        "mm",
        "index",
        "id",
        "publications",
        "flushes",
    ]);
    let config = Config { batch: 3, threshold: 8, peaks: true, ..Config::anon(QUIET) };
    Scenario::new("peak of a reading and fold", config, |host| host.runs(1, MM, &[2]))
        .updates(1, MM, &[1])
        .reads(0, MM)
        .end(no_peak_is_too_large)
        .search(Bounds { daily: Some(2), all: Some(3) });
}

/// The peak is no more than the largest true sum and what is printed as its error.
fn no_peak_is_too_large(host: &World) {
    let record = host.read(0, MM);
    let error = (record.active_max - 1).max(0) * 3 * i64::from(host.config.batch - 1);
    let (peak, most) = (record.peak_exact, host.mm(MM).peak_exact.peek());
    assert!(peak <= most + error, "{peak} is more than {most}, error {error}");
}
