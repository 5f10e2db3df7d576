//! Lives of mms: states that are made by several CPUs at once, and ends at which others are still at work.

use crate::{
    common::{A, B, C, World, config},
    engine::{Bound, Model},
    host::{ANON, Check as _, Config, Host, Quiet},
};
use rss_drift_common::{memory::Word as _, protocol::percpu::life};

/// A model over a host, which `prepare` brings to where the scenario begins.
pub(crate) fn model(name: &'static str, config: Config, prepare: impl Fn(&World) + 'static) -> Model<World> {
    Model::new(name, move || {
        let host = Host::new(&config);
        prepare(&host);
        host
    })
}

/// The first events of an mm come on two CPUs at once: one state is made.
#[test]
fn first_events_on_two_cpus_make_one_state() {
    model("two first events", config(2, 1, 2), |host| {
        (0..2).for_each(|cpu| host.go_on_with(cpu, A));
    })
    .thread("cpu 0", (0, 0), |host: &World| host.update(0, A, ANON, 1))
    .thread("cpu 1", (1, 0), |host: &World| host.update(1, A, ANON, 2))
    .check_end(|host| {
        let counts = host.all_counts_now();
        assert_eq!((counts.births, counts.deaths, counts.refused), (1, 0, 0));
        host.check_shadow(A);
        host.check_events(0);
        host.check_indexes();
    })
    .explore();
}

/// As before, and one index is free: the second CPU may find none, and leaves its pages to the seeding of the first or to a reading.
#[test]
fn first_events_with_one_index_free() {
    model("two first events, one index", config(2, 1, 1), |host| {
        (0..2).for_each(|cpu| host.go_on_with(cpu, A));
    })
    .thread("cpu 0", (0, 0), |host: &World| host.update(0, A, ANON, 1))
    .thread("cpu 1", (1, 0), |host: &World| host.update(1, A, ANON, 2))
    .check_end(|host| {
        let counts = host.all_counts_now();
        assert_eq!((counts.births, counts.deaths), (1, 0));
        assert!(counts.refused <= 1);
        let record = host.read(0, A);
        assert_eq!(record.shadow, host.mm(A).truth());
        assert!(counts.refused != 0 || record.repaired == 0);
        host.check_events(0);
        host.check_indexes();
    })
    .explore();
}

/// The reader makes the state of an mm that has its first event now.
#[test]
fn the_reader_and_an_event_make_one_state() {
    model("the reader and a first event", config(2, 1, 2), |host| host.go_on_with(0, A))
        .thread("cpu 0", (0, 0), |host: &World| host.update(0, A, ANON, 1))
        .thread("reader", (1, 0), |host: &World| {
            host.read(1, A);
        })
        .check_end(|host| {
            let counts = host.all_counts_now();
            assert_eq!((counts.births, counts.deaths, counts.refused), (1, 0, 0));
            host.check_shadow(A);
            host.check_events(0);
            host.check_indexes();
        })
        .explore();
}

/// An mm ends that a reader is at, and another one gets its address at once. One of the first mm's events was missed.
#[test]
fn an_end_while_the_reader_is_at_it() {
    for missed in [false, true] {
        model("an end and a reader", config(2, 1, 2), |host| host.begin(0, A, 1))
            .thread("cpu 0", (0, 0), move |host: &World| {
                host.kernel_update(0, A, ANON, -1);
                if !missed {
                    host.event(0, A, ANON);
                }
                host.visited.set(0);
                life::end(&host.program(0), A);
                host.kernel_new_mm(A);
                host.update(0, A, ANON, 2);
            })
            .thread("reader", (1, 0), |host: &World| {
                host.read(1, A);
            })
            .daily(Bound::Switches(2))
            .check_end(|host| {
                host.check_no_residue();
                host.check_shadow(A);
                host.check_indexes();
            })
            .explore();
    }
}

/// The reader makes a state of an mm that ends meanwhile: it is not left behind.
#[test]
fn an_end_while_the_reader_makes_its_state() {
    model("an end and a reader's state", config(2, 1, 1), |_| {})
        .thread("cpu 0", (0, 0), |host: &World| {
            host.visited.set(0);
            life::end(&host.program(0), A);
        })
        .thread("reader", (1, 0), |host: &World| {
            host.read(1, A);
        })
        .check_end(|host| {
            host.check_no_residue();
            assert_eq!(host.table.find(A), None, "nobody will take it away");
            host.check_indexes();
        })
        .explore();
}

/// Two mms end on two CPUs while the reader goes from one to the other. Both had an event that was missed, so that the reader has
/// something to add.
#[test]
fn two_ends_while_the_reader_goes_from_one_to_the_other() {
    // Nobody races on the others: the slots hold C.
    const QUIET: Quiet = Quiet::of(&[
        "hits",
        "misses",
        "flushes",
        "faults",
        "churn",
        "publications",
        "repaired",
        "peak_exact",
        "peak_drift",
        "active",
        "active_max",
        "entered",
        "rss",
        "approximate",
        "cpus",
        "visited",
        "looked",
        "looked_at",
        "tgid",
        "owned",
        "unused",
        "pass",
        "zero",
        "lock",
        "pending",
        "busy",
        "live",
        "index",
        "deferred",
        "slot",
        "count",
        "global",
        "mm",
        "seeded",
    ]);
    model("two ends and a reader", Config { quiet: QUIET, ..config(3, 2, 2) }, |host| {
        host.begin(0, A, 1);
        host.begin(1, B, 1);
        // Of these the events were missed.
        host.kernel_update(0, A, ANON, -1);
        host.kernel_update(1, B, ANON, -1);
        (0..2).for_each(|cpu| host.go_on_with(cpu, C));
    })
    .thread("cpu 0", (0, 0), |host: &World| life::end(&host.program(0), A))
    .thread("cpu 1", (1, 0), |host: &World| life::end(&host.program(1), B))
    .thread("reader", (2, 0), |host: &World| {
        host.visited.poke(A);
        host.read(2, A);
        host.visited.poke(B);
        host.read(2, B);
    })
    .daily(Bound::Switches(4))
    .check_end(|host| {
        host.check_no_residue();
        host.check_indexes();
    })
    .explore();
}

/// The mm's last CPU ends it while another one, which held it before, flushes its slot: between `exit_mm` and its last switch a thread does
/// not hold the mm back. The index goes to another mm at once where it may.
#[test]
fn an_end_while_another_cpu_flushes() {
    model("an end and a flush", config(2, 3, 3), |host| {
        host.begin(1, A, 2);
        host.begin(0, A, 1);
    })
    .thread("cpu 0", (0, 0), |host: &World| {
        host.exit(0, A, 3);
        host.begin(0, B, 1);
    })
    .thread("cpu 1", (1, 0), |host: &World| {
        host.begin(1, C, 1);
    })
    .check_end(|host| {
        host.check_no_residue();
        let counts = host.all_counts_now();
        host.check_shadow(B);
        assert_eq!(counts.refused, 0);
        host.check_shadow(C);
        host.check_events(0);
        host.check_indexes();
    })
    .explore();
}
