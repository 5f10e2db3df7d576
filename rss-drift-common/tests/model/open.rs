//! Steps close to each other that a reader, or another CPU, falls between. Those that the protocol does not hold yet say so
//! (`should_panic`): the model still finds them, and tells when it does not any more.

use crate::{
    engine::{Bound, Model},
    exact,
    host::{ANON, Config, Host},
    peaks,
    percpu::{MM, anon, host, runs},
    steps::Steps,
    sums,
    uncertainty::{CHURN_FIRST, HOLD, covers},
};
use rss_drift_common::{
    memory::Memory as _,
    protocol::{handle::Handle, percpu::events},
    shadow::{SHADOW_UNSETTLED, SHADOW_VALID},
};

/// The first of two readings reads the kernel's counters first, as the iterator does.
const EXACT_FIRST: bool = true;
/// The CPUs' slots do not hold the mm: each update is a miss.
const MISS: bool = false;

/// Two folds that leave the count as it was pass as no fold: a reading that saw the slot of one before its fold and that of the other after
/// it is valid.
#[test]
#[should_panic(expected = "valid, and wrong")]
fn no_half_of_opposite_folds_is_valid() {
    assert!(exact::model("opposite folds", &[2, -2], &[&[1], &[-1]], false).explore().complete);
}

/// As above, and a slot fills up again.
#[test]
#[should_panic(expected = "valid, and wrong")]
fn no_half_of_opposite_folds_is_valid_with_more_updates() {
    assert!(exact::model("opposite folds, refilled", &[2, -2], &[&[1, 2], &[-1]], false).explore().complete);
}

/// What the shadow's reading calls valid are updates that had happened, while one CPU makes these.
fn valid_is_true(name: &'static str, before: &'static [i32], updates: &'static [i32]) {
    let config = Config { instants: true, ..anon(1, 3, sums::QUIET) };
    let model = Model::new(name, move || {
        let host = host(&config);
        runs(&host, 0, MM, before);
        host
    })
    .thread("cpu 0", (0, 0), move |host: &Host<Steps>| {
        for &delta in updates {
            host.update(0, MM, ANON, delta);
        }
        events::switched(&host.program(0), 0);
    })
    .thread("reader", (1, 0), |host: &Host<Steps>| {
        host.watch(MM);
        let record = host.read(0, MM);
        let settled = record.flags & (SHADOW_VALID | SHADOW_UNSETTLED) == SHADOW_VALID;
        assert!(!settled || host.mm(MM).had(record.shadow[1]), "valid, and wrong: {record:?}");
    })
    .daily(Bound::Switches(5));
    model.explore();
}

/// The reader looks at a slot's busy mark behind its pending deltas only: an event that is at work on them by then and done at the look leaves
/// no trace.
#[test]
fn a_valid_shadow_is_true_without_a_fold() {
    valid_is_true("no fold", &[1], &[1, -1]);
}

/// The reader's refresh takes the slot before the fold and the count after it.
#[test]
fn a_valid_shadow_is_true_beside_a_fold() {
    valid_is_true("a fold", &[2], &[1]);
}

/// One CPU changes the mm while a reader refreshes its words.
fn beside_a_reader(name: &'static str, before: &'static [i32], updates: &'static [i32]) {
    let model = Model::new(name, move || {
        let host = host(&peaks::config(1, 3));
        runs(&host, 0, MM, before);
        host
    })
    .thread("cpu 0", (0, 0), move |host: &Host<Steps>| {
        for &delta in updates {
            host.update(0, MM, ANON, delta);
        }
    })
    .thread("reader", (1, 0), |host: &Host<Steps>| {
        host.read(0, MM);
    })
    .daily(Bound::Switches(4))
    // A reading that was in the middle of taking an update gives the peaks an error.
    .check_end(|host| peaks::within_error(host, 2));
    model.explore();
}

/// As above: where two readings agree on it, it becomes a peak for ever.
#[test]
fn a_half_seen_fold_is_no_peak() {
    beside_a_reader("a reader beside a fold", &[2], &[1]);
}

/// An event that finds its delta taken looks at a sum which the reader has not added to yet, and the reader finds the slot busy at each try.
#[test]
fn one_cpu_is_exact_beside_a_reader() {
    beside_a_reader("a reader", &[], &[1]);
}

/// Of two CPUs that fold at once, one takes both counts, and the other's slot still counts as pending.
#[test]
fn precise_peaks_are_within_a_fold_beside_two_folds() {
    peaks::precise("precise peaks with two folds", [2, 2], 2);
}

/// A CPU that raises a peak to the largest value of all gets it there, however often others raise it meanwhile.
#[test]
fn the_largest_peak_wins() {
    let raise = |cpu, values: &'static [i64]| {
        move |host: &Host<Steps>| {
            let program = host.program(cpu);
            let handle = Handle::at(&program, 0).expect("a state");
            for &value in values {
                handle.raise_peaks(value, program.threshold().into());
            }
        }
    };
    let model = Model::new("the largest peak", || Host::<Steps>::new(&peaks::config(2, 3)))
        .thread("cpu 0", (0, 0), raise(0, &[9]))
        .thread("cpu 1", (1, 0), raise(1, &[1, 2, 3, 4]))
        .check_end(|host| assert_eq!(host.state_now(0).peak_exact, 9));
    assert!(model.explore().complete);
}

/// Of two CPUs that fold at once, in opposite directions, one takes the difference.
#[test]
#[should_panic(expected = "churn")]
fn churn_counts_both_of_opposite_folds() {
    sums::hold_an_mm("opposite folds", [-1, 3]);
}

/// As above. Those of huge pages can leave the count as it was.
#[test]
#[should_panic(expected = "uncertainty 0")]
fn opposite_folds_are_covered() {
    covers("opposite folds of huge pages", CHURN_FIRST, HOLD, [&[], &[]], [&[3], &[-3]], 2);
}

/// A miss exchanges the word last seen some steps before its churn is counted, and has no busy mark.
#[test]
fn a_miss_is_covered() {
    covers("a miss", CHURN_FIRST, MISS, [&[], &[]], [&[1], &[]], 2);
}

/// The iterator reads the kernel's counters before the churn: what comes between the two is missing from the uncertainty.
#[test]
#[should_panic(expected = "uncertainty 0")]
fn what_comes_within_a_reading_is_covered() {
    covers("within a reading", EXACT_FIRST, HOLD, [&[1], &[]], [&[1], &[]], 1);
}
