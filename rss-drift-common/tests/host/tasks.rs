//! The kernel's tasks under per-task accounting (mainline up to 6.1), and how they change an mm's counters.

use super::{
    Check, Config, Host, Kind, at,
    words::{Place, made, named},
};
use rss_drift_common::{
    MEMBERS,
    memory::{Exchange, Word, Words},
    protocol::pertask::Task,
    slot::Deltas,
};

/// One task, which only the CPU that runs it changes.
pub(crate) struct TaskWords<K: Kind> {
    /// `task_struct.mm`
    pub(crate) mm: <K as Words>::U64,
    /// `task_struct.rss_stat.count`
    pub(crate) cache: [<K as Words>::I32; MEMBERS],
}

impl<K: Kind> TaskWords<K> {
    pub(super) fn new(config: &Config, number: usize) -> Self {
        let place = Place { config, array: "task", index: number };
        Self { mm: made!(K place task_mm u64), cache: made!(K place cache [i32]) }
    }

    /// Its cached counts as they stand, without a step.
    pub(crate) fn cached(&self) -> Deltas {
        std::array::from_fn(|member| self.cache[member].peek())
    }
}

impl<K: Kind> Host<K> {
    /// What a BPF program sees of a task.
    pub(crate) fn task(&self, task: usize) -> Task {
        let words = &self.tasks[task];
        let [file, anon, swap, shmem] = &words.cache;
        Task {
            address: (task as u64 + 1) << 20,
            mm: words.mm.get(),
            counts: [file.get(), anon.get(), swap.get(), shmem.get()],
        }
    }

    /// `mm/memory.c:add_mm_counter_fast`: an update by a task that runs. It has no event where it is the task's own mm, and happens
    /// when it is added to the cache; else as [`Host::add_mm_counter`].
    pub(crate) fn add_mm_counter_fast(
        &self,
        task: usize,
        mm: u64,
        member: u32,
        delta: i32,
        event: impl FnOnce(i64),
    ) {
        let words = &self.tasks[task];
        if words.mm.get() == mm {
            let cache = &words.cache[at(member)];
            cache.set(cache.get() + delta);
            self.happened(mm, member, delta);
        } else {
            self.add_mm_counter(mm, member, delta, event);
        }
    }

    /// `include/linux/mm.h:add_mm_counter`: an update that goes to the count directly, and happens then. `event` is told the sum.
    pub(crate) fn add_mm_counter(&self, mm: u64, member: u32, delta: i32, event: impl FnOnce(i64)) {
        let words = self.mm(mm);
        let count = words.count[at(member)].fetch_add(i64::from(delta)) + i64::from(delta);
        self.happened(mm, member, delta);
        words.events.add_quietly(1);
        event(count);
    }

    /// `mm/memory.c:sync_mm_rss`: what the task has cached goes to the mm's counts; no update. `event` is told member and count, after
    /// the count has it and before the cache is cleared.
    pub(crate) fn sync_mm_rss(&self, task: usize, event: impl Fn(u32, i64)) {
        let words = &self.tasks[task];
        let mm = self.mm(words.mm.get());
        for member in 0..4 {
            let cache = &words.cache[at(member)];
            let cached = i64::from(cache.get());
            if cached != 0 {
                let count = mm.count[at(member)].fetch_add(cached) + cached;
                mm.events.add_quietly(1);
                event(member, count);
                cache.set(0);
            }
        }
    }
}
