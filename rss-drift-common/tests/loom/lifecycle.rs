//! A state's beginning and end beside other CPUs.

use crate::{
    host::{ANON, APART, Check as _, Config, List as _, OWNERS, PEAKS, Quiet, Table as _, address, at},
    search::{Bounds, FIGURES, MM, OTHER, Scenario, WHOLE, World},
};
use rss_drift_common::memory::Word as _;

/// As of events, and what the reader alone is about.
const QUIET: Quiet = FIGURES.with(OWNERS).and(&["pass", "repaired", "publications", "lock"]);

fn config(quiet: Quiet) -> Config {
    Config { mms: 2, batch: 8, threshold: 8, ..Config::anon(quiet) }
}

/// The states that no mm has are free, each once, and empty, and nothing went wrong on the way.
fn check_states(host: &World) {
    host.check_indexes();
    host.check_no_residue();
    let counts = host.all_counts_now();
    assert_eq!((counts.unsettled, counts.refused), (0, 0));
}

/// After a reading the figures of the mm are those of its updates.
fn check_updates(host: &World) {
    let record = host.read(0, MM);
    assert_eq!(record.shadow, host.mm(MM).truth());
    assert_eq!(record.updates(), host.mm(MM).events.peek());
    check_states(host);
}

/// An mm that CPU 0 has used, and that has no pages any more.
fn used(name: &'static str) -> Scenario {
    Scenario::new(name, config(QUIET), |host| {
        host.runs(0, MM, &[1, -1]);
        host.switch(0, OTHER);
    })
}

/// The last task lets go of the mm, which ends.
fn ends(host: &World) {
    host.visited.set(0);
    host.end(1, MM);
}

/// Two CPUs have the first event of an mm at once: one of them makes the state, and seeds it while the other may find it.
#[test]
fn two_first_events_make_one_state() {
    let begin = |host: &World| (0..2).for_each(|cpu| host.switch(cpu, MM));
    Scenario::new("two first events", config(QUIET), begin)
        .updates(1, MM, &[1])
        .updates(0, MM, &[2])
        .end(|host| {
            check_updates(host);
            assert_eq!(host.read(0, MM).repaired, 0);
        })
        .search(WHOLE);
}

/// As [`two_first_events_make_one_state`], with the reader as one of them.
#[test]
fn a_reading_beside_a_first_event_makes_one_state() {
    Scenario::new("reading and first event", config(QUIET), |host| host.switch(1, MM))
        .updates(1, MM, &[1])
        .reads(0, MM)
        .end(check_updates)
        .search(Bounds { daily: Some(2), all: Some(3) });
}

/// Either the reader sees the end, or the end leaves the state to the reader.
#[test]
fn an_end_beside_a_reading_frees_the_state_once() {
    used("reading and end")
        .cpu(1, ends)
        .reads(0, MM)
        .end(|host| {
            assert_eq!(host.table.find(MM), None);
            check_states(host);
        })
        .search(WHOLE);
}

/// The address goes to another mm at once, which has an event: nothing that the reader does for the old one reaches it.
#[test]
fn an_end_and_a_new_mm_beside_a_reading_lose_nothing() {
    used("reading, end and new mm")
        .cpu(1, |host| {
            ends(host);
            host.kernel_new_mm(MM);
            host.executes(1, MM);
            host.update(1, MM, ANON, 1);
        })
        .reads(0, MM)
        .end(|host| {
            let record = host.visit(MM);
            assert_eq!((record.shadow, record.hits, record.misses), (host.mm(MM).truth(), 1, 0));
            assert_eq!(record.shadow, [0, 1, 0, 0]);
            check_states(host);
        })
        .search(Bounds { daily: Some(1), all: Some(2) });
}

/// Where CPU 1 goes on to another mm while the old one ends on CPU 0: in `execve`, from `exec_mmap` to `sched_process_exec`. What its
/// slot gives up then never reaches the next mm that has the state. `begin`: after its last update.
fn an_end_beside_a_flush(name: &'static str, begin: fn(&World)) {
    const QUIET: Quiet = PEAKS.with(APART).with(OWNERS).and(&[
        "deferred", "pass", "repaired", "lock", "count", "global", "slot", "seen", "seeded", "reader",
        "visited",
    ]);
    Scenario::new(name, Config { states: 1, ..config(QUIET) }, move |host| {
        host.runs(1, MM, &[1, -1]);
        begin(host);
    })
    .cpu(1, |host| host.switch(1, OTHER))
    .cpu(0, |host| host.end(0, MM))
    .end(check_states)
    .search(WHOLE);
}

#[test]
fn a_flush_beside_an_end_reaches_no_other_state() {
    an_end_beside_a_flush("end and flush", |_| {});
}

/// The CPU was idle since its last update, so that it does not count among those that change the mm.
#[test]
fn a_flush_after_idling_beside_an_end_reaches_no_other_state() {
    an_end_beside_a_flush("end and flush after idling", |host| host.switch(1, 0));
}

/// Whoever finds no free index says so, so that the next ones need no lock to find that out; whoever gives one back takes that away. The
/// only index goes back on CPU 0, while each of the other CPUs has the first event of an mm.
fn the_flag(name: &'static str, claims: u32) -> Scenario {
    const ALONE: Quiet = QUIET.and(&[
        "count", "global", "slot", "seen", "seeded", "reader", "visited", "mm", "id", "index", "busy",
        "pending", "active", "totals", "last_id", "zero", "settling",
    ]);
    let cpus = at(claims) + 1;
    let config = Config { cpus, states: 1, mms: cpus, ..config(ALONE) };
    (1..=claims)
        .fold(Scenario::new(name, config, |host| host.updates(0, MM, &[1, -1])), |scenario, cpu| {
            scenario.updates(cpu, address(at(cpu)), &[1])
        })
        .cpu(0, |host| host.end(0, MM))
        .end(|host| {
            if host.free.pop().is_some() {
                assert_eq!(host.full.peek(), 0, "an index is free, and nobody asks for it");
            }
        })
}

#[test]
fn the_flag_of_a_full_map_goes_beside_a_claim() {
    the_flag("full flag, one claim", 1).search(WHOLE);
}

#[test]
fn the_flag_of_a_full_map_goes_beside_two_claims() {
    the_flag("full flag, two claims", 2).search(Bounds { daily: Some(3), all: None });
}
