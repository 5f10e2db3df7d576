//! Peaks: within the printed error of the largest true sum, and equal to it where that error is 0.

use crate::{
    engine::Model,
    host::{ANON, Check as _, Config, Host, Quiet},
    percpu::{MM, anon, host, runs},
    steps::Steps,
};
use rss_drift_common::protocol::percpu::events;

/// Identities that stand from the beginning on, and figures that peaks do not depend on.
const QUIET: Quiet = Quiet::of(&[
    "mm",
    "id",
    "index",
    "deferred",
    "cpus",
    "visited",
    "looked",
    "looked_at",
    "tgid",
    "owned",
    "seeded",
    "faults",
    "reader",
    "hits",
    "misses",
    "churn",
    "repaired",
]);

pub(crate) fn config(cpus: usize, batch: i32) -> Config {
    Config { peaks: true, ..anon(cpus, batch, QUIET) }
}

/// The peaks of [`MM`] and the true ones. `pending`: pages of a member that a slot holds back at most.
pub(crate) fn within_error(host: &Host<Steps>, pending: i64) {
    let (state, mm) = (host.state_now(0), host.mm(MM));
    let error = (state.active_max - 1).max(0) * 3 * pending;
    let exact = (state.peak_exact, mm.peak_exact.peek());
    let drift = (state.peak_drift, mm.peak_drift.peek());
    assert!((exact.0 - exact.1).abs() <= error, "RSS {exact:?}, error {error}");
    assert!((drift.0 - drift.1).abs() <= error, "drift {drift:?}, error {error}");
    assert!(state.peak_drift.unsigned_abs() <= host.config.bound);
}

/// CPU 0 holds the mm and has these pages pending, while another CPU changes the mm without holding it.
fn reaches_in(name: &'static str, pending: &'static [i32], deltas: &'static [i32]) {
    let model = Model::new(name, move || {
        let host = host(&config(2, 3));
        runs(&host, 0, MM, pending);
        host
    })
    .thread("cpu 1", (1, 0), move |host: &Host<Steps>| {
        for &delta in deltas {
            host.update(1, MM, ANON, delta);
        }
    })
    .check_end(|host| within_error(host, 2));
    assert!(model.explore().complete);
}

/// What the other slot holds back is missing.
#[test]
fn another_cpu_raises_an_mm() {
    reaches_in("raises", &[1], &[1]);
    reaches_in("raises with a fold", &[2], &[3]);
}

/// What the other slot holds back is too much.
#[test]
fn another_cpu_raises_an_mm_that_shrank() {
    reaches_in("raises what shrank", &[-1], &[1]);
    reaches_in("raises with a fold what shrank", &[-2], &[3]);
}

/// As above, while CPU 0 goes on.
#[test]
fn another_cpu_reaches_in_at_once() {
    for (pending, delta, other) in [(1, 1, 1), (-1, 1, 1), (2, 1, 1)] {
        let model = Model::new("reaches in at once", move || {
            let host = host(&config(2, 3));
            runs(&host, 0, MM, &[pending]);
            host
        })
        .thread("cpu 0", (0, 0), move |host: &Host<Steps>| host.update(0, MM, ANON, delta))
        .thread("cpu 1", (1, 0), move |host: &Host<Steps>| host.update(1, MM, ANON, other))
        .check_end(|host| within_error(host, 2));
        assert!(model.explore().complete);
    }
}

/// Two CPUs publish each update of theirs, and all of them raise RSS: the largest sum is the last. `error`: by how much the peak may be
/// more, in pages.
pub(crate) fn precise(name: &'static str, pending: [i32; 2], error: i64) {
    let model = Model::new(name, move || {
        let host = host(&Config { threshold: 1, ..config(2, 3) });
        runs(&host, 0, MM, &[pending[0]]);
        runs(&host, 1, MM, &[pending[1]]);
        host
    })
    .thread("cpu 0", (0, 0), |host: &Host<Steps>| host.update(0, MM, ANON, 1))
    .thread("cpu 1", (1, 0), |host: &Host<Steps>| host.update(1, MM, ANON, 1))
    .check_end(move |host| {
        let (peak, largest) = (host.state_now(0).peak_exact, host.mm(MM).peak_exact.peek());
        assert!((largest..=largest + error).contains(&peak), "{peak} for {largest}, error {error}");
    });
    assert!(model.explore().complete);
}

/// One of them folds.
#[test]
fn precise_peaks_are_exact_beside_a_fold() {
    precise("precise peaks without a fold", [1, 1], 0);
    precise("precise peaks with a fold", [1, 2], 0);
}

/// One CPU at a time changes the mm, and goes on with it elsewhere.
#[test]
fn one_cpu_is_exact() {
    let model = Model::new("one CPU after the other", || host(&config(2, 3)))
        .thread("cpu 0", (0, 0), |host: &Host<Steps>| {
            runs(host, 0, MM, &[1, 1, 1, -1]);
            events::switched(&host.program(0), 0);
            host.now.add_quietly(1);
        })
        .thread("cpu 1", (1, 0), |host: &Host<Steps>| runs(host, 1, MM, &[1, -2, -1, 1]))
        .guard(|host| host.now.peek() == 2)
        .check_end(|host| {
            assert_eq!(host.state_now(0).active_max, 1);
            within_error(host, 0);
        });
    assert!(model.explore().complete);
}

/// An update that has no event is part of a peak from the next reading on.
#[test]
fn a_missed_update_is_a_peak() {
    for before in [&[][..], &[2]] {
        let model = Model::new("a missed event", move || {
            let host = host(&config(1, 3));
            runs(&host, 0, MM, before);
            host
        })
        .thread("cpu 0", (0, 0), |host: &Host<Steps>| {
            host.kernel_update(0, MM, ANON, 1);
            host.read(0, MM);
            host.update(0, MM, ANON, -1);
        })
        .check_end(|host| within_error(host, 0));
        assert!(model.explore().complete);
    }
}
