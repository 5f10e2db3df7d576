//! Peaks: never above the largest true RSS by more than what is printed with them, and never below it by more.

use super::{running, small};
use crate::{
    common::World,
    host::{Check as _, Config, on},
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

/// Both CPUs publish each page. CPU 0's task, with 6 pages that a look has found, gives them to the count while CPU 1 does this.
fn beside_a_sync(name: &'static str, begin: fn(&World), work: fn(&World), most: i64) {
    running(name, Config { threshold: 1, ..small() }, move |host| {
        host.touch(on(0), 6);
        host.entry(on(0));
        begin(host);
    })
    .cpu(0, |host| host.sync(on(0)))
    .cpu(1, move |host| {
        work(host);
        host.touch(on(1), 1);
        host.entry(on(1));
    })
    .end(move |host| check_peaks(host, most))
    .daily(3);
}

/// One thread gives its cache to the count. Another one has an event of its own meanwhile, and sees the count.
#[test]
fn a_sync_counts_no_page_twice() {
    let begin = |host: &World| {
        host.touch(on(1), 1);
        host.entry(on(1));
    };
    // What a CPU hides from others is the pages of a fault that it has had no look at.
    beside_a_sync("per-task: peaks beside a sync", begin, |host| host.sync(on(1)), 1);
}

/// The same where the other thread gives pages back: its event is of no sync, and does not say how many pages are its own. What may be counted
/// twice until the other event comes is in the error.
#[test]
fn a_zap_counts_no_page_twice() {
    let begin = |host: &World| {
        host.touch(on(1), 2);
        host.sync(on(1));
    };
    beside_a_sync("per-task: peaks beside a zap", begin, |host| host.directly(on(1), -1), 6);
}

/// A sync whose event no BPF program saw (one was at work): the next look finds the cache empty, and that the count has it.
#[test]
fn a_sync_without_an_event_is_made_up_for() {
    running("per-task: peaks and a missed sync", Config { cpus: 1, tasks: 1, ..small() }, |_| {})
        .cpu(0, |host| {
            host.touch(on(0), 3);
            host.entry(on(0));
            host.sync_unseen(on(0));
            host.touch(on(0), 4);
            host.leave(on(0));
        })
        .end(|host| {
            check_peaks(host, 0);
            assert_eq!(host.shadow(0, 0), host.mms[0].truth());
        })
        .explore();
}

/// Two threads fault side by side, and publish each page.
#[test]
fn two_tasks_fault_at_once() {
    running("per-task: peaks of two", Config { threshold: 1, ..small() }, |_| {})
        .cpu(0, |host| {
            host.touch(on(0), 1);
            host.touch(on(0), 1);
            host.entry(on(0));
        })
        .cpu(1, |host| {
            host.touch(on(1), 1);
            host.entry(on(1));
        })
        .end(|host| check_peaks(host, 1))
        .daily(3);
}

/// One CPU after the other: no error is printed, and there is none.
#[test]
fn alone_it_is_exact() {
    running("per-task: peaks of one", Config { cpus: 1, threshold: 2, ..small() }, |_| {})
        .cpu(0, |host| {
            host.touch(on(0), 3);
            host.entry(on(0));
            host.directly(on(0), 16);
            host.sync(on(0));
            host.directly(on(0), -16);
            let second = host.change(on(0), 1);
            host.touch(second, 4);
            host.sync(second);
            host.directly(second, -2);
            host.leave(second);
        })
        .end(|host| {
            assert_eq!(host.peak().active_max, 1);
            check_peaks(host, 0);
            host.check_all();
        })
        .explore();
}
