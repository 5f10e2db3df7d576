//! Ends of mms that another CPU's slot names still.

use super::{ends, exits, forked, small, two_threads};
use crate::{
    common::World,
    engine::Model,
    host::{Check as _, Config, On, address, on},
};
use rss_drift_common::protocol::pertask::events;

/// No residue is found where nothing was missed, and each state is in one place.
fn check_ends(host: &World) {
    host.check_no_residue();
    host.check_places();
}

/// Between `exec_mmap` and its event the slot of CPU 1 names the old mm. Who read a file of it in /proc was its last user and
/// ends it meanwhile. Then its address and its index are another mm's.
#[test]
fn an_end_beside_an_execve() {
    let config = Config { mms: 2, states: 3, ..small() };
    forked("per-task: an end beside an execve", config, |host| {
        host.tasks[0].mm.poke(0);
        host.begin_on(on(1));
        host.touch(on(1), 2);
        host.let_go(on(1), address(1));
    })
    .cpu(0, |host| {
        host.directly(on(0), -2);
        ends(host, 0);
        host.kernel_new_mm(address(0));
        host.directly(on(0), 1);
    })
    .cpu(1, |host| {
        events::executed(&host.task_program(1), &host.task(1));
        host.touch(on(1), 1);
        host.leave(on(1));
    })
    .end(|host| {
        check_ends(host);
        for mm in 0..2 {
            assert_eq!(host.shadow(mm, host.index_of(mm)), host.mms[mm].truth());
        }
        assert_eq!(host.hits_and_misses(host.index_of(0)), (0, 1));
        assert_eq!(host.hits_and_misses(host.index_of(1)), (1, 0));
    })
    .daily(3);
}

/// Where `exit_mmap` is the end (6.1 without fentry), a thread does not hold it back that has let go of the mm and is not
/// switched away yet.
#[test]
fn an_end_before_the_last_switch() {
    let exit = |on: On| {
        move |host: &World| {
            if exits(host, on) {
                ends(host, on.cpu);
            }
            host.leave(on);
        }
    };
    two_threads("per-task: an end before a switch")
        .cpu(0, exit(on(0)))
        .cpu(1, exit(on(1)))
        .end(check_ends)
        .daily(3);
}

/// fentry's programs can be preempted on 6.1: the CPU leaves the task in the middle of the end of its old mm (execve), and
/// takes it again.
#[test]
fn an_end_is_preempted() {
    let config = Config { mms: 2, tasks: 1, cpus: 1, ..small() };
    let scenario = forked("per-task: an end is preempted", config, |host| {
        host.begin_on(on(0));
        host.touch(on(0), 2);
        host.let_go(on(0), address(1));
        host.directly(on(0), -2);
    });
    Model::new(scenario.name, move || scenario.host())
        .thread("end", (0, 0), |host: &World| ends(host, 0))
        .thread("switch", (0, 1), |host: &World| {
            host.leave(on(0));
            host.begin_on(on(0));
        })
        .check_end(check_ends)
        .explore();
}
