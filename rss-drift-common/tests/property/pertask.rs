//! per-task accounting on random hosts: caches of tasks, what they give to the counts, and events that are missed.

use proptest::prelude::*;

use crate::{
    cells::Cells,
    host::{Config, Host, Table as _, address, at, narrow},
};
use rss_drift_common::{
    MEMBERS,
    member::Pages,
    memory::Word as _,
    protocol::pertask::{Task, events},
};

const TASKS: usize = 6;
const MMS: usize = 3;
const CPUS: u32 = 3;

/// A CPU's task where it has none.
const IDLE: Task = Task { address: 1, mm: 0, counts: [0; MEMBERS] };

/// A host, and where its tasks run.
struct Tasks {
    host: Host<Cells>,
    cpus: [Option<u32>; TASKS],
}

impl Tasks {
    /// No task runs.
    fn new() -> Self {
        let config = Config { cpus: at(CPUS), mms: MMS, states: MMS, tasks: TASKS, ..Config::default() };
        let host = Host::<Cells>::new(&config);
        for task in 0..TASKS {
            host.tasks[task].mm.set(address(task % MMS));
            if task < MMS {
                events::forked(&host.task_program(0), &host.task(task));
            }
        }
        Self { host, cpus: [None; TASKS] }
    }

    fn event(&self, cpu: u32, task: usize, mm: u64, member: u32, count: i64) {
        let current = || Some(self.host.task(task));
        events::updated(&self.host.task_program(cpu), current, mm, member, count);
    }

    fn page_fault(&self, cpu: u32, task: usize) {
        events::page_fault(&self.host.task_program(cpu), || Some(self.host.task(task)));
    }

    fn sync(&self, cpu: u32, task: usize, seen: bool) {
        let mm = self.host.tasks[task].mm.get();
        self.host.sync_mm_rss(task, |member, count| {
            if seen {
                self.event(cpu, task, mm, member, count);
            }
        });
    }

    /// The CPU leaves its task and takes another, if that does not run.
    fn switch(&mut self, cpu: u32, next: Option<usize>) {
        if next.is_some_and(|next| self.cpus[next].is_some()) {
            return;
        }
        let prev = self.cpus.iter().position(|&at| at == Some(cpu));
        let task = |task: Option<usize>| task.map_or(IDLE, |task| self.host.task(task));
        events::switched(&self.host.task_program(cpu), &task(prev), &task(next));
        if let Some(prev) = prev {
            self.cpus[prev] = None;
        }
        if let Some(next) = next {
            self.cpus[next] = Some(cpu);
        }
    }

    fn step(&mut self, step: &Step) {
        let (Step::Fault { task, .. }
        | Step::Direct { task, .. }
        | Step::Sync { task, .. }
        | Step::Execute { task, .. }) = *step
        else {
            let Step::Switch { cpu, next } = *step else { return };
            return self.switch(cpu, next);
        };
        let Some(cpu) = self.cpus[task] else { return };
        match *step {
            Step::Fault { member, delta, .. } => {
                // A fault's entry sees what the one before it changed.
                self.page_fault(cpu, task);
                let mm = self.host.tasks[task].mm.get();
                let own = |_| unreachable!("it is the task's own mm");
                self.host.add_mm_counter_fast(task, mm, member, delta, own);
            }
            Step::Direct { mm, member, delta, .. } => {
                let mm = address(mm);
                let event = |count| self.event(cpu, task, mm, member, count);
                self.host.add_mm_counter(mm, member, delta, event);
            }
            Step::Sync { seen, .. } => self.sync(cpu, task, seen),
            Step::Execute { mm, seen, .. } => {
                self.sync(cpu, task, seen);
                // execve touches pages of its own between (see below for one that does not).
                self.page_fault(cpu, task);
                self.host.tasks[task].mm.set(address(mm));
            }
            Step::Switch { .. } => {}
        }
        assert_eq!(self.host.running_now(at(cpu)).busy, 0);
    }

    /// What we know of an mm: the kernel's counts, and what its tasks have cached.
    fn shadow(&self, mm: usize) -> Pages {
        let index = at(self.host.table.find(address(mm)).expect("it was made at the beginning"));
        let (state, seed) = (self.host.state_now(index), self.host.seed_now(index));
        let slots = (0..at(CPUS)).map(|cpu| self.host.slot_now(cpu)).filter(|slot| slot.id == state.id);
        let held: Vec<_> = slots.map(|slot| slot.pending).collect();
        let counts = self.host.mm(address(mm)).counts();
        std::array::from_fn(|member| {
            let pending: i64 = held.iter().map(|pending| i64::from(pending[member])).sum();
            counts[member] + seed.pages[member] + state.totals[member] + pending
        })
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// An update of the cache.
    Fault {
        task: usize,
        member: u32,
        delta: i32,
    },
    /// An update of the count of any mm.
    Direct {
        task: usize,
        mm: usize,
        member: u32,
        delta: i32,
    },
    /// What is cached goes to the count, with events or without.
    Sync {
        task: usize,
        seen: bool,
    },
    Switch {
        cpu: u32,
        next: Option<usize>,
    },
    /// The task has another mm without a word.
    Execute {
        task: usize,
        mm: usize,
        seen: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let member = 0..narrow(MEMBERS as u64);
    let seen = || prop::bool::weighted(0.8);
    prop_oneof![
        6 => (0..TASKS, member.clone(), -2..=16_i32)
            .prop_map(|(task, member, delta)| Step::Fault { task, member, delta }),
        2 => (0..TASKS, 0..MMS, member, -512..=512_i32)
            .prop_map(|(task, mm, member, delta)| Step::Direct { task, mm, member, delta }),
        2 => (0..TASKS, seen()).prop_map(|(task, seen)| Step::Sync { task, seen }),
        4 => (0..CPUS, prop::option::weighted(0.8, 0..TASKS)).prop_map(|(cpu, next)| Step::Switch { cpu, next }),
        1 => (0..TASKS, 0..MMS, seen()).prop_map(|(task, mm, seen)| Step::Execute { task, mm, seen }),
    ]
}

proptest! {
    #[test]
    fn when_all_tasks_were_looked_at_the_shadow_is_exact(steps in prop::collection::vec(step(), 0..200)) {
        let mut tasks = Tasks::new();
        for step in &steps {
            tasks.step(step);
        }
        for task in 0..TASKS {
            if let Some(cpu) = tasks.cpus[task] {
                tasks.page_fault(cpu, task);
            }
        }
        for mm in 0..MMS {
            prop_assert_eq!(tasks.shadow(mm), tasks.host.mm(address(mm)).truth());
        }
    }
}

/// A task that had pages cached when it came to its CPU, and had no update since, gives them to the count without an event that is seen,
/// then takes another mm: they count once. Not held yet: the slot has no state there, which a look would take them out of.
#[test]
#[should_panic(expected = "left == right")]
fn pages_cached_elsewhere_count_once_after_an_execve() {
    let mut tasks = Tasks::new();
    tasks.switch(0, Some(1));
    tasks.step(&Step::Fault { task: 1, member: 0, delta: 1 });
    tasks.switch(0, None);
    tasks.switch(2, Some(1));
    tasks.sync(2, 1, false);
    tasks.host.tasks[1].mm.set(address(0));
    tasks.page_fault(2, 1);
    assert_eq!(tasks.shadow(1), tasks.host.mm(address(1)).truth());
}
