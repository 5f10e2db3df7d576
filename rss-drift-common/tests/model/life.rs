//! Lives of mms: states that are made by several CPUs at once, and ends at which others are still at work.

use crate::{
    common::{A, B, C, FIGURES, Scenario, World, config},
    host::{ANON, Check as _, Config, Quiet},
};
use rss_drift_common::memory::Word as _;

/// CPU 0 and CPU 1 have the first events of A at once, where so many states are free.
fn two_first_events(name: &'static str, states: usize) -> Scenario {
    Scenario::new(name, config(2, 1, states), |host| (0..2).for_each(|cpu| host.go_on_with(cpu, A)))
        .updates(0, A, &[1])
        .updates(1, A, &[2])
}

/// One state of A was made, nothing was lost, and every event was counted.
fn check_one_state(host: &World) {
    host.check_lives(1, 0, 0);
    host.check_shadow(A);
    host.check_events(0);
    host.check_indexes();
}

/// The first events of an mm come on two CPUs at once: one state is made.
#[test]
fn first_events_on_two_cpus_make_one_state() {
    two_first_events("two first events", 2).end(check_one_state).explore();
}

/// As before, and one index is free: the second CPU may find none, and leaves its pages to the seeding of the first or to a reading.
#[test]
fn first_events_with_one_index_free() {
    two_first_events("two first events, one index", 1)
        .end(|host| {
            let refused = host.all_counts_now().refused;
            assert!(refused <= 1);
            host.check_lives(1, 0, refused);
            let record = host.read(0, A);
            assert_eq!(record.shadow, host.mm(A).truth());
            assert!(refused != 0 || record.repaired == 0);
            host.check_events(0);
            host.check_indexes();
        })
        .explore();
}

/// The reader makes the state of an mm that has its first event now.
#[test]
fn the_reader_and_an_event_make_one_state() {
    Scenario::new("the reader and a first event", config(2, 1, 2), |host| host.go_on_with(0, A))
        .updates(0, A, &[1])
        .reads(1, A)
        .end(check_one_state)
        .explore();
}

/// An mm ends that a reader is at, and another one gets its address at once. One of the first mm's events was missed.
#[test]
fn an_end_while_the_reader_is_at_it() {
    for missed in [false, true] {
        Scenario::new("an end and a reader", config(2, 1, 2), |host| host.begin(0, A, 1))
            .cpu(0, move |host| {
                host.kernel_update(0, A, ANON, -1);
                if !missed {
                    host.event(0, A, ANON);
                }
                host.visited.set(0);
                host.end(0, A);
                host.kernel_new_mm(A);
                host.update(0, A, ANON, 2);
            })
            .reads(1, A)
            .end(|host| host.check_living(&[A]))
            .daily(2);
    }
}

/// The reader makes a state of an mm that ends meanwhile: it is not left behind.
#[test]
fn an_end_while_the_reader_makes_its_state() {
    Scenario::new("an end and a reader's state", config(2, 1, 1), |_| {})
        .cpu(0, |host| {
            host.visited.set(0);
            host.end(0, A);
        })
        .reads(1, A)
        .end(|host| {
            host.check_living(&[]);
            assert_eq!(host.table.find(A), None, "nobody will take it away");
        })
        .explore();
}

/// Two mms end on two CPUs while the reader goes from one to the other. Both had an event that was missed, so that the reader has
/// something to add.
#[test]
fn two_ends_while_the_reader_goes_from_one_to_the_other() {
    // Nobody races on the others: the slots hold C.
    const QUIET: Quiet = FIGURES
        .and(&["pending", "busy", "active", "index", "deferred", "slot", "count", "global", "mm", "seeded"]);
    Scenario::new("two ends and a reader", Config { quiet: QUIET, ..config(3, 2, 2) }, |host| {
        host.begin(0, A, 1);
        host.begin(1, B, 1);
        // Of these the events were missed.
        host.kernel_update(0, A, ANON, -1);
        host.kernel_update(1, B, ANON, -1);
        (0..2).for_each(|cpu| host.go_on_with(cpu, C));
    })
    .cpu(0, |host| host.end(0, A))
    .cpu(1, |host| host.end(1, B))
    .reader(|host| {
        for mm in [A, B] {
            host.visited.poke(mm);
            host.read(2, mm);
        }
    })
    .end(|host| host.check_living(&[]))
    .daily(3);
}

/// The mm's last CPU ends it while another one, which held it before, flushes its slot: between `exit_mm` and its last switch a thread does
/// not hold the mm back. The index goes to another mm at once where it may.
#[test]
fn an_end_while_another_cpu_flushes() {
    Scenario::new("an end and a flush", config(2, 3, 3), |host| {
        host.begin(1, A, 2);
        host.begin(0, A, 1);
    })
    .cpu(0, |host| {
        host.exit(0, A, 3);
        host.begin(0, B, 1);
    })
    .cpu(1, |host| host.begin(1, C, 1))
    .end(|host| {
        assert_eq!(host.all_counts_now().refused, 0);
        host.check_no_residue();
        host.check_shadow(B);
        host.check_shadow(C);
        host.check_events(0);
        host.check_indexes();
    })
    .explore();
}
