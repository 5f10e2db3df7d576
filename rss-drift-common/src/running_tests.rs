//! The steps of per-task accounting under every interleaving of a small host. The model keeps the kernel's own words (a
//! count per mm, a cache per task) and the shadow beside them; events of the count may be missed.

extern crate std;

use std::{vec, vec::Vec};

use proptest::prelude::*;

use super::*;

const TASKS: usize = 6;
const MMS: usize = 3;
const CPUS: usize = 3;

#[derive(Clone, Copy)]
struct Task {
    mm: usize,
    cache: Deltas,
    cpu: Option<usize>,
}

struct Host {
    tasks: Vec<Task>,
    counts: Vec<Pages>,
    /// Caches of the tasks when we began.
    seeds: Vec<Pages>,
    totals: Vec<Pages>,
    running: Vec<Running>,
    slots: Vec<Slot>,
}

fn address(index: usize) -> u64 {
    (index as u64 + 1) * 0x1000
}

fn add(sum: &mut Pages, deltas: Deltas) {
    for (sum, delta) in sum.iter_mut().zip(deltas) {
        *sum += i64::from(delta);
    }
}

impl Host {
    /// Every task has something cached from before, none runs.
    fn new() -> Self {
        let mut seeds = vec![[0; MEMBERS]; MMS];
        let tasks: Vec<_> = (0..TASKS)
            .map(|task| Task { mm: task % MMS, cache: [0, 3, -1, i32::try_from(task).unwrap()], cpu: None })
            .collect();
        for task in &tasks {
            add(&mut seeds[task.mm], task.cache);
        }
        Self {
            tasks,
            counts: vec![[1000; MEMBERS]; MMS],
            seeds,
            totals: vec![[0; MEMBERS]; MMS],
            running: vec![Running::default(); CPUS],
            slots: vec![Slot::default(); CPUS],
        }
    }

    fn flush(&mut self, cpu: usize, next: u64) {
        let batch = self.slots[cpu].take(next);
        if batch.mm != 0 {
            let mm = usize::try_from(batch.mm / 0x1000 - 1).unwrap();
            add(&mut self.totals[mm], batch.pending);
        }
    }

    fn look(&mut self, task: usize) {
        let Task { mm, cache, cpu } = self.tasks[task];
        let cpu = cpu.unwrap();
        let running = &mut self.running[cpu];
        assert_eq!(running.task, address(task));
        if running.mm != address(mm) {
            let left = running.take(address(mm));
            for (member, pages) in left.into_iter().enumerate() {
                self.slots[cpu].transferred(member, pages);
            }
            self.flush(cpu, address(mm));
        }
        let deltas = self.running[cpu].look(cache);
        for (member, delta) in deltas.into_iter().enumerate() {
            assert_eq!(self.slots[cpu].update(address(mm), member, delta), Update::Hit);
        }
    }

    /// The CPU leaves its task and takes another, if that does not run elsewhere.
    fn switch(&mut self, cpu: usize, next: usize) {
        if self.tasks[next].cpu.is_some() {
            return;
        }
        if let Some(task) = self.tasks.iter().position(|task| task.cpu == Some(cpu)) {
            self.look(task);
            self.tasks[task].cpu = None;
        }
        let mm = address(self.tasks[next].mm);
        if self.slots[cpu].mm != mm {
            self.flush(cpu, mm);
        }
        self.tasks[next].cpu = Some(cpu);
        self.running[cpu].enter(address(next), mm, self.tasks[next].cache);
    }

    /// `kmem:rss_stat` of the running task's own mm.
    fn event(&mut self, task: usize, member: usize) {
        self.look(task);
        let cpu = self.tasks[task].cpu.unwrap();
        let pages = self.running[cpu].transfer(member);
        self.slots[cpu].transferred(member, pages);
    }

    /// `mm/memory.c:sync_mm_rss`, with or without its events.
    fn sync(&mut self, task: usize, seen: bool) {
        for member in 0..MEMBERS {
            let Task { mm, cache, .. } = self.tasks[task];
            if cache[member] == 0 {
                continue;
            }
            self.counts[mm][member] += i64::from(cache[member]);
            if seen {
                self.event(task, member);
            }
            self.tasks[task].cache[member] = 0;
        }
    }

    fn exact(&self, mm: usize) -> Pages {
        let mut sum = self.counts[mm];
        for task in self.tasks.iter().filter(|task| task.mm == mm) {
            add(&mut sum, task.cache);
        }
        sum
    }

    fn shadow(&self, mm: usize) -> Pages {
        let mut sum = self.counts[mm];
        for (member, sum) in sum.iter_mut().enumerate() {
            *sum += self.seeds[mm][member] + self.totals[mm][member];
        }
        for slot in self.slots.iter().filter(|slot| slot.mm == address(mm)) {
            add(&mut sum, slot.pending);
        }
        sum
    }
}

#[derive(Clone, Debug)]
enum Step {
    Fault { task: usize, member: usize, delta: i32 },
    Direct { task: usize, member: usize, delta: i32 },
    Sync { task: usize, seen: bool },
    Switch { cpu: usize, next: usize },
    Exec { task: usize, mm: usize, seen: bool },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..TASKS, 0..MEMBERS, -2..=16_i32).prop_map(|(task, member, delta)| Step::Fault { task, member, delta }),
        2 => (0..TASKS, 0..MEMBERS, -512..=512_i32)
            .prop_map(|(task, member, delta)| Step::Direct { task, member, delta }),
        2 => (0..TASKS, prop::bool::weighted(0.8)).prop_map(|(task, seen)| Step::Sync { task, seen }),
        4 => (0..CPUS, 0..TASKS).prop_map(|(cpu, next)| Step::Switch { cpu, next }),
        1 => (0..TASKS, 0..MMS, prop::bool::weighted(0.8)).prop_map(|(task, mm, seen)| Step::Exec { task, mm, seen }),
    ]
}

proptest! {
    #[test]
    fn at_rest_the_shadow_is_what_count_and_caches_add_up_to(steps in prop::collection::vec(step(), 0..200)) {
        let mut host = Host::new();
        for step in steps {
            match step {
                Step::Switch { cpu, next } => host.switch(cpu, next),
                Step::Fault { task, .. } | Step::Direct { task, .. } | Step::Sync { task, .. } | Step::Exec { task, .. }
                    if host.tasks[task].cpu.is_none() => {}
                Step::Fault { task, member, delta } => {
                    // A fault's entry sees what the one before it changed.
                    host.look(task);
                    host.tasks[task].cache[member] += delta;
                }
                Step::Direct { task, member, delta } => {
                    let mm = host.tasks[task].mm;
                    host.counts[mm][member] += i64::from(delta);
                    host.event(task, member);
                }
                Step::Sync { task, seen } => host.sync(task, seen),
                Step::Exec { task, mm, seen } => {
                    host.sync(task, seen);
                    host.tasks[task].mm = mm;
                }
            }
        }
        for task in 0..TASKS {
            if host.tasks[task].cpu.is_some() {
                host.look(task);
            }
        }
        for mm in 0..MMS {
            prop_assert_eq!(host.shadow(mm), host.exact(mm));
        }
    }
}

#[test]
fn a_task_without_an_mm_has_nothing_cached() {
    let mut running = Running::default();
    running.enter(1, 0, [1, 2, 3, 4]);
    assert_eq!(running.seen, [0; MEMBERS]);
}

#[test]
fn what_is_in_the_count_already_is_a_hit_but_not_pending() {
    let mut slot = Slot { mm: 1, ..Slot::default() };
    assert_eq!((slot.direct(1, -512), slot.direct(2, 1)), (Update::Hit, Update::Miss));
    assert_eq!((slot.hits, slot.churn, slot.pending), (1, 512, [0; MEMBERS]));
}
