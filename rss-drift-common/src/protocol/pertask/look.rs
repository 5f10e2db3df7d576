//! A look at the running task: what its cached counts changed by, given to the CPU's slot.

use super::{
    PerTask, Task,
    counts::{self, Way},
    life,
};
use crate::{
    Member,
    memory::{Live, Word},
    protocol::{flush, handle::Handle, observer::Update},
    running::{Direct, Running},
    shadow::Cpu,
    slot::{Deltas, Slot},
};

/// What belongs to the CPU that a BPF program runs on, marked busy from [`Here::begin`] to [`Here::end`].
pub struct Here<'m, M: PerTask> {
    pub(super) memory: &'m M,
    /// CPU number.
    pub(super) number: u32,
    /// Its slot and our counts on it.
    pub(super) cpu: &'m Cpu<M::Words>,
    /// The task that it runs.
    pub(super) running: &'m Running<M::Words>,
}

impl<'m, M: PerTask> Here<'m, M> {
    /// Sets the busy mark. `None`, and counted, if it is set already: we interrupted another BPF program.
    #[inline(always)]
    pub fn begin(memory: &'m M) -> Option<Self> {
        let number = memory.here();
        let (cpu, running) = (memory.cpu(number)?, memory.running(number)?);
        if running.busy.get() != 0 {
            cpu.counts.nested.add(1);
            return None;
        }
        running.busy.set(1);
        Some(Self { memory, number, cpu, running })
    }

    /// Clears the busy mark.
    #[inline(always)]
    pub fn end(&self) {
        self.running.busy.set(0);
    }

    #[inline(always)]
    pub(super) fn slot(&self) -> &'m Slot<M::Words> {
        &self.cpu.slot
    }

    /// The state of `mm`, if this CPU's slot holds that mm; from here on the CPU counts among
    /// those that change it. `None`: the slot holds another mm, or there is no room for a state.
    #[inline(always)]
    pub(super) fn hold(&self, mm: u64) -> Option<Handle<'m, M::Words>> {
        let slot = self.slot();
        if !slot.holds(mm) {
            return None;
        }
        if let Some(handle) = self.held() {
            return Some(handle);
        }
        if slot.id.get() != 0 {
            // The slot's mm ended while the slot held it, and a new mm has the address: begin
            // again with the new one. Of the old one only the hits are still to be counted.
            self.cpu.counts.hits.add(slot.take(mm).hits);
        }
        let handle = life::find_or_create(self.memory, mm)?;
        slot.id.set(handle.id);
        slot.index.set(handle.index);
        self.enter(handle);
        Some(handle)
    }

    /// The state that this CPU's slot names, if its mm still lives.
    #[inline(always)]
    fn held(&self) -> Option<Handle<'m, M::Words>> {
        let slot = self.slot();
        let id = slot.id.get();
        if id == 0 {
            return None;
        }
        let handle = Handle::known(self.memory, slot.index.get(), id)?;
        if !handle.lives() {
            return None;
        }
        self.enter(handle);
        Some(handle)
    }

    /// This CPU begins to change the slot's mm.
    #[inline(always)]
    fn enter(&self, handle: Handle<'m, M::Words>) {
        let slot = self.slot();
        if slot.active.get() != 0 {
            return;
        }
        slot.active.set(1);
        handle.state.active_cpus.add(1);
        self.raise_active_max(handle, handle.state.active_cpus.get());
    }

    /// This CPU changes an mm that its slot does not hold. If other CPUs hold and change it meanwhile, the peaks get an error.
    #[inline(always)]
    pub(super) fn note_outside(&self, handle: Handle<'m, M::Words>) {
        let cpus = handle.state.active_cpus.get();
        if cpus > 0 {
            self.raise_active_max(handle, cpus + 1);
        }
    }

    /// So many CPUs are active at once.
    #[inline(always)]
    fn raise_active_max(&self, handle: Handle<'m, M::Words>, cpus: i64) {
        #[expect(clippy::cast_possible_truncation, reason = "a count of CPUs")]
        let cpus = cpus.cast_unsigned() as u32;
        if let Some(peak) = self.memory.peak(self.number, handle.index)
            && cpus > peak.active_max.get()
        {
            peak.active_max.set(cpus);
        }
    }

    /// Gives the slot what `task`, which runs here, has changed since the last look.
    #[inline(always)]
    pub fn look(&self, task: &Task) {
        let running = self.running;
        if running.task.get() != task.address {
            self.lost(task);
            return;
        }
        if running.mm.get() != task.mm {
            self.change_mm(task.mm);
        }
        if task.mm == 0 {
            return;
        }
        if let Some(direct) = running.resolve(&task.counts) {
            self.was_direct(task.mm, &direct);
        }
        let deltas = running.look(task.counts);
        if deltas[0] | deltas[1] | deltas[2] | deltas[3] != 0 {
            self.update(task.mm, &deltas);
        }
    }

    /// The event that was in doubt was no sync: what was cached is not in the count, and the update is counted now.
    #[inline(always)]
    fn was_direct(&self, mm: u64, direct: &Direct) {
        let Some(handle) = self.hold(mm) else {
            self.cpu.counts.hits.add(1);
            return;
        };
        let slot = self.slot();
        handle.transfer(direct.member, -direct.cached);
        slot.direct(direct.delta);
        self.memory.updated(handle.index, direct.member, direct.delta, Update::Hit);
        if direct.member != Member::Swap as u32 && direct.delta > 0 {
            // Some of these pages may be gone again.
            counts::raise_peaks_by(self.memory, self.number, handle, slot, direct.delta);
            self.note_twice(handle, direct.delta);
        }
        self.settle(mm, handle, Way::Both);
    }

    /// Keeps the sum of the direct updates of the mm.
    #[inline(always)]
    pub(super) fn settle(&self, mm: u64, handle: Handle<'m, M::Words>, way: Way) {
        match counts::settle(self.memory, mm, handle, way) {
            None => self.cpu.counts.unsettled.add(1),
            Some(more) if way == Way::Both && more > 0 => self.note_twice(handle, more),
            Some(_) => {}
        }
    }

    /// The sum of the direct updates grew by `more` pages. These may be of other tasks' syncs, as far as those have any cached.
    #[inline(always)]
    fn note_twice(&self, handle: Handle<'m, M::Words>, more: i64) {
        let slot = self.slot();
        let mut others = counts::cached(self.memory, handle, slot);
        if slot.id.get() == handle.id {
            others -= self.running.seen_rss();
        }
        let pages = if others < more { others } else { more };
        if pages > 0
            && let Some(peak) = self.memory.peak(self.number, handle.index)
        {
            counts::raise(&peak.twice, pages);
        }
    }

    /// A task that we did not see the CPU take. What it changed until now is not known, so its mm has to be seeded anew.
    #[inline(always)]
    fn lost(&self, task: &Task) {
        flush::switch(self.memory, self.cpu, task.mm);
        if task.mm != 0
            && let Some(handle) = life::find_or_create(self.memory, task.mm)
        {
            handle.state.lost.add(1);
        }
        self.running.enter(task.address, task.mm, task.counts);
    }

    /// The running task has another mm than before (execve, exit, a kernel thread that borrows one), and its
    /// cache was emptied first. What it held of the old mm is in that mm's count, even if no event showed that.
    #[inline(always)]
    fn change_mm(&self, mm: u64) {
        let left = self.running.take(mm);
        if left[0] | left[1] | left[2] | left[3] != 0
            && let Some(handle) = self.held()
        {
            handle.transfer(0, left[0]);
            handle.transfer(1, left[1]);
            handle.transfer(2, left[2]);
            handle.transfer(3, left[3]);
            self.settle(handle.state.mm.get(), handle, Way::Both);
        }
        flush::switch(self.memory, self.cpu, mm);
    }

    /// The changes of a task's cache: hits of the slot.
    #[inline(always)]
    fn update(&self, mm: u64, deltas: &Deltas) {
        let Some(handle) = self.hold(mm) else {
            self.cpu.counts.hits.add(changed(deltas));
            return;
        };
        self.update_member::<0>(handle.index, deltas);
        self.update_member::<1>(handle.index, deltas);
        self.update_member::<2>(handle.index, deltas);
        self.update_member::<3>(handle.index, deltas);
        let pending = self.slot().pending_rss();
        if let Some(peak) = self.memory.peak(self.number, handle.index) {
            counts::raise(&peak.hidden, pending);
        }
        if i64::from(deltas[0]) + i64::from(deltas[1]) + i64::from(deltas[3]) < 0 {
            // Only a sync makes a cache smaller, and its event was not seen. Other CPUs must not count twice what is in the count now.
            flush::publish_now(self.memory, self.cpu);
            self.settle(mm, handle, Way::Both);
        } else {
            self.publish_if_full();
        }
        counts::raise_peaks(self.memory, self.number, handle, self.slot());
    }

    #[inline(always)]
    fn update_member<const MEMBER: u32>(&self, index: u32, deltas: &Deltas) {
        if deltas[MEMBER as usize] != 0 {
            let delta = deltas[MEMBER as usize];
            self.slot().update(MEMBER as usize, delta);
            self.memory.looked(index, MEMBER, i64::from(delta));
        }
    }

    /// Publishes the slot if a pending delta has reached the threshold.
    #[inline(always)]
    fn publish_if_full(&self) {
        if is_full(self.slot(), self.memory.threshold()) {
            flush::publish_now(self.memory, self.cpu);
        }
    }
}

/// How many members changed.
#[inline(always)]
fn changed(deltas: &Deltas) -> u64 {
    u64::from(deltas[0] != 0)
        + u64::from(deltas[1] != 0)
        + u64::from(deltas[2] != 0)
        + u64::from(deltas[3] != 0)
}

/// Whether a pending delta of any member has reached the threshold.
#[inline(always)]
fn is_full<W: Live>(slot: &Slot<W>, threshold: u32) -> bool {
    slot.is_full(0, threshold)
        || slot.is_full(1, threshold)
        || slot.is_full(2, threshold)
        || slot.is_full(3, threshold)
}
