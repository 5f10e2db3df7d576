//! per-task accounting on random hosts: caches of tasks, what they give to the counts, and events that are missed.

use proptest::prelude::*;

use crate::{
    cells::Cells,
    host::{Config, Host, IDLE, On, Table as _, address, at, narrow},
};
use rss_drift_common::{MEMBERS, member::Pages, memory::Word as _, protocol::pertask::events};

const TASKS: usize = 6;
const MMS: usize = 3;
const CPUS: u32 = 3;

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
                host.fork(On { cpu: 0, task });
            }
        }
        Self { host, cpus: [None; TASKS] }
    }

    /// What a task has cached goes to its mm.
    fn sync(&self, on: On, seen: bool) {
        if seen { self.host.sync(on) } else { self.host.sync_unseen(on) }
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
        let on = On { cpu, task };
        match *step {
            // A fault's entry sees what the one before it changed.
            Step::Fault { member, delta, .. } => self.host.fault(on, member, delta),
            Step::Direct { mm, member, delta, .. } => self.host.direct(on, address(mm), member, delta),
            Step::Sync { seen, .. } => self.sync(on, seen),
            Step::Execute { mm, seen, .. } => {
                self.sync(on, seen);
                // execve touches pages of its own between (see below for one that does not).
                self.host.entry(on);
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
        let (held, _) = self.host.held(state.id);
        let counts = self.host.mm(address(mm)).counts();
        std::array::from_fn(|member| {
            counts[member] + seed.pages[member] + state.totals[member] + held[member]
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
    #[cfg_attr(miri, ignore = "takes minutes for a single list of steps")]
    fn when_all_tasks_were_looked_at_the_shadow_is_exact(steps in prop::collection::vec(step(), 0..200)) {
        let mut tasks = Tasks::new();
        for step in &steps {
            tasks.step(step);
        }
        for task in 0..TASKS {
            if let Some(cpu) = tasks.cpus[task] {
                tasks.host.entry(On { cpu, task });
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
    let on = On { cpu: 2, task: 1 };
    tasks.sync(on, false);
    tasks.host.tasks[1].mm.set(address(0));
    tasks.host.entry(on);
    assert_eq!(tasks.shadow(1), tasks.host.mm(address(1)).truth());
}
