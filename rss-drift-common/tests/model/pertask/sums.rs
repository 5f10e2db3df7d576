//! Nothing is lost, and each update counts once, whatever two CPUs do at once.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::{forked, running, small};
use crate::{
    common::World,
    host::{ANON, Check as _, Config, FILE, address, on},
};
use rss_drift_common::memory::Exchange as _;

/// This CPU's task gives its cache to the count, and is left.
fn gives_and_leaves(cpu: u32) -> impl Fn(&World) + Send + Sync + 'static {
    move |host: &World| {
        host.give(on(cpu));
        host.leave(on(cpu));
    }
}

/// CPU 0 does this while CPU 1's task gives its cache to the count.
fn beside_a_sync(
    name: &'static str,
    config: Config,
    begin: fn(&World),
    work: impl Fn(&World) + Send + Sync + 'static,
) {
    running(name, config, begin).cpu(0, work).cpu(1, gives_and_leaves(1)).end(World::check_all).daily(3);
}

/// Two threads fault, and give their caches to the count.
#[test]
fn two_tasks_sync_at_once() {
    let begin = |host: &World| {
        host.touch(on(0), 2);
        host.touch(on(1), 3);
    };
    beside_a_sync("per-task: two syncs", small(), begin, gives_and_leaves(0));
}

/// One thread gives pages back, another one faults and gives its cache to the count.
#[test]
fn a_zap_beside_a_sync() {
    let begin = |host: &World| {
        host.touch(on(0), 5);
        host.sync(on(0));
        host.touch(on(1), 3);
    };
    beside_a_sync("per-task: zap and sync", small(), begin, |host| {
        host.directly(on(0), -4);
        host.leave(on(0));
    });
}

/// Two threads change the counts directly, one up and one down, and a third one's cache comes with it.
#[test]
fn two_direct_updates_at_once() {
    running("per-task: two direct updates", small(), |host| {
        host.directly(on(0), 6);
        host.touch(on(1), 3);
    })
    .cpu(0, |host| {
        host.directly(on(0), -5);
        host.directly(on(0), 8);
    })
    .cpu(1, |host| {
        host.sync(on(1));
        host.directly(on(1), -2);
    })
    .end(|host| {
        host.check_all();
        let (peak, truth) = (host.peak(), host.mms[0].peak_exact.peek());
        let error = i64::try_from(peak.error()).expect("few pages");
        assert!((peak.exact - truth).abs() <= error, "{peak:?}, and the truth was up to {truth}");
    })
    .daily(3);
}

/// A task of another process changes the mm (reclaim, ptrace, userfaultfd): a miss.
#[test]
fn another_process_beside_a_sync() {
    forked("per-task: another process", Config { mms: 2, ..small() }, |host| {
        host.tasks[1].mm.poke(address(1));
        host.begin_on(on(0));
        host.begin_on(on(1));
        host.touch(on(0), 3);
    })
    .cpu(0, |host| {
        host.give(on(0));
        host.touch(on(0), 1);
        host.leave(on(0));
    })
    .cpu(1, |host| {
        host.directly(on(1), -1);
        host.leave(on(1));
    })
    .end(|host| {
        host.check_all();
        assert_eq!(host.hits_and_misses(0).1, 1);
    })
    .daily(3);
}

/// A CPU goes from one thread of the process to another one while another CPU does as much.
#[test]
fn threads_take_turns() {
    running("per-task: switches", Config { tasks: 3, threshold: 2, ..small() }, |_| {})
        .cpu(0, |host| {
            host.touch(on(0), 1);
            let third = host.change(on(0), 2);
            host.touch(third, 2);
            host.leave(third);
        })
        .cpu(1, |host| {
            host.touch(on(1), 3);
            host.leave(on(1));
        })
        .end(World::check_all)
        .daily(3);
}

/// A huge page goes to the count directly, while the task has small ones cached. One CPU, so that each figure is exact.
#[test]
fn a_huge_page_is_one_hit() {
    running("per-task: a huge page", Config { cpus: 1, tasks: 1, ..small() }, |_| {})
        .cpu(0, |host| {
            host.touch(on(0), 1);
            host.entry(on(0));
            host.directly(on(0), 8);
            host.touch(on(0), 1);
            host.sync(on(0));
            host.leave(on(0));
        })
        .end(|host| {
            host.check_all();
            assert_eq!((host.peak().exact, host.mms[0].peak_exact.peek()), (10, 10));
        })
        .explore();
}

/// The same beside another thread: then it is not known at once that the event was of no sync.
#[test]
fn a_huge_page_beside_a_sync() {
    let begin = |host: &World| {
        host.touch(on(0), 1);
        host.touch(on(1), 2);
    };
    beside_a_sync("per-task: a huge page and a sync", small(), begin, |host| {
        host.entry(on(0));
        host.directly(on(0), 8);
        host.leave(on(0));
    });
}

/// A sync goes through the members one by one; between their events another CPU's may come.
#[test]
fn a_sync_of_two_members() {
    let config = Config { members: [true, true, false, false], ..small() };
    running("per-task: two members", config, |host| {
        host.touch(on(0), 2);
        host.fault(on(0), FILE, 3);
        host.touch(on(1), 1);
    })
    .cpu(0, gives_and_leaves(0))
    .cpu(1, |host| host.give(on(1)))
    .end(World::check_all)
    .daily(3);
}

/// Updates of CPU 0 while others move the count so often that its mirror does not settle: each counts once all the same.
fn unsettled(name: &'static str, updates: impl Fn(&World) + Send + Sync + 'static) {
    let reached = Arc::new(AtomicBool::new(false));
    let reach = Arc::clone(&reached);
    forked(name, Config { mms: 2, ..small() }, |host| host.begin_on(on(0)))
        .cpu(0, updates)
        .cpu(1, |host| {
            for _ in 0..5 {
                // Their events have yet to come.
                host.mms[0].count[ANON as usize].fetch_add(1);
            }
        })
        .end(move |host| {
            host.check_updates();
            if host.all_counts_now().unsettled != 0 {
                reach.store(true, Ordering::Relaxed);
            }
        })
        .explore();
    assert!(reached.load(Ordering::Relaxed), "the count held still in every schedule");
}

#[test]
fn an_unsettled_hit_counts_once() {
    unsettled("per-task: an unsettled hit", |host| host.directly(on(0), 8));
}

#[test]
fn an_unsettled_miss_counts_once() {
    unsettled("per-task: an unsettled miss", |host| {
        host.tasks[1].mm.poke(address(1));
        let other = host.change(on(0), 1);
        host.directly(other, 8);
    });
}

/// Whether the event is of a sync shows at the next look.
#[test]
fn an_unsettled_event_beside_a_cache_counts_once() {
    unsettled("per-task: an unsettled event and a cache", |host| {
        host.touch(on(0), 1);
        host.directly(on(0), 8);
        host.leave(on(0));
    });
}

/// A sync is no update.
#[test]
fn an_unsettled_sync_counts_nothing() {
    unsettled("per-task: an unsettled sync", |host| {
        host.touch(on(0), 1);
        host.sync(on(0));
        host.leave(on(0));
    });
}

/// An mm without a state: its updates are hits all the same, one for each member that a look finds changed.
#[test]
fn without_room_each_update_counts_once() {
    let config = Config { cpus: 1, tasks: 1, states: 0, members: [true, true, false, false], ..small() };
    forked("per-task: no room", config, |host| host.begin_on(on(0)))
        .cpu(0, |host| {
            host.cache(on(0), FILE, 1);
            host.cache(on(0), ANON, 1);
            host.entry(on(0));
            host.directly(on(0), 3);
            host.sync(on(0));
            host.leave(on(0));
        })
        .end(|host| {
            let counts = host.all_counts_now();
            assert_eq!(counts.hits + counts.misses, host.mms[0].updates.peek());
        })
        .explore();
}
