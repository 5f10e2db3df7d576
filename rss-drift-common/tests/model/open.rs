//! Steps close to each other that a reader, or another CPU, falls between. Those that the protocol does not hold yet say so
//! (`should_panic`): the model still finds them, and tells when it does not any more.

use crate::{
    common::{Scenario, World},
    exact,
    host::Config,
    peaks,
    percpu::{MM, anon, scenario},
    sums,
    uncertainty::{First, covers},
};
use rss_drift_common::{
    memory::Memory as _,
    protocol::handle::Handle,
    shadow::{SHADOW_UNSETTLED, SHADOW_VALID},
};

/// Not held: two folds that leave the count as it was pass as no fold. A reading that saw the slot of one before its fold and that of the
/// other after it is valid.
#[test]
#[should_panic(expected = "valid, and wrong")]
fn no_half_of_opposite_folds_is_valid() {
    exact::beside("opposite folds", &[2, -2], &[&[1], &[-1]], exact::of_updates).explore();
}

/// As above, and a slot fills up again.
#[test]
#[should_panic(expected = "valid, and wrong")]
fn no_half_of_opposite_folds_is_valid_with_more_updates() {
    let updates: &[&[i32]] = &[&[1, 2], &[-1]];
    exact::beside("opposite folds, refilled", &[2, -2], updates, exact::of_updates).explore();
}

/// What the shadow's reading calls valid are updates that had happened, while one CPU makes these.
fn valid_is_true(name: &'static str, before: &'static [i32], updates: &'static [i32]) {
    let config = Config { instants: true, ..anon(1, 3, sums::QUIET) };
    beside_a_valid_reading(scenario(name, config, move |host| host.runs(0, MM, before)), updates);
}

/// The same in a scenario that records the instants of the mm.
pub(crate) fn beside_a_valid_reading(scenario: Scenario, updates: &'static [i32]) {
    scenario
        .cpu(0, move |host| {
            host.updates(0, MM, updates);
            host.switch(0, 0);
        })
        .reader(|host| {
            host.watch(MM);
            let record = host.read(0, MM);
            let settled = record.flags & (SHADOW_VALID | SHADOW_UNSETTLED) == SHADOW_VALID;
            assert!(!settled || host.mm(MM).had(record.shadow[1]), "valid, and wrong: {record:?}");
        })
        .daily(5);
}

/// An event that is at work on a slot's pending deltas may begin, or end, between the reader's looks at them and at the busy mark: so the
/// reader looks at the mark before the deltas and behind them.
#[test]
fn a_valid_shadow_is_true_without_a_fold() {
    valid_is_true("no fold", &[1], &[1, -1]);
}

/// The reader's refresh can take the slot before the fold and the count after it: it is valid only when a further one finds nothing more,
/// and no lock was held.
#[test]
fn a_valid_shadow_is_true_beside_a_fold() {
    valid_is_true("a fold", &[2], &[1]);
}

/// One CPU changes the mm while a reader refreshes its words. A reading that was in the middle of taking an update gives the peaks an
/// error.
fn beside_a_reader(name: &'static str, before: &'static [i32], updates: &'static [i32]) {
    peaks::pending(name, 1, before)
        .updates(0, MM, updates)
        .reads(0, MM)
        .end(|host| peaks::within_error(host, 2))
        .daily(4);
}

/// A reading that took half of a fold has a wrong sum: a peak is raised only to one that two readings agree on.
#[test]
fn a_half_seen_fold_is_no_peak() {
    beside_a_reader("a reader beside a fold", &[2], &[1]);
}

/// An event that finds its delta taken cannot tell whether the reader has added it yet: while the state says that it is settling, the
/// event doubts the peaks.
#[test]
fn one_cpu_is_exact_beside_a_reader() {
    beside_a_reader("a reader", &[], &[1]);
}

/// Of two CPUs that fold at once, one takes both counts, while the other's slot counts as pending still: the peak may be a fold too high.
#[test]
fn precise_peaks_are_within_a_fold_beside_two_folds() {
    peaks::precise("precise peaks with two folds", [2, 2], 2);
}

/// A CPU that raises a peak to the largest value of all gets it there, however often others raise it meanwhile.
#[test]
fn the_largest_peak_wins() {
    let raise = |cpu, values: &'static [i64]| {
        move |host: &World| {
            let program = host.program(cpu);
            let handle = Handle::at(&program, 0).expect("a state");
            for &value in values {
                handle.raise_peaks(value, program.threshold().into());
            }
        }
    };
    Scenario::new("the largest peak", peaks::config(2, 3), |_| {})
        .cpu(0, raise(0, &[9]))
        .cpu(1, raise(1, &[1, 2, 3, 4]))
        .end(|host| assert_eq!(host.state_now(0).peak_exact, 9))
        .explore();
}

/// Not held: of two CPUs that fold at once, in opposite directions, one takes the difference.
#[test]
#[should_panic(expected = "churn")]
fn churn_counts_both_of_opposite_folds() {
    sums::hold_an_mm("opposite folds", [-1, 3]);
}

/// As above, not held. Those of huge pages can leave the count as it was.
#[test]
#[should_panic(expected = "uncertainty 2")]
fn opposite_folds_are_covered() {
    covers("opposite folds of huge pages", First::Churn, &[&[], &[]], &[&[3], &[-3]], 2);
}

/// A miss exchanges the word last seen some steps before its churn is counted: its busy mark stands from before the one until behind
/// the other.
#[test]
fn a_miss_is_covered() {
    covers("a miss", First::Churn, &[], &[&[1]], 2);
}

/// The iterator reads the kernel's counters before the churn: what comes between the two is what the shadow differs from them by.
#[test]
fn what_comes_within_a_reading_is_covered() {
    covers("within a reading", First::Exact, &[&[1]], &[&[1]], 3);
    covers("two within a reading", First::Exact, &[&[1]], &[&[1, -1]], 2);
    covers("a fold within a reading", First::Exact, &[&[2]], &[&[1, -1]], 2);
    covers("misses within a reading", First::Exact, &[], &[&[1, -1]], 2);
}
