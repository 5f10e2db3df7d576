//! What scenarios of per-task accounting are made of: a kernel's act and the events that tell of it.

use super::{ANON, Check as _, Host, Kind, address, narrow};
use rss_drift_common::{
    MEMBERS,
    memory::Word as _,
    protocol::pertask::{Task, events},
};

/// What a CPU runs that runs no task of a scenario.
pub(crate) const IDLE: Task = Task { address: 1, mm: 0, counts: [0; MEMBERS] };

/// A CPU that runs a task.
#[derive(Clone, Copy, Debug)]
pub(crate) struct On {
    pub(crate) cpu: u32,
    pub(crate) task: usize,
}

/// The task that has the CPU's number.
pub(crate) const fn on(cpu: u32) -> On {
    On { cpu, task: cpu as usize }
}

impl<K: Kind> Host<K> {
    /// A process is forked: this task is its first one, and its mm has a state from now on.
    pub(crate) fn fork(&self, on: On) {
        events::forked(&self.task_program(on.cpu), &self.task(on.task));
    }

    /// The CPU takes the task from idle.
    pub(crate) fn begin_on(&self, on: On) {
        events::switched(&self.task_program(on.cpu), &IDLE, &self.task(on.task));
    }

    /// The CPU leaves the task and idles.
    pub(crate) fn leave(&self, on: On) {
        events::switched(&self.task_program(on.cpu), &self.task(on.task), &IDLE);
    }

    /// The CPU leaves the task for another one, which it runs from now on.
    pub(crate) fn change(&self, on: On, next: usize) -> On {
        events::switched(&self.task_program(on.cpu), &self.task(on.task), &self.task(next));
        On { task: next, ..on }
    }

    /// What a page fault adds to the task's cache. It has no event.
    pub(crate) fn cache(&self, on: On, member: u32, pages: i32) {
        let mm = self.tasks[on.task].mm.get();
        self.add_mm_counter_fast(on.task, mm, member, pages, |_| unreachable!("it is the task's own mm"));
    }

    /// A page fault: its event, and what it adds to the task's cache.
    pub(crate) fn fault(&self, on: On, member: u32, pages: i32) {
        self.entry(on);
        self.cache(on, member, pages);
    }

    /// A page fault of anonymous pages.
    pub(crate) fn touch(&self, on: On, pages: i32) {
        self.fault(on, ANON, pages);
    }

    /// The event of a page fault alone: one that changes nothing.
    pub(crate) fn entry(&self, on: On) {
        events::page_fault(&self.task_program(on.cpu), || Some(self.task(on.task)));
    }

    /// What the task has cached goes to its mm (`check_sync_rss_stat`, or the beginning of a zap).
    pub(crate) fn sync(&self, on: On) {
        let mm = self.tasks[on.task].mm.peek();
        self.sync_mm_rss(on.task, |member, count| self.count_event(on, mm, member, count));
    }

    /// As [`Host::sync`], and nobody sees it.
    pub(crate) fn sync_unseen(&self, on: On) {
        self.sync_mm_rss(on.task, |_, _| {});
    }

    /// An update of an mm that goes to its count: a zap, a fork, a huge page, reclaim.
    pub(crate) fn direct(&self, on: On, mm: u64, member: u32, pages: i32) {
        self.add_mm_counter(mm, member, pages, |count| self.count_event(on, mm, member, count));
    }

    /// As [`Host::direct`], of the first mm's anonymous pages.
    pub(crate) fn directly(&self, on: On, pages: i32) {
        self.direct(on, address(0), ANON, pages);
    }

    fn count_event(&self, on: On, mm: u64, member: u32, count: i64) {
        events::updated(&self.task_program(on.cpu), || Some(self.task(on.task)), mm, member, count);
    }

    /// A fault's look finds what the task has cached, then it goes to the count.
    pub(crate) fn give(&self, on: On) {
        self.entry(on);
        self.sync(on);
    }

    /// The task lets go of its mm (`exit_mm`, `exec_mmap`) for another one, or none: its cache goes to the count first.
    pub(crate) fn let_go(&self, on: On, next: u64) {
        self.sync(on);
        self.tasks[on.task].mm.set(next);
    }
}

/// So many tasks, each on the CPU of its number.
pub(crate) fn each(tasks: usize) -> impl Iterator<Item = On> {
    (0..narrow(tasks as u64)).map(on)
}
