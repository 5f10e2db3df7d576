//! Applies what the slot's steps return: atomics on the state of the mm.

use rss_drift_common::{
    MEMBERS, member,
    shadow::{Cpu, State},
    slot::{Batch, Switch},
};

use super::{lifecycle, maps};
use crate::{atomic, run};

/// A switch of this CPU to a task whose mm is `next`, 0 for a task without one.
///
/// # Safety
/// `this` must lie in a map value.
#[inline(always)]
pub unsafe fn switch(this: *mut Cpu, next: u64) {
    // SAFETY: by the caller.
    unsafe {
        match (*this).slot.switch(next) {
            Switch::Nothing => {}
            Switch::Deferred => (*this).counts.deferred += 1,
            Switch::Took => (*this).counts.switches += 1,
            Switch::Publish(batch) => {
                flush(this, &batch, false);
                done(this);
            }
            Switch::Flush(batch) => {
                (*this).counts.switches += 1;
                flush(this, &batch, true);
                done(this);
            }
        }
    }
}

/// Ends a change of a slot, and makes up for a switch that it deferred.
///
/// # Safety
/// `this` must lie in a map value.
#[inline(always)]
pub unsafe fn done(this: *mut Cpu) {
    // SAFETY: by the caller.
    unsafe {
        if let Some(batch) = (*this).slot.done() {
            flush(this, &batch, true);
            // A further switch in between is not waited for: the next one sets all right.
            (*this).slot.busy = 0;
        }
    }
}

/// This CPU's slot gives its pending deltas to the totals, and keeps its mm.
///
/// # Safety
/// `this` must lie in a map value.
#[inline(always)]
pub unsafe fn publish(this: *mut Cpu) {
    // SAFETY: by the caller.
    unsafe {
        let slot = &raw mut (*this).slot;
        // Busy: whoever changes it was preempted by us, and changes another mm than one that ends.
        if (*slot).busy != 0 {
            return;
        }
        // Whose it is we ask behind the mark: a switch can have come before.
        (*slot).mark();
        if (*slot).id != 0 {
            (*slot).begin();
            let batch = (*slot).publish(false);
            flush(this, &batch, false);
        }
        done(this);
    }
}

/// Adds a batch to its state. `flush`: the slot took another mm; else it published and keeps its own.
///
/// # Safety
/// `this` must lie in a map value.
#[inline(always)]
pub unsafe fn flush(this: *mut Cpu, batch: &Batch, flush: bool) {
    let rfc = run::count::gives_up();
    let index = if batch.id == 0 {
        // Only faults were counted, and nothing had to be looked up yet.
        match lifecycle::find(batch.mm) {
            Some(index) => index,
            None => return,
        }
    } else {
        batch.index
    };
    let Some(state) = maps::state(index) else { return };
    // SAFETY: by the caller; the state lies in a map value.
    unsafe {
        (*this).counts.hits += u64::from(batch.hits);
        if batch.id != 0 && (*state).id != batch.id {
            // The mm ended while this CPU's slot was on it: at its death the pending deltas were counted.
            (*this).counts.ended += 1;
            return;
        }
        add_deltas(state, &batch.pending);
        if batch.hits != 0 {
            atomic::add(&raw mut (*state).hits, u64::from(batch.hits));
            atomic::add(&raw mut (*state).churn, u64::from(batch.churn));
        }
        if batch.faults != 0 {
            atomic::add(&raw mut (*state).faults, u64::from(batch.faults));
        }
        if batch.live != 0 {
            atomic::add_signed(&raw mut (*state).active, -1);
        }
        // Last: a reader that saw the totals before and the slots after notices by these.
        if !flush {
            atomic::add(&raw mut (*state).publications, 1);
        } else if batch.hits != 0 {
            (*this).counts.flushes += 1;
            atomic::add(&raw mut (*state).flushes, 1);
            run::count::flushed(index, rfc);
        } else {
            atomic::add(&raw mut (*state).publications, 1);
        }
    }
}

/// Adds deltas to the totals of a state.
///
/// # Safety
/// `state` must lie in a map value.
#[inline(always)]
unsafe fn add_deltas(state: *mut State, deltas: &[i32; MEMBERS]) {
    // SAFETY: by the caller. Four members, unrolled: an index would have to be proven within the array each time.
    unsafe {
        if deltas[0] != 0 {
            atomic::add_signed(&raw mut (*state).totals[0], i64::from(deltas[0]));
        }
        if deltas[1] != 0 {
            atomic::add_signed(&raw mut (*state).totals[1], i64::from(deltas[1]));
        }
        if deltas[2] != 0 {
            atomic::add_signed(&raw mut (*state).totals[2], i64::from(deltas[2]));
        }
        if deltas[3] != 0 {
            atomic::add_signed(&raw mut (*state).totals[3], i64::from(deltas[3]));
        }
    }
}

/// Adds one delta to the totals of a state.
///
/// # Safety
/// `state` must lie in a map value.
#[inline(always)]
pub unsafe fn add_total(state: *mut State, member: u32, delta: i32) {
    // SAFETY: by the caller; masked to the four members.
    unsafe { atomic::add_signed(&raw mut (*state).totals[(member & 3) as usize], i64::from(delta)) };
}

/// Raises the peaks by what one CPU can tell: the totals, and `pending` pages of RSS in its own slot.
///
/// # Safety
/// `state` must lie in a map value.
#[inline(always)]
pub unsafe fn peaks(state: *mut State, pending: i64) {
    // SAFETY: by the caller.
    unsafe {
        let exact = member::rss(&(*state).totals) + pending;
        if exact > (*state).peak_exact {
            atomic::raise(&raw mut (*state).peak_exact, exact);
        }
        let drift = exact - member::rss_clamped(&(*state).global);
        let drift = if drift < 0 { -drift } else { drift };
        if drift > (*state).peak_drift {
            if drift.cast_unsigned() <= maps::config!(bound) {
                atomic::raise(&raw mut (*state).peak_drift, drift);
            } else {
                atomic::add(&raw mut (*state).transients, 1);
            }
        }
    }
}
