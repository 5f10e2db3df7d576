//! Peaks: within the printed error of the largest true sum, and equal to it where that error is 0.

use crate::{
    common::{Scenario, World},
    host::{ANON, COUNTED, Check as _, Config, Quiet},
    percpu::{MM, STANDING, anon, scenario},
};

/// Figures that peaks do not depend on.
const QUIET: Quiet = STANDING.with(COUNTED).and(&["repaired"]);

pub(crate) fn config(cpus: usize, batch: i32) -> Config {
    Config { peaks: true, ..anon(cpus, batch, QUIET) }
}

/// CPU 0 holds the mm and has these pages pending.
pub(crate) fn pending(name: &'static str, cpus: usize, pending: &'static [i32]) -> Scenario {
    scenario(name, config(cpus, 3), move |host| host.runs(0, MM, pending))
}

/// The peaks of [`MM`] and the true ones. `pending`: pages of a member that a slot holds back at most.
pub(crate) fn within_error(host: &World, pending: i64) {
    let (state, mm) = (host.state_now(0), host.mm(MM));
    let error = (state.active_max - 1).max(0) * 3 * pending;
    let exact = (state.peak_exact, mm.peak_exact.peek());
    let drift = (state.peak_drift, mm.peak_drift.peek());
    assert!((exact.0 - exact.1).abs() <= error, "RSS {exact:?}, error {error}");
    assert!((drift.0 - drift.1).abs() <= error, "drift {drift:?}, error {error}");
    assert!(state.peak_drift.unsigned_abs() <= host.config.bound);
}

/// CPU 0 holds the mm and has these pages pending, while another CPU changes the mm without holding it.
fn reaches_in(name: &'static str, before: &'static [i32], deltas: &'static [i32]) {
    pending(name, 2, before).updates(1, MM, deltas).end(|host| within_error(host, 2)).explore();
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
    for before in [&[1], &[-1], &[2]] {
        pending("reaches in at once", 2, before)
            .updates(0, MM, &[1])
            .updates(1, MM, &[1])
            .end(|host| within_error(host, 2))
            .explore();
    }
}

/// Two CPUs publish each update of theirs, and all of them raise RSS: the largest sum is the last. `error`: by how much the peak may be
/// more, in pages.
pub(crate) fn precise(name: &'static str, pending: [i32; 2], error: i64) {
    let config = Config { threshold: 1, ..config(2, 3) };
    let begin = move |host: &World| (0..2).zip(pending).for_each(|(cpu, pages)| host.runs(cpu, MM, &[pages]));
    scenario(name, config, begin)
        .updates(0, MM, &[1])
        .updates(1, MM, &[1])
        .end(move |host| {
            let (peak, largest) = (host.state_now(0).peak_exact, host.mm(MM).peak_exact.peek());
            assert!((largest..=largest + error).contains(&peak), "{peak} for {largest}, error {error}");
        })
        .explore();
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
    let statistics = scenario("one CPU after the other", config(2, 3), |_| {})
        .cpu(0, |host| {
            host.runs(0, MM, &[1, 1, 1, -1]);
            host.switch(0, 0);
            host.now.add_quietly(1);
        })
        .cpu(1, |host| host.runs(1, MM, &[1, -2, -1, 1]))
        .end(|host| {
            assert_eq!(host.state_now(0).active_max, 1);
            within_error(host, 0);
        })
        .model()
        .guard(|host| host.now.peek() == 2)
        .explore();
    assert!(statistics.complete);
}

/// An update that has no event is part of a peak from the next reading on.
#[test]
fn a_missed_update_is_a_peak() {
    for before in [&[][..], &[2]] {
        pending("a missed event", 1, before)
            .cpu(0, |host| {
                host.kernel_update(0, MM, ANON, 1);
                host.read(0, MM);
                host.update(0, MM, ANON, -1);
            })
            .end(|host| within_error(host, 0))
            .explore();
    }
}
