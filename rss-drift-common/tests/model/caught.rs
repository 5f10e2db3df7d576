//! Tasks whose switch was not seen: the first update sets the slot right.

use crate::{
    common::{A, B, World, config},
    engine::Bound,
    host::{ANON, Check as _},
    life::model,
};
use rss_drift_common::protocol::percpu::events;

/// A task ran already when the programs were attached. The reader comes meanwhile.
#[test]
fn a_task_that_ran_before_has_hits() {
    model("a task that ran before", config(2, 1, 2), |host| {
        host.current[0].poke(A);
        host.kernel_update(0, A, ANON, 2);
    })
    .thread("cpu 0", (0, 0), |host: &World| (0..2).for_each(|_| host.update(0, A, ANON, 1)))
    .thread("reader", (1, 0), |host: &World| {
        host.read(1, A);
    })
    .daily(Bound::Switches(2))
    .check_end(|host| {
        assert_eq!(host.slot_now(0).hits, 2);
        assert_eq!(host.all_counts_now().misses, 0);
        host.check_shadow(A);
        host.check_events(0);
        host.check_indexes();
    })
    .explore();
}

/// From `exec_mmap` to `sched_process_exec` the slot is the old mm's: what execve changes of the new one are hits, and the old one's
/// pending deltas reach its totals once.
#[test]
fn an_execve_has_hits() {
    model("an execve", config(2, 2, 2), |host| {
        host.begin(0, A, 1);
        host.update(0, A, ANON, 1);
    })
    .thread("cpu 0", (0, 0), |host: &World| {
        host.current[0].poke(B);
        host.update(0, B, ANON, 1);
        events::executed(&host.program(0), B);
        host.update(0, B, ANON, 1);
    })
    .thread("cpu 1", (1, 0), |host: &World| host.update(1, A, ANON, -1))
    .check_end(|host| {
        assert_eq!(host.slot_now(0).hits, 2);
        // That of CPU 1, which runs no task of A.
        assert_eq!(host.all_counts_now().misses, 1);
        host.check_shadow(A);
        host.check_shadow(B);
        host.check_events(0);
        host.check_indexes();
    })
    .explore();
}
