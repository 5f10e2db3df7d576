//! Peaks that no event raises: the first one, when a state is seeded, and that of a reading which found what no event told.

use crate::{
    common::{Scenario, World},
    host::{ANON, Check as _, Config, at},
    peaks,
    percpu::{MM, scenario},
};
use rss_drift_common::member::rss;

/// The reader makes the state of an mm, while CPU 0 changes it: an event before the state is seeded raises no peak.
#[test]
fn the_first_peak_has_what_is_pending() {
    for before in [0, 1, 2] {
        let usual = peaks::config(1, 3);
        let config = Config { quiet: usual.quiet.without(&["id", "index", "seeded"]), ..usual };
        Scenario::new("the first peak", config, move |host| {
            host.kernel_update(0, MM, ANON, 4);
            host.switch(0, MM);
            host.kernel_update(0, MM, ANON, before);
            host.mm(MM).peak_exact.poke(4 + i64::from(before));
            host.mm(MM).peak_drift.poke(before.into());
        })
        .updates(0, MM, &[1])
        .reads(0, MM)
        .end(check_first_peaks)
        .daily(3);
    }
}

/// The peaks begin somewhere between the first sum and the last.
fn check_first_peaks(host: &World) {
    let state = host.state_now(at(host.table.find(MM).expect("it has a state")));
    let error = (state.active_max - 1).max(0) * 3 * 2;
    let mm = host.mm(MM);
    let now = rss(&mm.truth());
    let range = now - error..=mm.peak_exact.peek() + error;
    assert!(range.contains(&state.peak_exact), "RSS {} in {range:?}, {error}", state.peak_exact);
    let drift = (now - rss(&mm.counts())).abs();
    let range = drift - error..=mm.peak_drift.peek() + error;
    assert!(range.contains(&state.peak_drift), "drift {} in {range:?}, {error}", state.peak_drift);
}

/// A reading finds an update without an event, and agrees with the next one. Then an update folds: the approximate reader's figure is of
/// another instant.
#[test]
fn a_readings_peak_is_of_one_instant() {
    let begin = |host: &World| {
        host.runs(0, MM, &[]);
        host.kernel_update(0, MM, ANON, 1);
    };
    scenario("a reading's peak", peaks::config(1, 3), begin)
        .updates(0, MM, &[2])
        .reads(0, MM)
        .end(|host| {
            let (peak, largest) = (host.state_now(0).peak_drift, host.mm(MM).peak_drift.peek());
            assert!(peak <= largest, "a drift of {peak} that never was: at most {largest}");
        })
        .daily(3);
}
