//! What the tracepoints' programs do.

use aya_ebpf::helpers::generated::{bpf_get_current_task_btf, bpf_get_smp_processor_id};
use rss_drift_common::{
    MEMBERS, member,
    shadow::{CPU_BITS, Cpu, State},
    slot::Slot,
};

use super::{apply, lifecycle, maps, words};
use crate::{
    atomic,
    kernel::{layout, load},
    run,
};

/// `clone(2)`: the child uses the parent's mm.
pub const CLONE_VM: u64 = 0x100;

/// `kmem:rss_stat`: `mm`'s `member` was changed, by this CPU as a rule.
///
/// # Safety
/// `mm` must be known to the verifier.
#[inline(always)]
pub unsafe fn rss_stat(context: *const u64, mm: *const u8, member: u32) {
    run::sites::calibrate(context);
    // SAFETY: no preconditions.
    let number = unsafe { bpf_get_smp_processor_id() };
    let Some(this) = maps::cpu(number) else { return };
    // SAFETY: by the caller; the rest lies in map values.
    unsafe {
        let slot = &raw mut (*this).slot;
        if (*slot).busy != 0 {
            (*this).counts.nested += 1;
            return;
        }
        // A switch that preempts us (from 7.x on) defers itself from the mark on; one that came before it is seen behind it.
        let address = mm as u64;
        let marked = (*slot).holds(address);
        if marked {
            (*slot).mark();
        }
        let holds = marked && (*slot).holds(address);
        update(context, this, number, mm, member, holds);
        if marked {
            apply::done(this);
        }
    }
}

/// The update of [`rss_stat`]. `holds`: the slot of `this` CPU holds the mm, and is marked as busy.
#[inline(always)]
unsafe fn update(context: *const u64, this: *mut Cpu, number: u32, mm: *const u8, member: u32, holds: bool) {
    // SAFETY: by rss_stat's caller; the rest lies in map values.
    unsafe {
        let slot = &raw mut (*this).slot;
        let address = mm as u64;
        let mut known = None;
        if holds && (*slot).id != 0 {
            let Some(state) = maps::state((*slot).index) else { return };
            if (*state).id == (*slot).id {
                known = Some(((*slot).index, state));
            } else {
                // The slot's mm ended behind its back (execve), and a new one has the address: begin again with that.
                (*this).counts.ended += 1;
                let _ = (*slot).take(address);
            }
        }
        let (index, state) = if let Some(known) = known {
            known
        } else {
            let Some(index) = lifecycle::find_or_create(this, mm) else {
                count_only(this, holds);
                return;
            };
            let Some(state) = maps::state(index) else { return };
            (index, state)
        };
        let Some(seen) = maps::seen(number, index) else { return };
        if run::on() && load::<i32>(mm, run::count::mm_users()) == 0 {
            let pending = if holds { (*slot).pending_rss() } else { 0 };
            run::count::last_user_gone(index, address, state, member::rss(&(*state).totals) + pending);
        }
        if !holds {
            let delta = miss(this, state, seen, mm, member);
            run::count::update(context, index, member, i64::from(delta), false);
            return;
        }
        if (*slot).live == 0 {
            enter(slot, state, index, number);
        }
        (*slot).begin();
        if let Some(delta) = words::refresh_own(mm, member, (*this).offset, seen, state) {
            let _ = (*slot).update(address, member as usize, delta);
            run::count::update(context, index, member, i64::from(delta), true);
            if (*slot).is_full(member as usize, maps::config!(threshold)) {
                let batch = (*slot).publish(false);
                apply::flush(this, &batch, false);
            }
            apply::peaks(state, (*slot).pending_rss());
        } else {
            (*this).counts.unsettled += 1;
        }
    }
}

/// An update of an mm that this CPU's slot does not hold goes straight to the totals. By how many pages it was.
#[inline(always)]
unsafe fn miss(
    this: *mut Cpu,
    state: *mut State,
    seen: *mut [i32; MEMBERS],
    mm: *const u8,
    member: u32,
) -> i32 {
    // SAFETY: by rss_stat's caller.
    unsafe {
        (*this).counts.misses += 1;
        let Some(delta) = words::refresh_own(mm, member, (*this).offset, seen, state) else {
            (*this).counts.unsettled += 1;
            return 0;
        };
        if delta != 0 {
            apply::add_total(state, member, delta);
            atomic::add(&raw mut (*state).churn, u64::from(delta.unsigned_abs()));
            apply::peaks(state, 0);
        }
        atomic::add(&raw mut (*state).misses, 1);
        delta
    }
}

/// This CPU begins to change the slot's mm.
#[inline(always)]
unsafe fn enter(slot: *mut Slot, state: *mut State, index: u32, cpu: u32) {
    // SAFETY: by rss_stat's caller.
    unsafe {
        (*slot).id = (*state).id;
        (*slot).index = index;
        (*slot).live = 1;
        let active = atomic::fetch_add(&raw mut (*state).active, 1) + 1;
        if active > (*state).active_max {
            atomic::raise(&raw mut (*state).active_max, active);
        }
        let bit = if cpu < CPU_BITS as u32 { cpu } else { CPU_BITS as u32 - 1 };
        let word = &raw mut (*state).cpus[((bit / 64) & 3) as usize];
        let bit = 1_u64 << (bit % 64);
        if *word & bit == 0 {
            atomic::set_bits(word, bit);
        }
    }
}

/// The mm has no state: the map is full. Whether it was a hit can be told all the same.
#[inline(always)]
unsafe fn count_only(this: *mut Cpu, hit: bool) {
    // SAFETY: by rss_stat's caller.
    unsafe {
        if hit {
            (*this).counts.hits += 1;
        } else {
            (*this).counts.misses += 1;
        }
    }
}

/// A task has a new mm. `running`: it runs here, and was not switched to (`exec_mmap`).
///
/// # Safety
/// `mm` must be known to the verifier.
#[inline(always)]
pub unsafe fn born(mm: *const u8, running: bool) {
    // SAFETY: no preconditions.
    let number = unsafe { bpf_get_smp_processor_id() };
    let Some(this) = maps::cpu(number) else { return };
    // SAFETY: by the caller; a map value.
    unsafe {
        lifecycle::born(this, mm);
        if running {
            apply::switch(this, mm as u64);
        }
    }
}

/// This CPU goes on with the mm at `next`; 0 is none.
#[inline(always)]
pub fn switch(next: u64) {
    // SAFETY: no preconditions.
    let number = unsafe { bpf_get_smp_processor_id() };
    let Some(this) = maps::cpu(number) else { return };
    // SAFETY: a map value.
    unsafe { apply::switch(this, next) };
}

/// A page fault of the current task.
#[inline(always)]
pub fn page_fault() {
    // SAFETY: no preconditions; the helper returns the current task, which the verifier knows.
    unsafe {
        let number = bpf_get_smp_processor_id();
        let Some(this) = maps::cpu(number) else { return };
        let task: *const u8 = bpf_get_current_task_btf().cast();
        let mm: *const u8 = load(task, layout!(task_mm));
        if mm.is_null() {
            return;
        }
        (*this).counts.faults += 1;
        if !(*this).slot.fault(mm as u64)
            && let Some(index) = lifecycle::find(mm as u64)
            && let Some(state) = maps::state(index)
        {
            atomic::add(&raw mut (*state).faults, 1);
        }
    }
}

/// An mm ends.
///
/// # Safety
/// `mm` must be known to the verifier.
#[inline(always)]
pub unsafe fn end(mm: *const u8) {
    // SAFETY: no preconditions.
    let number = unsafe { bpf_get_smp_processor_id() };
    let Some(this) = maps::cpu(number) else { return };
    // SAFETY: by the caller; a map value.
    unsafe { lifecycle::end(this, mm) };
}
