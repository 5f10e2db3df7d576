//! The engine's own tests: which threads can run, what they wait for, and what they share.

use std::{cell::RefCell, collections::BTreeSet, rc::Rc};

use crate::{
    engine::{
        Bound, Fifo, List, Model, Table, Word, indexed, preempt_disable, preempt_enable, step, wait_until,
        whole,
    },
    engine_tests::{CPUS, counter},
};

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
