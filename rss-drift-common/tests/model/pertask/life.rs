//! An mm's first event, execve, exit and end, and switches that no program saw.

use super::{On, World, on, running, small, touch};
use crate::{
    engine::{Bound, Model},
    host::{ANON, Check as _, Config, FILE, Host, Visitor, address},
};
use rss_drift_common::{
    memory::{Exchange as _, Word as _},
    protocol::pertask::{events, life, reader},
    running::TaskShadow,
};

/// Both threads exit at once; the last one that lets go of the mm ends it.
#[test]
fn an_end_leaves_no_residue() {
    let config = small();
    let exit = |host: &World, on: On| {
        host.let_go(on, 0);
        if host.mms[0].users.fetch_add(-1) == 1 {
            let pages = i32::try_from(host.mms[0].truth()[ANON as usize]).expect("few pages");
            host.direct(on, address(0), ANON, -pages);
        }
        host.leave(on);
        // `mm_count`: a CPU holds the mm until its task is switched away.
        if host.now.fetch_add(1) == 2 {
            life::end(&host.task_program(on.cpu), address(0));
        }
    };
    Model::new("per-task: an end", move || {
        let host = running(&config);
        host.mms[0].users.poke(2);
        touch(&host, on(0), 2);
        touch(&host, on(1), 3);
        host
    })
    .thread("cpu 0", (0, 0), move |host: &World| exit(host, on(0)))
    .thread("cpu 1", (1, 0), move |host: &World| exit(host, on(1)))
    .check_end(|host| {
        let counts = host.all_counts_now();
        assert_eq!((counts.births, counts.deaths, counts.rest), (1, 1, 0));
        assert_eq!(host.state_now(0).id, 0);
    })
    .daily(Bound::Switches(2))
    .explore();
}

/// A process is forked: its parent fills its mm before any task has it. Then it runs on another CPU, while the parent goes on.
#[test]
fn a_fork_is_complete() {
    let config = Config { mms: 2, tasks: 2, ..small() };
    let child = On { cpu: 1, task: 1, mm: address(1) };
    Model::new("per-task: a fork", move || {
        let host = super::world(&config);
        host.tasks[1].mm.poke(0);
        host.begin_on(on(0));
        touch(&host, on(0), 2);
        host
    })
    .thread("cpu 0", (0, 0), |host: &World| {
        host.direct(on(0), address(1), ANON, 2);
        host.tasks[1].mm.set(address(1));
        events::forked(&host.task_program(0), &host.task(1));
        host.now.add(1);
        touch(host, on(0), 1);
        host.leave(on(0));
    })
    .thread("cpu 1", (1, 0), move |host: &World| {
        host.begin_on(child);
        touch(host, child, 1);
        host.sync(child);
        host.direct(child, address(1), ANON, -3);
        host.leave(child);
    })
    .guard(|host: &World| host.now.peek() > 1)
    .check_end(|host| {
        host.check_sums();
        assert_eq!(host.shadow(1, 1), host.mms[1].truth());
        assert!(host.is_seeded(1));
        assert_eq!(host.hits_and_misses(1), (2, 1));
    })
    .explore();
}

/// execve in one of two processes that shared the mm (vfork): the old mm goes on on the other CPU, the new one begins.
#[test]
fn an_execve_changes_the_mm() {
    let config = Config { mms: 2, ..small() };
    let after = On { mm: address(1), ..on(0) };
    Model::new("per-task: an execve", move || {
        let host = running(&config);
        touch(&host, on(0), 2);
        host
    })
    .thread("cpu 0", (0, 0), move |host: &World| {
        // Arguments are charged to the new mm before the task has it.
        host.direct(on(0), address(1), ANON, 1);
        host.let_go(on(0), address(1));
        events::executed(&host.task_program(0), &host.task(0));
        touch(host, after, 3);
        host.leave(after);
    })
    .thread("cpu 1", (1, 0), |host: &World| {
        touch(host, on(1), 1);
        host.sync(on(1));
        host.leave(on(1));
    })
    .check_end(|host| {
        host.check_sums();
        host.check_updates();
        assert_eq!(host.shadow(1, 1), host.mms[1].truth());
        assert!(host.is_seeded(1));
        assert_eq!(host.hits_and_misses(1), (1, 1));
    })
    .daily(Bound::Switches(2))
    .explore();
}

/// The address of an mm that ended is another's at once: nothing of the old one reaches it.
#[test]
fn an_address_is_used_again() {
    let config = Config { members: [true, true, false, false], ..small() };
    Model::new("per-task: an address again", move || {
        let host = super::world(&config);
        host.begin_on(on(0));
        touch(&host, on(0), 2);
        host.tasks[1].mm.poke(0);
        host
    })
    .thread("cpu 0", (0, 0), |host: &World| {
        host.let_go(on(0), 0);
        host.direct(on(0), address(0), ANON, -2);
        life::end(&host.task_program(0), address(0));
        host.kernel_new_mm(address(0));
        host.now.add(1);
        host.leave(on(0));
    })
    .thread("cpu 1", (1, 0), |host: &World| {
        host.direct(on(1), address(0), FILE, 4);
        host.tasks[1].mm.set(address(0));
        events::forked(&host.task_program(1), &host.task(1));
        host.begin_on(on(1));
        touch(host, on(1), 1);
        host.leave(on(1));
    })
    .guard(|host: &World| host.now.peek() > 1)
    .check_end(|host| {
        let counts = host.all_counts_now();
        assert_eq!((counts.births, counts.deaths, counts.rest), (2, 1, 0));
        let index = (0..2).find(|&index| host.state_now(index).id != 0).expect("the new mm has a state");
        assert_eq!(host.shadow(0, index), [4, 1, 0, 0]);
        assert!(host.is_seeded(index));
    })
    .explore();
}

/// A switch that no program saw: what the task did before is not known, and the state says so until it is seeded again.
#[test]
fn a_missed_switch_is_no_figure() {
    let config = Config { tasks: 3, ..small() };
    let third = On { cpu: 0, task: 2, mm: address(0) };
    Model::new("per-task: a missed switch", move || {
        let host = running(&config);
        touch(&host, on(0), 2);
        host
    })
    .thread("cpu 0", (0, 0), move |host: &World| {
        // The task is left, the third one taken, without an event.
        host.add_mm_counter_fast(2, address(0), ANON, 5, |_| unreachable!("it is the task's own mm"));
        touch(host, third, 1);
        host.leave(third);
    })
    .thread("cpu 1", (1, 0), |host: &World| {
        touch(host, on(1), 1);
        host.sync(on(1));
        host.leave(on(1));
    })
    .check_end(|host| {
        assert!(!host.is_seeded(0), "a change was lost");
        // What is missing is what happened unseen: the first task's 2 pages, of which nobody looked, and the third one's 5.
        assert_eq!(host.shadow(0, 0)[1], host.mms[0].truth()[1] - 7);
        // And seeded with that, it is right for good.
        host.seeds[0].pages[1].poke(7);
        host.begin_on(on(0));
        host.sync(on(0));
        host.direct(on(0), address(0), ANON, -1);
        host.leave(on(0));
        assert_eq!(host.shadow(0, 0), host.mms[0].truth());
    })
    .daily(Bound::Switches(3))
    .explore();
}

/// The reader visits a task that lets go of its mm, which ends: no state is left for an mm that is gone, and none is freed twice.
#[test]
fn a_reader_leaves_no_state_behind() {
    let config = Config { tasks: 1, ..small() };
    Model::new("per-task: reader and end", move || Host::new(&config))
        .thread("cpu 0", (0, 0), |host: &World| {
            host.visited.set(0);
            host.direct(on(0), address(0), ANON, 1);
            host.direct(on(0), address(0), ANON, -1);
            life::end(&host.task_program(0), address(0));
        })
        .thread("reader", (1, 0), |host: &World| {
            let mut record = TaskShadow::default();
            reader::read(&host.task_program(1), &Visitor { tgid: 1 }, address(0), &mut record);
        })
        .check_end(|host| {
            let counts = host.all_counts_now();
            assert_eq!(counts.births, counts.deaths, "every state has ended");
            assert!((0..2).all(|index| host.state_now(index).id == 0));
            assert_eq!(counts.rest, 0);
        })
        .daily(Bound::Switches(3))
        .explore();
}
