//! A look at the running task: what its cached counts changed by, given to the CPU's slot.

use aya_ebpf::helpers::generated::bpf_get_smp_processor_id;
use rss_drift_common::{
    running::Running,
    shadow::{Cpu, State},
    slot::Deltas,
};

use super::{
    super::{apply, maps as shared},
    counts,
    lifecycle::{Maker, find_or_create},
    maps,
    task::Task,
};
use crate::{atomic, run};

/// What belongs to the CPU that a program runs on, marked busy as long as it is held.
pub struct Here {
    /// CPU number.
    pub number: u32,
    /// Its slot and our counts on it.
    pub this: *mut Cpu,
    /// The task that it runs.
    pub running: *mut Running,
}

impl Here {
    /// Begins; `None`, and counted, in the middle of another program.
    #[inline(always)]
    pub fn begin() -> Option<Self> {
        // SAFETY: no preconditions; map values. Volatile keeps the mark in front of what it covers.
        unsafe {
            let number = bpf_get_smp_processor_id();
            let (this, running) = (shared::cpu(number)?, maps::running(number)?);
            if (*running).busy != 0 {
                (*this).counts.nested += 1;
                return None;
            }
            core::ptr::write_volatile(&raw mut (*running).busy, 1);
            Some(Self { number, this, running })
        }
    }

    /// Ends.
    #[inline(always)]
    pub fn end(&self) {
        // SAFETY: a map value.
        unsafe { core::ptr::write_volatile(&raw mut (*self.running).busy, 0) };
    }

    /// The state of the mm that this CPU's slot holds, which counts among those that change it from here on. `None`: the
    /// slot holds another, or there is no room for a state.
    #[inline(always)]
    pub fn hold(&self, mm: u64) -> Option<(u32, *mut State)> {
        // SAFETY: map values.
        unsafe {
            let slot = &raw mut (*self.this).slot;
            if (*slot).mm != mm {
                return None;
            }
            if let Some((index, state)) = self.held() {
                return Some((index, state));
            }
            if (*slot).id != 0 {
                // The slot's mm ended behind its back, and a new one has the address: begin again with that.
                (*self.this).counts.ended += 1;
                let _ = (*slot).take(mm);
            }
            let index = find_or_create(Maker::Cpu(self.number), mm)?;
            let state = shared::state(index)?;
            (*slot).id = (*state).id;
            (*slot).index = index;
            self.enter(index, state);
            Some((index, state))
        }
    }

    /// The state that this CPU's slot names, if its mm still lives.
    #[inline(always)]
    fn held(&self) -> Option<(u32, *mut State)> {
        // SAFETY: map values.
        unsafe {
            let slot = &raw const (*self.this).slot;
            if (*slot).id == 0 {
                return None;
            }
            let index = (*slot).index;
            let state = shared::state(index)?;
            if (*state).id != (*slot).id {
                return None;
            }
            self.enter(index, state);
            Some((index, state))
        }
    }

    /// This CPU begins to change the slot's mm.
    #[inline(always)]
    unsafe fn enter(&self, index: u32, state: *mut State) {
        // SAFETY: by the caller.
        unsafe {
            let slot = &raw mut (*self.this).slot;
            if (*slot).live != 0 {
                return;
            }
            (*slot).live = 1;
            atomic::add_signed(&raw mut (*state).active, 1);
            let active = core::ptr::read_volatile(&raw const (*state).active).cast_unsigned() as u32;
            if let Some(peak) = maps::peak(self.number, index)
                && active > (*peak).active
            {
                (*peak).active = active;
            }
        }
    }

    /// Gives the slot what `task`, which runs here, has changed since the last look.
    #[inline(always)]
    pub fn look(&self, task: &Task) {
        // SAFETY: map values.
        unsafe {
            let running = &raw mut (*self.running);
            if (*running).task != task.address {
                self.lost(task);
                return;
            }
            if (*running).mm != task.mm {
                self.change_mm(task.mm);
            }
            if task.mm == 0 {
                return;
            }
            let deltas = (*running).look(task.counts);
            if deltas[0] | deltas[1] | deltas[2] | deltas[3] != 0 {
                self.update(task.mm, &deltas);
            }
        }
    }

    /// A task that we did not see the CPU take: what it changed until now is not known, and its mm has to be counted anew.
    #[inline(always)]
    unsafe fn lost(&self, task: &Task) {
        // SAFETY: map values.
        unsafe {
            apply::switch(self.this, task.mm);
            if task.mm != 0
                && let Some(index) = find_or_create(Maker::Cpu(self.number), task.mm)
                && let Some(state) = shared::state(index)
            {
                atomic::add(&raw mut (*state).seeded, 1);
            }
            (*self.running).enter(task.address, task.mm, task.counts);
        }
    }

    /// The running task has another mm than before (execve, exit, a kernel thread that borrows one): its cache is empty
    /// then. What it held of the old mm is in that mm's count, though no event may have told.
    #[inline(always)]
    unsafe fn change_mm(&self, mm: u64) {
        // SAFETY: map values.
        unsafe {
            let left = (*self.running).take(mm);
            if left[0] | left[1] | left[2] | left[3] != 0 && self.held().is_some() {
                let slot = &raw mut (*self.this).slot;
                (*slot).transferred(0, left[0]);
                (*slot).transferred(1, left[1]);
                (*slot).transferred(2, left[2]);
                (*slot).transferred(3, left[3]);
            }
            apply::switch(self.this, mm);
        }
    }

    /// The changes of a task's cache: updates that the slot holds.
    #[inline(always)]
    unsafe fn update(&self, mm: u64, deltas: &Deltas) {
        // SAFETY: map values.
        unsafe {
            let Some((index, state)) = self.hold(mm) else {
                (*self.this).counts.hits += 1;
                return;
            };
            self.update_member::<0>(mm, index, deltas);
            self.update_member::<1>(mm, index, deltas);
            self.update_member::<2>(mm, index, deltas);
            self.update_member::<3>(mm, index, deltas);
            self.publish_if_full();
            counts::peaks(self.number, index, state, &raw const (*self.this).slot);
        }
    }

    #[inline(always)]
    unsafe fn update_member<const MEMBER: usize>(&self, mm: u64, index: u32, deltas: &Deltas) {
        if deltas[MEMBER] != 0 {
            // SAFETY: a map value.
            let _ = unsafe { (*self.this).slot.update(mm, MEMBER, deltas[MEMBER]) };
            run::count::update(core::ptr::null(), index, MEMBER as u32, i64::from(deltas[MEMBER]), true);
        }
    }

    /// Publishes what is pending when that has come to the threshold.
    #[inline(always)]
    pub fn publish_if_full(&self) {
        // SAFETY: map values.
        unsafe {
            let threshold = shared::config!(threshold);
            let slot = &raw mut (*self.this).slot;
            if (*slot).is_full(0, threshold)
                || (*slot).is_full(1, threshold)
                || (*slot).is_full(2, threshold)
                || (*slot).is_full(3, threshold)
            {
                let batch = (*slot).publish(false);
                apply::flush(self.this, &batch, false);
            }
        }
    }
}
