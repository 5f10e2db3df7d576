//! An mm's first event, execve, exit and end, and switches that no BPF program saw.

use super::{ends, exits, forked, running, small, two_threads};
use crate::{
    common::{Scenario, World},
    engine::Model,
    host::{ANON, Check as _, Config, FILE, On, Visitor, address, on},
};
use rss_drift_common::{
    memory::{Exchange as _, Word as _},
    protocol::pertask::{events, reader},
    running::TaskShadow,
};

/// So many states were made, so many have ended, and none of them with a residue.
fn check_lives(host: &World, births: u64, deaths: u64) {
    let counts = host.all_counts_now();
    assert_eq!((counts.births, counts.deaths, counts.residue), (births, deaths, 0));
}

/// The second mm has this state, with these hits and misses.
fn check_second(host: &World, index: usize, hits_and_misses: (u64, u64)) {
    assert_eq!(host.shadow(1, index), host.mms[1].truth());
    assert!(host.is_seeded(index));
    assert_eq!(host.hits_and_misses(index), hits_and_misses);
}

/// The last CPU starts when the one before it has said that it may.
fn then(scenario: Scenario) -> Model<World> {
    scenario.model().guard(|host| host.now.peek() > 1)
}

/// Both threads exit at once; the last one that lets go of the mm ends it.
#[test]
fn an_end_leaves_no_residue() {
    let exit = |on: On| {
        move |host: &World| {
            exits(host, on);
            host.leave(on);
            // `mm_count`: a CPU holds the mm until its task is switched away.
            if host.now.fetch_add(1) == 2 {
                ends(host, on.cpu);
            }
        }
    };
    two_threads("per-task: an end")
        .cpu(0, exit(on(0)))
        .cpu(1, exit(on(1)))
        .end(|host| {
            check_lives(host, 1, 1);
            assert_eq!(host.all_counts_now().unjudged, 0, "a CPU holds the mm until it has given all");
            assert_eq!(host.state_now(0).id, 0);
        })
        .daily(2);
}

/// A process is forked: its parent fills its mm before any task has it. Then it runs on another CPU, while the parent goes on.
#[test]
fn a_fork_is_complete() {
    let scenario = forked("per-task: a fork", Config { mms: 2, ..small() }, |host| {
        host.tasks[1].mm.poke(0);
        host.begin_on(on(0));
        host.touch(on(0), 2);
    })
    .cpu(0, |host| {
        host.direct(on(0), address(1), ANON, 2);
        host.tasks[1].mm.set(address(1));
        host.fork(On { cpu: 0, task: 1 });
        host.now.add(1);
        host.touch(on(0), 1);
        host.leave(on(0));
    })
    .cpu(1, |host| {
        host.begin_on(on(1));
        host.touch(on(1), 1);
        host.sync(on(1));
        host.direct(on(1), address(1), ANON, -3);
        host.leave(on(1));
    })
    .end(|host| {
        host.check_sums();
        check_second(host, 1, (2, 1));
    });
    then(scenario).explore();
}

/// execve in one of two processes that shared the mm (vfork): the old mm goes on on the other CPU, the new one begins.
#[test]
fn an_execve_changes_the_mm() {
    running("per-task: an execve", Config { mms: 2, ..small() }, |host| host.touch(on(0), 2))
        .cpu(0, |host| {
            // Arguments are charged to the new mm before the task has it.
            host.direct(on(0), address(1), ANON, 1);
            host.let_go(on(0), address(1));
            events::executed(&host.task_program(0), &host.task(0));
            host.touch(on(0), 3);
            host.leave(on(0));
        })
        .cpu(1, |host| {
            host.touch(on(1), 1);
            host.sync(on(1));
            host.leave(on(1));
        })
        .end(|host| {
            host.check_all();
            check_second(host, 1, (1, 1));
        })
        .daily(2);
}

/// The address of an mm that ended is another's at once: nothing of the old one reaches it.
#[test]
fn an_address_is_used_again() {
    let config = Config { members: [true, true, false, false], ..small() };
    let scenario = forked("per-task: an address again", config, |host| {
        host.begin_on(on(0));
        host.touch(on(0), 2);
        host.tasks[1].mm.poke(0);
    })
    .cpu(0, |host| {
        host.let_go(on(0), 0);
        host.directly(on(0), -2);
        ends(host, 0);
        host.kernel_new_mm(address(0));
        host.now.add(1);
        host.leave(on(0));
    })
    .cpu(1, |host| {
        host.direct(on(1), address(0), FILE, 4);
        host.tasks[1].mm.set(address(0));
        host.fork(on(1));
        host.begin_on(on(1));
        host.touch(on(1), 1);
        host.leave(on(1));
    })
    .end(|host| {
        check_lives(host, 2, 1);
        let index = (0..2).find(|&index| host.state_now(index).id != 0).expect("the new mm has a state");
        assert_eq!(host.shadow(0, index), [4, 1, 0, 0]);
        assert!(host.is_seeded(index));
    });
    then(scenario).explore();
}

/// A switch that no BPF program saw: what the task did before is not known, and the state says so until it is seeded again.
#[test]
fn a_missed_switch_is_no_figure() {
    running("per-task: a missed switch", Config { tasks: 3, ..small() }, |host| host.touch(on(0), 2))
        .cpu(0, |host| {
            // The task is left, the third one taken, without an event.
            let third = On { cpu: 0, task: 2 };
            host.cache(third, ANON, 5);
            host.touch(third, 1);
            host.leave(third);
        })
        .cpu(1, |host| {
            host.touch(on(1), 1);
            host.sync(on(1));
            host.leave(on(1));
        })
        .end(|host| {
            assert!(!host.is_seeded(0), "a change was lost");
            // What is missing is what happened unseen: the first task's 2 pages, of which nobody looked, and the third one's 5.
            assert_eq!(host.shadow(0, 0)[1], host.mms[0].truth()[1] - 7);
            // And seeded with that, it is right for good.
            host.seeds[0].pages[1].poke(7);
            host.begin_on(on(0));
            host.sync(on(0));
            host.directly(on(0), -1);
            host.leave(on(0));
            assert_eq!(host.shadow(0, 0), host.mms[0].truth());
        })
        .daily(3);
}

/// The reader visits the first mm's task, on CPU 1.
fn reads(host: &World) {
    let mut record = TaskShadow::default();
    reader::read(&host.task_program(1), &Visitor { tgid: 1 }, address(0), &mut record);
}

/// The task lets go of its mm unseen; that changes, and ends.
fn lets_go_and_ends(host: &World) {
    host.visited.set(0);
    host.directly(on(0), 1);
    host.directly(on(0), -1);
    ends(host, 0);
}

/// The reader visits a task that lets go of its mm, which ends: no state is left for an mm that is gone, and none is freed twice.
#[test]
fn a_reader_leaves_no_state_behind() {
    Scenario::new("per-task: reader and end", Config { tasks: 1, ..small() }, |_| {})
        .cpu(0, lets_go_and_ends)
        .reader(reads)
        .end(|host| {
            let counts = host.all_counts_now();
            assert_eq!(counts.births, counts.deaths, "every state has ended");
            assert!((0..2).all(|index| host.state_now(index).id == 0));
            assert_eq!(counts.residue, 0);
            host.check_places();
        })
        .daily(3);
}

/// The same where the address is another mm's at once: its state can be found, or user space is told to look for it.
#[test]
fn a_reader_leaves_no_state_behind_at_an_address_used_again() {
    let config = Config { mms: 2, tasks: 1, states: 3, ..small() };
    Scenario::new("per-task: reader and an address again", config, |_| {})
        .cpu(0, |host| {
            lets_go_and_ends(host);
            // Another one gets the index.
            host.direct(on(0), address(1), ANON, 1);
            host.kernel_new_mm(address(0));
            host.directly(on(0), 1);
        })
        .reader(reads)
        .end(|host| {
            assert_eq!(host.all_counts_now().residue, 0);
            host.check_places();
        })
        .daily(3);
}
