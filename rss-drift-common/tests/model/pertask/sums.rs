//! Nothing is lost, and each update counts once, whatever two CPUs do at once.

use super::{On, World, on, running, small, touch};
use crate::{
    engine::{Bound, Model},
    host::{ANON, Check as _, Config, FILE, address},
};

/// Two threads fault, and give their caches to the count.
#[test]
fn two_tasks_sync_at_once() {
    let config = small();
    Model::new("per-task: two syncs", move || {
        let host = running(&config);
        touch(&host, on(0), 2);
        touch(&host, on(1), 3);
        host
    })
    .thread("cpu 0", (0, 0), |host: &World| {
        host.entry(on(0));
        host.sync(on(0));
        host.leave(on(0));
    })
    .thread("cpu 1", (1, 0), |host: &World| {
        host.entry(on(1));
        host.sync(on(1));
        host.leave(on(1));
    })
    .check_end(|host| {
        host.check_sums();
        host.check_updates();
    })
    .daily(Bound::Switches(3))
    .explore();
}

/// One thread gives pages back, another one faults and gives its cache to the count.
#[test]
fn a_zap_beside_a_sync() {
    let config = small();
    Model::new("per-task: zap and sync", move || {
        let host = running(&config);
        touch(&host, on(0), 5);
        host.sync(on(0));
        touch(&host, on(1), 3);
        host
    })
    .thread("cpu 0", (0, 0), |host: &World| {
        host.direct(on(0), address(0), ANON, -4);
        host.leave(on(0));
    })
    .thread("cpu 1", (1, 0), |host: &World| {
        host.entry(on(1));
        host.sync(on(1));
        host.leave(on(1));
    })
    .check_end(|host| {
        host.check_sums();
        host.check_updates();
    })
    .daily(Bound::Switches(3))
    .explore();
}

/// Two threads change the counts directly, one up and one down, and a third one's cache comes with it.
#[test]
fn two_direct_updates_at_once() {
    let config = small();
    Model::new("per-task: two direct updates", move || {
        let host = running(&config);
        host.direct(on(0), address(0), ANON, 6);
        touch(&host, on(1), 3);
        host
    })
    .thread("cpu 0", (0, 0), |host: &World| {
        host.direct(on(0), address(0), ANON, -5);
        host.direct(on(0), address(0), ANON, 8);
    })
    .thread("cpu 1", (1, 0), |host: &World| {
        host.sync(on(1));
        host.direct(on(1), address(0), ANON, -2);
    })
    .check_end(|host| {
        host.check_sums();
        host.check_updates();
        let (peak, truth) = (host.peak(), host.mms[0].peak_exact.peek());
        let error = i64::try_from(peak.error()).expect("few pages");
        assert!((peak.exact - truth).abs() <= error, "{peak:?}, and the truth was up to {truth}");
    })
    .daily(Bound::Switches(3))
    .explore();
}

/// A task of another process changes the mm (reclaim, ptrace, userfaultfd): a miss.
#[test]
fn another_process_beside_a_sync() {
    let config = Config { mms: 2, tasks: 2, ..small() };
    let other = On { cpu: 1, task: 1, mm: address(1) };
    Model::new("per-task: another process", move || {
        let host = super::world(&config);
        host.tasks[1].mm.poke(address(1));
        host.begin_on(on(0));
        host.begin_on(other);
        touch(&host, on(0), 3);
        host
    })
    .thread("cpu 0", (0, 0), |host: &World| {
        host.entry(on(0));
        host.sync(on(0));
        touch(host, on(0), 1);
        host.leave(on(0));
    })
    .thread("cpu 1", (1, 0), move |host: &World| {
        host.direct(other, address(0), ANON, -1);
        host.leave(other);
    })
    .check_end(|host| {
        host.check_sums();
        host.check_updates();
        assert_eq!(host.hits_and_misses(0).1, 1);
    })
    .daily(Bound::Switches(3))
    .explore();
}

/// A CPU goes from one thread of the process to another one while another CPU does as much.
#[test]
fn threads_take_turns() {
    let config = Config { tasks: 3, threshold: 2, ..small() };
    let third = On { cpu: 0, task: 2, mm: address(0) };
    Model::new("per-task: switches", move || running(&config))
        .thread("cpu 0", (0, 0), move |host: &World| {
            touch(host, on(0), 1);
            host.switch(on(0), 2);
            touch(host, third, 2);
            host.leave(third);
        })
        .thread("cpu 1", (1, 0), |host: &World| {
            touch(host, on(1), 3);
            host.leave(on(1));
        })
        .check_end(|host| {
            host.check_sums();
            host.check_updates();
        })
        .daily(Bound::Switches(3))
        .explore();
}

/// A huge page goes to the count directly, while the task has small ones cached. One CPU, so that each figure is exact.
#[test]
fn a_huge_page_is_one_hit() {
    let config = Config { cpus: 1, tasks: 1, ..small() };
    Model::new("per-task: a huge page", move || {
        let host = super::world(&config);
        host.begin_on(on(0));
        host
    })
    .thread("cpu 0", (0, 0), |host: &World| {
        touch(host, on(0), 1);
        host.entry(on(0));
        host.direct(on(0), address(0), ANON, 8);
        touch(host, on(0), 1);
        host.sync(on(0));
        host.leave(on(0));
    })
    .check_end(|host| {
        host.check_sums();
        host.check_updates();
        assert_eq!((host.peak().exact, host.mms[0].peak_exact.peek()), (10, 10));
    })
    .explore();
}

/// The same beside another thread: then it is not known at once that the event was of no sync.
#[test]
fn a_huge_page_beside_a_sync() {
    let config = small();
    Model::new("per-task: a huge page and a sync", move || {
        let host = running(&config);
        touch(&host, on(0), 1);
        touch(&host, on(1), 2);
        host
    })
    .thread("cpu 0", (0, 0), |host: &World| {
        host.entry(on(0));
        host.direct(on(0), address(0), ANON, 8);
        host.leave(on(0));
    })
    .thread("cpu 1", (1, 0), |host: &World| {
        host.entry(on(1));
        host.sync(on(1));
        host.leave(on(1));
    })
    .check_end(|host| {
        host.check_sums();
        host.check_updates();
    })
    .daily(Bound::Switches(3))
    .explore();
}

/// A sync goes through the members one by one; between their events another CPU's may come.
#[test]
fn a_sync_of_two_members() {
    let config = Config { members: [true, true, false, false], ..small() };
    Model::new("per-task: two members", move || {
        let host = running(&config);
        touch(&host, on(0), 2);
        host.fault(on(0), FILE, 3);
        touch(&host, on(1), 1);
        host
    })
    .thread("cpu 0", (0, 0), |host: &World| {
        host.entry(on(0));
        host.sync(on(0));
        host.leave(on(0));
    })
    .thread("cpu 1", (1, 0), |host: &World| {
        host.entry(on(1));
        host.sync(on(1));
    })
    .check_end(|host| {
        host.check_sums();
        host.check_updates();
    })
    .daily(Bound::Switches(3))
    .explore();
}
