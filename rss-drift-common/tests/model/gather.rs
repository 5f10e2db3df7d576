//! An mm ends while another CPU's slot names it though its task does not hold it any more. From `fs/exec.c:exec_mmap` to
//! `sched_process_exec` a slot names the old mm; a reader of the process's files in /proc can be the last who holds that, and ends it.

use crate::{
    common::{A, B, World, config},
    host::ANON,
    life::model,
};
use rss_drift_common::{memory::Word as _, protocol::percpu::events};

/// CPU 1 holds A, and two pages of it are pending.
fn prepare(host: &World) {
    host.begin(1, A, 1);
    host.update(1, A, ANON, 2);
}

/// What has to hold when all is done.
fn check(host: &World) {
    host.check_no_residue();
    host.check_shadow(B);
    host.check_events(0);
    host.check_indexes();
}

/// The execve goes on to its event, and its slot to the next mm, while the end looks at that slot.
#[test]
fn an_execve_whose_old_mm_ends_elsewhere() {
    model("an execve and an end", config(2, 2, 2), prepare)
        .thread("cpu 0", (0, 0), |host: &World| host.exit(0, A, 3))
        .thread("cpu 1", (1, 0), |host: &World| {
            host.current[1].set(B);
            host.update(1, B, ANON, 1);
            events::executed(&host.program(1), B);
            host.update(1, B, ANON, 2);
        })
        .check_end(check)
        .explore();
}

/// The execve is preempted in between, and its CPU idles: its slot publishes while the end looks at it.
#[test]
fn an_execve_that_idles_while_its_old_mm_ends_elsewhere() {
    model("an execve that idles and an end", config(2, 2, 2), prepare)
        .thread("cpu 0", (0, 0), |host: &World| host.exit(0, A, 3))
        .thread("cpu 1", (1, 0), |host: &World| {
            host.go_on_with(1, 0);
            host.go_on_with(1, B);
            events::executed(&host.program(1), B);
            host.update(1, B, ANON, 1);
        })
        .check_end(check)
        .explore();
}
