//! Per-task accounting: what the kernel does, with the BPF programs that it runs meanwhile, and what has to hold.

mod ends;
mod life;
mod peaks;
mod sums;

use crate::{
    common::{Scenario, World},
    host::{ANON, Check as _, Config, OWNERS, On, Quiet, address, at, each, on, unpack},
};
use rss_drift_common::{
    member::rss,
    memory::Exchange as _,
    protocol::{limbo, pertask},
    running::Peak,
};

/// Figures that no check of this folder is about, and words that only one CPU uses.
const QUIET: Quiet = OWNERS.and(&["faults", "births", "visited", "deferred", "users", "task_mm", "task"]);

/// Two CPUs, as many tasks, one mm, anonymous pages only. Nothing is published unasked.
fn small() -> Config {
    Config { tasks: 2, threshold: 1000, peaks: true, ..Config::anon(QUIET) }
}

/// A scenario that begins when the first process exists, whose tasks are all there are. No CPU runs any of them before `begin`.
fn forked(name: &'static str, config: Config, begin: impl Fn(&World) + Send + Sync + 'static) -> Scenario {
    Scenario::new(name, config, move |host| {
        host.tasks.iter().for_each(|task| task.mm.poke(address(0)));
        host.fork(on(0));
        begin(host);
    })
}

/// As [`forked`], with a task on each CPU: that of its number.
fn running(name: &'static str, config: Config, begin: impl Fn(&World) + Send + Sync + 'static) -> Scenario {
    forked(name, config, move |host| {
        each(host.config.cpus).for_each(|on| host.begin_on(on));
        begin(host);
    })
}

/// As [`running`]: two threads of a process, which both have pages.
fn two_threads(name: &'static str) -> Scenario {
    running(name, small(), |host| {
        host.mms[0].users.poke(2);
        host.touch(on(0), 2);
        host.touch(on(1), 3);
    })
}

/// A thread exits: it lets go of the mm, and takes all pages where it is the last that has it. Whether it is.
fn exits(host: &World, on: On) -> bool {
    host.let_go(on, 0);
    let last = host.mms[0].users.fetch_add(-1) == 1;
    if last {
        let pages = i32::try_from(host.mms[0].truth()[ANON as usize]).expect("few pages");
        host.directly(on, -pages);
    }
    last
}

/// The first mm ends on this CPU.
fn ends(host: &World, cpu: u32) {
    pertask::life::end(&host.task_program(cpu), address(0));
}

impl World {
    /// The mm's shadow as user space puts it together: its counts, what the state counts from, the totals, what the slots hold, and what
    /// running tasks changed since they were last looked at.
    fn shadow(&self, mm: usize, index: usize) -> [i64; 4] {
        let (state, seed) = (self.state_now(index), self.seed_now(index));
        let count = self.mms[mm].counts();
        let (held, _) = self.held(state.id);
        let mut pages: [i64; 4] = std::array::from_fn(|member| {
            count[member] + state.totals[member] + seed.pages[member] + held[member]
        });
        for running in (0..self.cpus.len()).map(|cpu| self.running_now(cpu)) {
            for (member, pages) in pages.iter_mut().enumerate() {
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
        (state.hits + self.held(state.id).1, state.misses)
    }

    /// Of an idle mm nothing is lost, and each update was counted once.
    fn check_all(&self) {
        self.check_sums();
        self.check_updates();
    }

    /// Each update was counted once.
    fn check_updates(&self) {
        let (hits, misses) = self.hits_and_misses(0);
        let updates = self.mms[0].updates.peek();
        assert_eq!(hits + misses, updates, "{hits} hits and {misses} misses, and the updates");
    }

    /// Of an idle mm nothing is lost: the shadow is the truth.
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

    /// The index of the state of the mm with this number.
    fn index_of(&self, mm: usize) -> usize {
        at(self.table.find(address(mm)).expect("it has a state"))
    }

    /// When all is quiet: every index is free, some mm's, or waits for user space to free it. Where user space is told to look for
    /// a state, there is one that has an id, and no entry leads to it.
    fn check_places(&self) {
        let mut places = self.places();
        let told =
            std::iter::from_fn(|| self.limbo.pop()).filter(|&packed| unpack(packed).index == limbo::LOST);
        for _ in 0..told.count() {
            let lost =
                (0..places.len()).find(|&index| places[index].is_empty() && self.state_now(index).id != 0);
            places[lost.expect("a state that is lost")].push("lost");
        }
        assert!(places.iter().all(|places| places.len() == 1), "each index is in one place: {places:?}");
    }

    fn is_seeded(&self, index: usize) -> bool {
        let (state, seed) = (self.state_now(index), self.seed_now(index));
        seed.id == state.id && seed.lost == state.lost
    }

    /// The largest figures of all CPUs.
    fn peak(&self) -> Peak {
        (0..self.cpus.len()).map(|cpu| self.peak_now(cpu, 0)).reduce(Peak::max).expect("a CPU")
    }
}
