//! The engine's own tests: it finds what is there, and nothing else. See [`crate::engine_threads`] for the threads of one CPU and what they
//! wait for.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    rc::Rc,
    time::Duration,
};

use crate::engine::{Bound, Model, Word, choose, forget, indexed, member, note, step};

/// CPUs without preemption.
pub(crate) const CPUS: [(usize, u8); 3] = [(0, 0), (1, 0), (2, 0)];

pub(crate) fn counter() -> Word<u64> {
    Word::new("counter", 0)
}

/// Each thread loads and stores: an update can be lost.
fn lost_update(threads: usize) -> Model<Word<u64>> {
    (0..threads)
        .fold(Model::new("lost update", counter), |model, number| {
            model.thread(format!("adds {number}"), CPUS[number], |word: &Word<u64>| {
                let value = word.load();
                word.store(value + 1);
            })
        })
        .check_end(move |word| assert_eq!(word.load(), threads as u64, "an update is lost"))
}

#[test]
fn a_lost_update_is_found_with_one_switch() {
    for threads in 2..=3 {
        let failure = lost_update(threads).try_explore().unwrap_err();
        assert!(failure.message.contains("an update is lost"), "{failure}");
        assert_eq!((failure.switches, failure.fewest), (1, true), "{failure}");
        assert_eq!(failure.schedule.len(), threads * 2);
        assert!(failure.trace.contains("cpu 0  adds 0  load counter = 0\n"), "{failure}");
    }
    let failure = lost_update(3).bound(Bound::Random(100, 7)).try_explore().unwrap_err();
    assert_eq!(failure.switches, 1, "{failure}");
    let statistics = lost_update(3).bound(Bound::Switches(0)).try_explore().unwrap();
    assert!(!statistics.complete, "{statistics}");
}

#[test]
#[should_panic(expected = "store counter")]
fn a_failure_is_told_with_its_schedule() {
    lost_update(2).explore();
}

#[test]
fn atomic_updates_are_not_lost() {
    let model = CPUS.iter().fold(Model::new("atomic", counter), |model, &cpu| {
        model.thread("adds", cpu, |word: &Word<u64>| {
            word.fetch_add(1);
            word.add(1);
            while !{
                let value = word.load();
                word.compare_exchange(value, value + 1)
            } {}
        })
    });
    let statistics = model.check_end(|word| assert_eq!(word.load(), 9)).explore();
    assert!(statistics.complete, "{statistics}");
}

/// Schedules of so many threads on CPUs of their own with so many steps each.
fn schedules(threads: usize, steps: u64, pruning: bool) -> (u64, u64) {
    let model = (0..threads).fold(Model::new("count", || ()), |model, number| {
        model.thread("steps", CPUS[number], move |()| (0..steps).for_each(|_| step("step")))
    });
    let model = if pruning { model } else { model.without_pruning() };
    let statistics = model.explore();
    assert!(statistics.complete);
    assert_eq!(statistics.longest as u64, threads as u64 * steps);
    (statistics.ends, statistics.states)
}

#[test]
fn every_schedule_is_run_once() {
    assert_eq!(schedules(2, 1, false).0, 2);
    assert_eq!(schedules(2, 4, false).0, 70);
    assert_eq!(schedules(2, 8, false).0, 12870);
    assert_eq!(schedules(3, 3, false).0, 1680);
    // With pruning one for each state, but the first: a grid.
    assert_eq!(schedules(2, 8, true), (1, 80));
    assert_eq!(schedules(3, 3, true), (1, 63));
}

/// Two CPUs store to a word of their own and load the other's. That both load 0 is allowed by every real machine, and not
/// under sequential consistency: this engine cannot find it, loom does (tests/loom.rs).
#[test]
fn store_buffering_is_beyond_this_engine() {
    struct World {
        flags: [Word<u32>; 2],
        seen: [Word<u32>; 2],
    }
    let ends = Rc::new(RefCell::new(BTreeSet::new()));
    let seen = Rc::clone(&ends);
    let model = (0..2).fold(
        Model::new("store buffering", || World {
            flags: [0, 1].map(|at| Word::new(member("cpu", at, "flag"), 0)),
            seen: [0, 1].map(|at| Word::new(member("cpu", at, "seen"), 9)),
        }),
        |model, cpu| {
            model.thread("cpu", (cpu, 0), move |world: &World| {
                world.flags[cpu].store(1);
                let other = world.flags[1 - cpu].load();
                world.seen[cpu].quiet().store(other);
            })
        },
    );
    let model = model.check_end(move |world| {
        seen.borrow_mut().insert([0, 1].map(|cpu| world.seen[cpu].load()));
    });
    assert!(model.explore().complete);
    assert_eq!(*ends.borrow(), BTreeSet::from([[0, 1], [1, 0], [1, 1]]));
}

#[test]
fn limits_are_told() {
    let model = lost_update(2).limit_executions(1).try_explore().unwrap();
    assert_eq!((model.complete, model.incomplete), (false, "the limit of schedules"));
    let endless = Model::new("endless", counter).limit_depth(50).thread(
        "spins",
        (0, 0),
        |word: &Word<u64>| {
            while word.load() == 0 {}
        },
    );
    assert_eq!(endless.try_explore().unwrap_err().message, "a thread does not end: 50 steps");
    let large = (0..3).fold(Model::new("large", counter), |model, cpu| {
        model.thread("adds", (cpu, 0), |word: &Word<u64>| (0..100).for_each(|_| _ = word.fetch_add(1)))
    });
    let statistics = large.limit_time(Duration::from_millis(300)).explore();
    assert_eq!((statistics.complete, statistics.incomplete), (false, "the time was over"));
}

#[test]
fn a_model_that_is_not_deterministic_is_refused() {
    let calls = Rc::new(Cell::new(0));
    let model = Model::new("moody", counter)
        .thread("moody", CPUS[0], move |word: &Word<u64>| {
            calls.set(calls.get() + 1);
            word.store(calls.get());
            word.store(0);
        })
        .thread("steps", CPUS[1], |_| (0..2).for_each(|_| step("step")));
    assert!(model.try_explore().unwrap_err().message.contains("not deterministic"));
}

/// Results that the model does not decide are all tried, at the first step of a thread too.
#[test]
fn every_result_of_a_choice_is_tried() {
    let model = || {
        (0..2usize).fold(
            Model::new("choices", || [0, 1].map(|at| Word::new(indexed("sum", at), 0u32))),
            |model, at| {
                model.thread("chooses", CPUS[at], move |sums: &[Word<u32>; 2]| {
                    let high = choose("high", 3);
                    let low = choose("low", 2);
                    sums[at].quiet().store(u32::from(high * 10 + low));
                })
            },
        )
    };
    let values = BTreeSet::from([0, 1, 10, 11, 20, 21]);
    for (bound, pruning) in [
        (Bound::None, true),
        (Bound::None, false),
        (Bound::Switches(0), true),
        (Bound::Random(2000, 3), true),
    ] {
        let ends = Rc::new(RefCell::new(BTreeSet::new()));
        let seen = Rc::clone(&ends);
        let model = model().bound(bound).check_end(move |sums| {
            seen.borrow_mut().insert((sums[0].load(), sums[1].load()));
        });
        let statistics = if pruning { model } else { model.without_pruning() }.explore();
        assert_eq!(ends.borrow().len(), 36, "{bound:?}");
        assert!(ends.borrow().iter().all(|(one, other)| values.contains(one) && values.contains(other)));
        // 6 interleavings of 36 pairs of results.
        assert!(pruning || statistics.ends == 6 * 36, "{statistics}");
    }
    let failure = model().check_end(|sums| assert_ne!(sums[1].load(), 21)).try_explore().unwrap_err();
    assert!(failure.trace.contains("chooses  high: 2 of 0 to 2"), "{failure}");
    assert_eq!(failure.switches, 0);
}

/// What a thread was given besides words belongs to its history; what it says it forgot does not.
#[test]
fn notes_and_forgetting_change_what_a_state_is() {
    let states = |body: fn(u32)| {
        let model = Model::new("notes", counter)
            .thread("reads", CPUS[0], move |word: &Word<u64>| {
                let seen = word.fetch_or(0);
                body(u32::try_from(seen).unwrap());
                step("last");
            })
            .thread("adds", CPUS[1], |word| {
                word.add(1);
                word.swap(2);
                word.store(0);
            });
        model.explore().states
    };
    let plain = states(|_| {});
    assert!(states(|_| forget(1)) < plain);
    assert_eq!(
        states(|seen| {
            forget(1);
            note(u64::from(seen));
        }),
        plain
    );
}
