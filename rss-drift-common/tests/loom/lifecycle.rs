//! A state's beginning and end beside other CPUs.

use crate::{
    host::{ANON, Check, Config, Host, List as _, Quiet, Table as _, address, at, narrow},
    loom_words::Loom,
    search::{Bounds, WHOLE, search},
};
use loom::{sync::Arc, thread};
use rss_drift_common::{
    memory::Word as _,
    protocol::{
        limbo,
        percpu::{events, life},
    },
    shadow::{Shared, State},
};

const ONLY_ANON: [bool; 4] = [false, true, false, false];

const FIGURES: Quiet = Quiet::of(&[
    "hits",
    "misses",
    "churn",
    "faults",
    "flushes",
    "cpus",
    "active",
    "active_max",
    "peak_exact",
    "peak_drift",
    "deferred",
    "rss",
    "approximate",
    "entered",
    "pass",
    "looked",
    "looked_at",
    "tgid",
    "owned",
    "repaired",
    "publications",
    "lock",
]);

fn config() -> Config {
    Config { members: ONLY_ANON, quiet: FIGURES, mms: 2, batch: 8, threshold: 8, ..Config::default() }
}

/// What is left when those that waited are free: the states that no mm has are free, each once, and empty.
fn check_states(host: &Host<Loom>) {
    host.pass(limbo::WAIT);
    limbo::release(&host.program(0));
    let mut indexes: Vec<_> = std::iter::from_fn(|| host.free.pop()).collect();
    for &index in &indexes {
        let now = host.state_now(at(index));
        // Where a claim came too late these two stay: the next one sets them.
        assert_eq!(now, State { visited: now.visited, mm: now.mm, ..State::default() }, "state {index}");
        for seen in &host.seen {
            assert_eq!(seen[at(index)].each_ref().map(Check::peek), [0; 4]);
        }
    }
    indexes.extend((0..host.config.mms).filter_map(|mm| host.table.find(address(mm))));
    indexes.sort_unstable();
    assert!(indexes.iter().copied().eq(0..narrow(host.config.states as u64)), "{indexes:?}");
    let counts = host.all_counts_now();
    assert_eq!((counts.deaths_with_rest, counts.unsettled, counts.refused), (0, 0, 0));
    let shared = host.shared_now();
    let still =
        Shared { last_id: shared.last_id, pass: shared.pass, visited: shared.visited, ..Shared::default() };
    assert_eq!(shared, still);
}

/// An mm that CPU 0 has used, and that has no pages any more.
fn used() -> Host<Loom> {
    let host = Host::<Loom>::new(&config());
    let mm = address(0);
    events::switched(&host.program(0), mm);
    host.update(0, mm, ANON, 1);
    host.update(0, mm, ANON, -1);
    events::switched(&host.program(0), address(1));
    host
}

/// Two CPUs have the first event of an mm at once: one of them makes the state, and seeds it while the other may find it.
#[test]
fn two_first_events_make_one_state() {
    search("two first events", WHOLE, || {
        let host = Host::<Loom>::new(&config());
        let mm = address(0);
        events::switched(&host.program(0), mm);
        events::switched(&host.program(1), mm);
        let host = Arc::new(host);
        let others = Arc::clone(&host);
        let other = thread::spawn(move || others.update(1, mm, ANON, 1));
        host.update(0, mm, ANON, 2);
        other.join().expect("the other CPU's event ends");
        let record = host.read(0, mm);
        assert_eq!((record.shadow, record.repaired), (host.mm(mm).truth(), 0));
        assert_eq!(record.updates(), host.mm(mm).events.peek());
        check_states(&host);
    });
}

/// As [`two_first_events_make_one_state`], with the reader as one of them.
#[test]
fn a_reading_beside_a_first_event_makes_one_state() {
    search("reading and first event", Bounds { daily: Some(2), all: Some(3) }, || {
        let host = Host::<Loom>::new(&config());
        let mm = address(0);
        events::switched(&host.program(1), mm);
        let host = Arc::new(host);
        let others = Arc::clone(&host);
        let other = thread::spawn(move || others.update(1, mm, ANON, 1));
        host.read(0, mm);
        other.join().expect("the other CPU's event ends");
        let record = host.read(0, mm);
        assert_eq!(record.shadow, host.mm(mm).truth());
        assert_eq!(record.updates(), host.mm(mm).events.peek());
        check_states(&host);
    });
}

/// Either the reader sees the end, or the end leaves the state to the reader.
#[test]
fn an_end_beside_a_reading_frees_the_state_once() {
    search("reading and end", WHOLE, || {
        let host = Arc::new(used());
        let mm = address(0);
        let others = Arc::clone(&host);
        let other = thread::spawn(move || {
            others.visited.set(0);
            life::end(&others.program(1), mm);
        });
        host.read(0, mm);
        other.join().expect("the end ends");
        assert_eq!(host.table.find(mm), None);
        check_states(&host);
    });
}

/// The address goes to another mm at once, which has an event: nothing that the reader does for the old one reaches it.
#[test]
fn an_end_and_a_new_mm_beside_a_reading_lose_nothing() {
    search("reading, end and new mm", Bounds { daily: Some(1), all: Some(2) }, || {
        let host = Arc::new(used());
        let mm = address(0);
        let others = Arc::clone(&host);
        let other = thread::spawn(move || {
            others.visited.set(0);
            life::end(&others.program(1), mm);
            others.kernel_new_mm(mm);
            events::executed(&others.program(1), mm);
            others.update(1, mm, ANON, 1);
        });
        host.read(0, mm);
        other.join().expect("the new mm's event ends");
        host.visited.poke(mm);
        let record = host.read(0, mm);
        assert_eq!((record.shadow, record.hits, record.misses), (host.mm(mm).truth(), 1, 0));
        assert_eq!(record.shadow, [0, 1, 0, 0]);
        check_states(&host);
    });
}

/// Where CPU 1 goes on to another mm while the old one ends on CPU 0: in `execve`, from `exec_mmap` to `sched_process_exec`. What its
/// slot gives up then never reaches the next mm that has the state.
fn an_end_beside_a_flush(name: &str, idle: bool) {
    search(name, WHOLE, move || {
        const QUIET: Quiet = Quiet::of(&[
            "misses",
            "faults",
            "cpus",
            "active",
            "active_max",
            "peak_exact",
            "peak_drift",
            "deferred",
            "rss",
            "approximate",
            "entered",
            "pass",
            "looked",
            "looked_at",
            "tgid",
            "owned",
            "repaired",
            "lock",
            "count",
            "global",
            "slot",
            "seen",
            "seeded",
            "reader",
            "visited",
        ]);
        let config = Config { states: 1, quiet: QUIET, ..config() };
        let host = Host::<Loom>::new(&config);
        let mm = address(0);
        events::switched(&host.program(1), mm);
        host.update(1, mm, ANON, 1);
        host.update(1, mm, ANON, -1);
        if idle {
            events::switched(&host.program(1), 0);
        }
        let host = Arc::new(host);
        let others = Arc::clone(&host);
        let other = thread::spawn(move || events::switched(&others.program(1), address(1)));
        life::end(&host.program(0), mm);
        other.join().expect("the switch ends");
        check_states(&host);
    });
}

#[test]
fn a_flush_beside_an_end_reaches_no_other_state() {
    an_end_beside_a_flush("end and flush", false);
}

/// The CPU was idle since its last update, so that it does not count among those that change the mm.
#[test]
fn a_flush_after_idling_beside_an_end_reaches_no_other_state() {
    an_end_beside_a_flush("end and flush after idling", true);
}
