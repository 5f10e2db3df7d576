//! per-task accounting: the mirror of an mm's counts has no operation that reads and writes in one step.

use crate::{
    host::{Config, Quiet, Table as _, at, on},
    search::{Bounds, FIGURES, MM, Scenario, WHOLE, World},
};

const QUIET: Quiet = FIGURES.and(&[
    "task", "seen", "births", "exact", "drift", "pages", "repaired", "lost", "pending", "index", "active",
    "mm", "cache", "task_mm", "id", "owned", "busy",
]);

/// So many CPUs update the mm, once each, after `first` updates, by a task with another one, or none, as reclaim does it.
fn together(name: &'static str, cpus: u32, first: usize) -> Scenario {
    let config = Config { cpus: at(cpus), tasks: at(cpus), ..Config::anon(QUIET) };
    let begin = move |host: &World| (0..first).for_each(|_| host.directly(on(0), 1));
    (0..cpus)
        .rev()
        .fold(Scenario::new(name, config, begin), |scenario, cpu| {
            scenario.cpu(at(cpu), move |host| host.directly(on(cpu), 1))
        })
        .end(|host| {
            let index = at(host.table.find(MM).expect("it has a state"));
            assert_eq!(host.state_now(index).global, host.mm(MM).counts());
            assert_eq!(host.all_counts_now().unsettled, 0);
        })
}

/// Who stores last has seen the last count.
#[test]
fn the_last_count_stands_after_two_cpus() {
    together("two direct updates", 2, 1).search(WHOLE);
}

/// One of them makes the state.
#[test]
fn the_last_count_stands_in_a_new_state() {
    together("two direct updates of a new state", 2, 0).search(Bounds { daily: Some(3), all: None });
}

#[test]
fn the_last_count_stands_after_three_cpus() {
    together("three direct updates", 3, 1).search(Bounds { daily: Some(3), all: Some(4) });
}
