//! Per-task accounting: what the kernel does, with the programs that it runs meanwhile, and what has to hold.

mod life;
mod peaks;
mod sums;

use crate::{
    host::{ANON, Check as _, Config, Host, Quiet, address},
    steps::Steps,
};
use rss_drift_common::{
    member::rss,
    memory::Word as _,
    protocol::pertask::{Task, events},
    running::Peak,
};

/// Threads of one process, or of two, on CPUs of the same number unless said otherwise.
type World = Host<Steps>;

/// A CPU that runs a task, which has the mm at this address.
#[derive(Clone, Copy)]
struct On {
    cpu: u32,
    task: usize,
    mm: u64,
}

/// The task of the first process on this CPU that has the CPU's number.
const fn on(cpu: u32) -> On {
    On { cpu, task: cpu as usize, mm: address(0) }
}

/// What a CPU runs that runs no task of a scenario.
const IDLE: Task = Task { address: 1, mm: 0, counts: [0; 4] };

/// Figures that no check of this folder is about, and words that only one CPU uses.
const QUIET: Quiet = Quiet::of(&[
    "faults",
    "births",
    "visited",
    "looked",
    "looked_at",
    "tgid",
    "owned",
    "deferred",
    "users",
    "task_mm",
    "task",
]);

/// Two CPUs, as many tasks, one mm, anonymous pages only. Nothing is published unasked.
fn small() -> Config {
    Config {
        tasks: 2,
        members: [false, true, false, false],
        quiet: QUIET,
        threshold: 1000,
        peaks: true,
        ..Config::default()
    }
}

/// A world in which the first process exists, and no CPU runs any of its tasks.
fn world(config: &Config) -> World {
    let host = World::new(config);
    for task in 0..config.tasks {
        host.tasks[task].mm.poke(address(0));
    }
    events::forked(&host.task_program(0), &host.task(0));
    host
}

/// As [`world`], with each task on the CPU of its number.
fn running(config: &Config) -> World {
    let host = world(config);
    for cpu in 0..2 {
        host.begin_on(on(cpu));
    }
    host
}

impl World {
    /// The CPU takes the task from idle.
    fn begin_on(&self, on: On) {
        events::switched(&self.task_program(on.cpu), &IDLE, &self.task(on.task));
    }

    /// The CPU leaves the task and idles.
    fn leave(&self, on: On) {
        events::switched(&self.task_program(on.cpu), &self.task(on.task), &IDLE);
    }

    /// The CPU leaves the task for another one.
    fn switch(&self, on: On, next: usize) {
        events::switched(&self.task_program(on.cpu), &self.task(on.task), &self.task(next));
    }

    /// A page fault: its event, and what it adds to the task's cache.
    fn fault(&self, on: On, member: u32, pages: i32) {
        self.entry(on);
        self.add_mm_counter_fast(on.task, on.mm, member, pages, |count| {
            self.event_of(on, on.mm, member, count);
        });
    }

    /// The event of a page fault alone: one that changes nothing.
    fn entry(&self, on: On) {
        events::page_fault(&self.task_program(on.cpu), || Some(self.task(on.task)));
    }

    /// What the task has cached goes to the mm (`check_sync_rss_stat`, or the beginning of a zap).
    fn sync(&self, on: On) {
        self.sync_mm_rss(on.task, |member, count| self.event_of(on, on.mm, member, count));
    }

    /// An update of an mm that goes to its count: a zap, a fork, a huge page, reclaim.
    fn direct(&self, on: On, mm: u64, member: u32, pages: i32) {
        self.add_mm_counter(mm, member, pages, |count| self.event_of(on, mm, member, count));
    }

    fn event_of(&self, on: On, mm: u64, member: u32, count: i64) {
        events::updated(&self.task_program(on.cpu), || Some(self.task(on.task)), mm, member, count);
    }

    /// The task lets go of its mm (`exit_mm`, `exec_mmap`): its cache goes to the count first.
    fn let_go(&self, on: On, next: u64) {
        self.sync(on);
        self.tasks[on.task].mm.set(next);
    }

    /// The mm's shadow as user space puts it together: its counts, what the state counts from, the totals, what the slots hold, and what
    /// running tasks changed since they were last looked at.
    fn shadow(&self, mm: usize, index: usize) -> [i64; 4] {
        let (state, seed) = (self.state_now(index), self.seed_now(index));
        let count = self.mms[mm].counts();
        let mut pages: [i64; 4] =
            std::array::from_fn(|member| count[member] + state.totals[member] + seed.pages[member]);
        for cpu in 0..self.cpus.len() {
            let (slot, running) = (self.slot_now(cpu), self.running_now(cpu));
            for (member, pages) in pages.iter_mut().enumerate() {
                if slot.id == state.id {
                    *pages += i64::from(slot.pending[member]);
                }
                if running.mm == address(mm) {
                    *pages -= i64::from(running.seen[member]);
                }
                if let Some(task) = (running.task >> 20).checked_sub(1)
                    && let Some(task) = self.tasks.get(usize::try_from(task).expect("a small number"))
                    && task.mm.peek() == address(mm)
                {
                    *pages += i64::from(task.cached()[member]);
                }
            }
        }
        pages
    }

    /// Hits and misses of a state, also those that slots hold.
    fn hits_and_misses(&self, index: usize) -> (u64, u64) {
        let state = self.state_now(index);
        let mut hits = state.hits;
        for slot in (0..self.cpus.len()).map(|cpu| self.slot_now(cpu)) {
            if slot.id == state.id {
                hits += slot.hits;
            }
        }
        (hits, state.misses)
    }

    /// At rest nothing is lost: the shadow is the truth, and each update was counted once.
    fn check_sums(&self) {
        let mm = &self.mms[0];
        assert_eq!(self.shadow(0, 0), mm.truth(), "the shadow, and the truth");
        assert_eq!(self.state_now(0).global, mm.counts(), "the mirror, and the counts");
        let state = self.state_now(0);
        assert_eq!(
            state.direct + state.synced,
            rss(&mm.counts()),
            "direct updates and syncs, and the counts"
        );
        assert!(self.is_seeded(0), "nothing was missed");
        for cpu in 0..self.cpus.len() {
            assert_eq!((self.running_now(cpu).busy, self.slot_now(cpu).busy), (0, 0));
        }
        let counts = self.all_counts_now();
        assert_eq!((counts.nested, counts.unsettled, counts.refused), (0, 0, 0));
    }

    /// Each update was counted once.
    fn check_updates(&self) {
        let (hits, misses) = self.hits_and_misses(0);
        assert_eq!(
            hits + misses,
            self.mms[0].updates.peek(),
            "{hits} hits and {misses} misses, and the updates"
        );
    }

    fn is_seeded(&self, index: usize) -> bool {
        let (state, seed) = (self.state_now(index), self.seed_now(index));
        seed.id == state.id && seed.lost == state.seeded
    }

    /// The largest figures of all CPUs.
    fn peak(&self) -> Peak {
        (0..self.cpus.len()).map(|cpu| self.peak_now(cpu, 0)).reduce(Peak::max).expect("a CPU")
    }
}

/// Anonymous pages of one fault.
fn touch(host: &World, on: On, pages: i32) {
    host.fault(on, ANON, pages);
}
