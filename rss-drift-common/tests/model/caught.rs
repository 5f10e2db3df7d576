//! Tasks whose switch was not seen: the first update sets the slot right.

use crate::{
    common::{A, B, Scenario, World, config},
    host::{ANON, Check as _},
};

/// The hits of CPU 0, all misses, and what holds of these mms.
fn check(host: &World, hits: u64, misses: u64, mms: &[u64]) {
    assert_eq!(host.slot_now(0).hits, hits);
    assert_eq!(host.all_counts_now().misses, misses);
    for &mm in mms {
        host.check_shadow(mm);
    }
    host.check_events(0);
    host.check_indexes();
}

/// A task ran already when the BPF programs were attached. The reader comes meanwhile.
#[test]
fn a_task_that_ran_before_has_hits() {
    Scenario::new("a task that ran before", config(2, 1, 2), |host| {
        host.current[0].poke(A);
        host.kernel_update(0, A, ANON, 2);
    })
    .updates(0, A, &[1, 1])
    .reads(1, A)
    .end(|host| check(host, 2, 0, &[A]))
    .daily(2);
}

/// From `exec_mmap` to `sched_process_exec` the slot is the old mm's: what execve changes of the new one are hits, and the old one's
/// pending deltas reach its totals once.
#[test]
fn an_execve_has_hits() {
    Scenario::new("an execve", config(2, 2, 2), |host| {
        host.begin(0, A, 1);
        host.update(0, A, ANON, 1);
    })
    .cpu(0, |host| {
        host.current[0].poke(B);
        host.update(0, B, ANON, 1);
        host.executes(0, B);
        host.update(0, B, ANON, 1);
    })
    .updates(1, A, &[-1])
    // The miss is that of CPU 1, which runs no task of A.
    .end(|host| check(host, 2, 1, &[A, B]))
    .explore();
}
