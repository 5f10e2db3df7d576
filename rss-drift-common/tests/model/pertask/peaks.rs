//! Peaks: never above the largest true RSS by more than what is printed with them, and never below it by more.

use super::{On, World, on, running, small, touch};
use crate::{
    engine::{Bound, Model},
    host::{ANON, Check as _, Config, address},
};

/// What is printed with the peaks holds, and they are off by no more than `most`.
fn check_peaks(host: &World, most: i64) {
    let printed = host.peak();
    let (peak, truth) = (printed.exact, host.mms[0].peak_exact.peek());
    let error = i64::try_from(printed.error()).expect("few pages");
    assert!(
        peak <= truth + error,
        "the peak is {peak}, the truth was at most {truth}, and the error is {error}"
    );
    assert!(
        peak >= truth - error,
        "the peak is {peak}, the truth was up to {truth}, and the error is {error}"
    );
    assert!((peak - truth).abs() <= most, "the peak is {peak}, and the truth was up to {truth}");
}

/// One thread gives its cache to the count. Another one has an event of its own meanwhile, and sees the count.
#[test]
fn a_sync_counts_no_page_twice() {
    let config = Config { threshold: 1, ..small() };
    Model::new("per-task: peaks beside a sync", move || {
        let host = running(&config);
        touch(&host, on(0), 6);
        host.entry(on(0));
        touch(&host, on(1), 1);
        host.entry(on(1));
        host
    })
    .thread("cpu 0", (0, 0), |host: &World| {
        host.sync(on(0));
    })
    .thread("cpu 1", (1, 0), |host: &World| {
        host.sync(on(1));
        touch(host, on(1), 1);
        host.entry(on(1));
    })
    // What a CPU hides from others is the pages of a fault that it has had no look at.
    .check_end(|host| check_peaks(host, 1))
    .daily(Bound::Switches(3))
    .explore();
}

/// The same where the other thread gives pages back: its event is of no sync, and does not say how many pages are its own. What may be counted
/// twice until the other event comes is in the error.
#[test]
fn a_zap_counts_no_page_twice() {
    let config = Config { threshold: 1, ..small() };
    Model::new("per-task: peaks beside a zap", move || {
        let host = running(&config);
        touch(&host, on(0), 6);
        host.entry(on(0));
        touch(&host, on(1), 2);
        host.sync(on(1));
        host
    })
    .thread("cpu 0", (0, 0), |host: &World| {
        host.sync(on(0));
    })
    .thread("cpu 1", (1, 0), |host: &World| {
        host.direct(on(1), address(0), ANON, -1);
        touch(host, on(1), 1);
        host.entry(on(1));
    })
    .check_end(|host| check_peaks(host, 6))
    .daily(Bound::Switches(3))
    .explore();
}

/// A sync whose event no program saw (one was at work): the next look finds the cache empty, and that the count has it.
#[test]
fn a_sync_without_an_event_is_made_up_for() {
    let config = Config { cpus: 1, tasks: 1, ..small() };
    Model::new("per-task: peaks and a missed sync", move || {
        let host = super::world(&config);
        host.begin_on(on(0));
        host
    })
    .thread("cpu 0", (0, 0), |host: &World| {
        touch(host, on(0), 3);
        host.entry(on(0));
        host.sync_mm_rss(0, |_, _| {});
        touch(host, on(0), 4);
        host.leave(on(0));
    })
    .check_end(|host| {
        check_peaks(host, 0);
        assert_eq!(host.shadow(0, 0), host.mms[0].truth());
    })
    .explore();
}

/// Two threads fault side by side, and publish each page.
#[test]
fn two_tasks_fault_at_once() {
    let config = Config { threshold: 1, ..small() };
    Model::new("per-task: peaks of two", move || running(&config))
        .thread("cpu 0", (0, 0), |host: &World| {
            touch(host, on(0), 1);
            touch(host, on(0), 1);
            host.entry(on(0));
        })
        .thread("cpu 1", (1, 0), |host: &World| {
            touch(host, on(1), 1);
            host.entry(on(1));
        })
        .check_end(|host| check_peaks(host, 1))
        .daily(Bound::Switches(3))
        .explore();
}

/// One CPU after the other: no error is printed, and there is none.
#[test]
fn alone_it_is_exact() {
    let config = Config { cpus: 1, tasks: 2, threshold: 2, ..small() };
    let second = On { task: 1, ..on(0) };
    Model::new("per-task: peaks of one", move || {
        let host = super::world(&config);
        host.begin_on(on(0));
        host
    })
    .thread("cpu 0", (0, 0), move |host: &World| {
        touch(host, on(0), 3);
        host.entry(on(0));
        host.direct(on(0), address(0), ANON, 16);
        host.sync(on(0));
        host.direct(on(0), address(0), ANON, -16);
        host.switch(on(0), 1);
        touch(host, second, 4);
        host.sync(second);
        host.direct(second, address(0), ANON, -2);
        host.leave(second);
    })
    .check_end(|host| {
        assert_eq!(host.peak().active, 1);
        check_peaks(host, 0);
        host.check_sums();
        host.check_updates();
    })
    .explore();
}
