//! An mm ends while another CPU's slot names it though its task does not hold it any more. From `fs/exec.c:exec_mmap` to
//! `sched_process_exec` a slot names the old mm; a reader of the process's files in /proc can be the last who holds that, and ends it.

use crate::{
    common::{A, B, Scenario, World, config},
    host::ANON,
};
use rss_drift_common::memory::Word as _;

/// CPU 0 ends A while CPU 1, which holds A with two pages pending, goes on to B.
fn ends_beside(name: &'static str, goes_on: fn(&World)) {
    Scenario::new(name, config(2, 2, 2), |host| {
        host.begin(1, A, 1);
        host.update(1, A, ANON, 2);
    })
    .cpu(0, |host| host.exit(0, A, 3))
    .cpu(1, goes_on)
    .end(|host| {
        host.check_no_residue();
        host.check_shadow(B);
        host.check_events(0);
        host.check_indexes();
    })
    .explore();
}

/// The execve goes on to its event, and its slot to the next mm, while the end looks at that slot.
#[test]
fn an_execve_whose_old_mm_ends_elsewhere() {
    ends_beside("an execve and an end", |host| {
        host.current[1].set(B);
        host.update(1, B, ANON, 1);
        host.executes(1, B);
        host.update(1, B, ANON, 2);
    });
}

/// The execve is preempted in between, and its CPU idles: its slot publishes while the end looks at it.
#[test]
fn an_execve_that_idles_while_its_old_mm_ends_elsewhere() {
    ends_beside("an execve that idles and an end", |host| {
        host.go_on_with(1, 0);
        host.go_on_with(1, B);
        host.executes(1, B);
        host.update(1, B, ANON, 1);
    });
}
