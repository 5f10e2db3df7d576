//! The engine's own tests: it finds what is there, and nothing else.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    rc::Rc,
    time::Duration,
};

use crate::engine::{
    Bound, Fifo, List, Model, Table, Word, choose, forget, indexed, member, note, preempt_disable,
    preempt_enable, step, wait_until, whole,
};

/// CPU 0 and CPU 1 without preemption.
const CPUS: [(usize, u8); 3] = [(0, 0), (1, 0), (2, 0)];

fn counter() -> Word<u64> {
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

#[test]
fn threads_of_one_cpu_and_level_do_not_interleave() {
    let model = |ordered: bool| {
        let model = (0..3).fold(Model::new("one after the other", counter), |model, number| {
            model.thread(format!("{number}"), (0, 0), move |word: &Word<u64>| {
                let seen = word.load();
                word.store(seen * 10 + number + 1);
            })
        });
        if ordered { model.program_order() } else { model }
    };
    let ends = Rc::new(RefCell::new(BTreeSet::new()));
    for (ordered, expected) in
        [(true, BTreeSet::from([123])), (false, BTreeSet::from([123, 132, 213, 231, 312, 321]))]
    {
        ends.borrow_mut().clear();
        let seen = Rc::clone(&ends);
        let model = model(ordered).check_end(move |word| {
            seen.borrow_mut().insert(word.load());
        });
        assert!(model.explore().complete);
        assert_eq!(*ends.borrow(), expected);
    }
}

/// A thread of level 0, and one of level 1 that interrupts it, both of them and another CPU's in so many steps.
#[test]
fn an_interrupt_runs_to_its_end() {
    struct World {
        inside: Word<u32>,
        interrupted: Word<u32>,
        disabled: Word<u32>,
    }
    let points = Rc::new(RefCell::new(BTreeSet::new()));
    let seen = Rc::clone(&points);
    let model = Model::new("interrupt", || World {
        inside: Word::new("inside", 0),
        interrupted: Word::new("interrupted", 0),
        disabled: Word::new("disabled", 0),
    })
    .thread("task", (0, 0), |world: &World| {
        for point in 1..=5 {
            if point == 3 {
                preempt_disable();
                world.disabled.quiet().store(1);
            }
            if point == 5 {
                preempt_enable();
                world.disabled.quiet().store(0);
            }
            step("task");
            assert_eq!(world.inside.quiet().load(), 0, "the interrupt is under way");
            world.interrupted.quiet().store(point);
        }
    })
    .thread("interrupt", (0, 1), move |world: &World| {
        world.inside.store(1);
        seen.borrow_mut().insert(world.interrupted.quiet().load());
        assert_eq!(world.disabled.quiet().load(), 0, "preemption is off");
        step("interrupt");
        world.inside.store(0);
    })
    .thread("other", (1, 0), |_| (0..3).for_each(|_| step("other")));
    let statistics = model.without_pruning().explore();
    assert!(statistics.complete);
    assert_eq!(*points.borrow(), BTreeSet::from([0, 1, 4, 5]));
    // The interrupt is at one of 4 places; the other CPU's 3 steps are anywhere among the 11 of all.
    assert_eq!(statistics.ends, 4 * 165);
}

#[test]
fn a_guard_and_a_wait_keep_a_lock() {
    fn locked(broken: bool) -> Model<(Word<u32>, Word<u64>)> {
        let body = move |world: &(Word<u32>, Word<u64>)| {
            let (lock, value) = world;
            wait_until("the lock is free", || lock.load() == 0);
            if !broken {
                lock.quiet().store(1);
            }
            let seen = value.load();
            value.store(seen + 1);
            lock.store(0);
        };
        Model::new("lock", || (Word::new("lock", 0), Word::new("value", 0)))
            .thread("first", CPUS[0], body)
            .thread("second", CPUS[1], body)
            .thread("last", CPUS[2], |(_, value)| assert_eq!(value.load(), 2, "too early or lost"))
            .guard(|(_, value)| value.load() == 2)
            .check_end(|(_, value)| assert_eq!(value.load(), 2, "too early or lost"))
    }
    assert!(locked(false).explore().complete);
    let failure = locked(true).try_explore().unwrap_err();
    // The update is lost, so that the guard never holds.
    assert!(failure.message.contains("deadlock: last: cannot start;"), "{failure}");
}

#[test]
fn a_deadlock_is_found() {
    let take = |lock: &Word<u32>| {
        wait_until("the lock is free", || lock.load() == 0);
        lock.quiet().store(1);
    };
    let model = Model::new("deadlock", || [0, 1].map(|at| Word::new(indexed("lock", at), 0u32)))
        .thread("ab", CPUS[0], move |locks: &[Word<u32>; 2]| {
            take(&locks[0]);
            take(&locks[1]);
            locks[0].store(0);
            locks[1].store(0);
        })
        .thread("ba", CPUS[1], move |locks| {
            take(&locks[1]);
            take(&locks[0]);
            locks[0].store(0);
            locks[1].store(0);
        });
    let failure = model.try_explore().unwrap_err();
    assert_eq!(failure.message, "deadlock: ab: the lock is free; ba: the lock is free;");
    assert_eq!((failure.switches, failure.schedule.len()), (1, 2), "{failure}");
    assert!(failure.trace.contains("store lock[1]: 0 -> 1"), "{failure}");
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
fn containers_do_what_maps_do() {
    struct World {
        index: Table,
        free: List<u32>,
        limbo: Fifo<u32>,
    }
    let model = Model::new("containers", || {
        let world =
            World { index: Table::new("index", 1), free: List::new("free", 2), limbo: Fifo::new("limbo", 2) };
        assert!(world.free.push(7) && world.free.push(8) && !world.free.push(9));
        world
    })
    .thread("creates", CPUS[0], |world: &World| {
        let place = world.free.pop().unwrap();
        if !world.index.insert(0x10, place) {
            assert!(world.free.push(place));
        }
    })
    .thread("creates too", CPUS[1], |world| {
        let place = world.free.pop().unwrap();
        if world.index.find(0x10).is_some() || !world.index.insert(0x10, place) {
            assert!(world.limbo.push(place));
        }
    })
    .check_step(|world| assert!(world.index.find(0x11).is_none()))
    .check_end(|world| {
        let left = world.limbo.peek();
        assert_eq!(world.limbo.pop(), left);
        let free = [world.free.pop(), world.free.pop()];
        let used = world.index.find(0x10).unwrap();
        let mut all: Vec<_> = free.into_iter().chain([left, Some(used)]).flatten().collect();
        all.sort_unstable();
        assert_eq!(all, [7, 8]);
        assert!(world.index.remove(0x10) && !world.index.remove(0x10));
    });
    assert!(model.explore().complete);
}

/// Three CPUs take a lock, count, and look at each other's counts. Its line shows the engine's speed.
#[test]
fn a_daily_bound_is_lifted_where_all_is_asked_for() {
    struct World {
        lock: Word<u32>,
        total: Word<i64>,
        counts: [Word<i32>; 3],
    }
    let model = CPUS.iter().fold(
        Model::new("counts", || World {
            lock: Word::new("lock", 0),
            total: Word::new("total", 0),
            counts: [0, 1, 2].map(|cpu| Word::new(indexed("count", cpu), 0)),
        }),
        |model, &(cpu, level)| {
            model.thread(format!("count {cpu}"), (cpu, level), move |world: &World| {
                for _ in 0..3 {
                    world.counts[cpu].add(1);
                    world.counts[(cpu + 1) % 3].load();
                    wait_until("the lock is free", || world.lock.load() == 0);
                    world.lock.quiet().store(1);
                    let total = world.total.load();
                    world.total.store(total + i64::from(world.counts[cpu].swap(0)));
                    world.lock.store(0);
                }
            })
        },
    );
    let statistics =
        model.check_end(|world| assert_eq!(world.total.load(), 9)).daily(Bound::Switches(3)).explore();
    assert_eq!(statistics.complete, whole(), "{statistics}");
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
