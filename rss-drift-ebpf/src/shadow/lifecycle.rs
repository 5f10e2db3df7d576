//! From an mm's first event or first visit to its end at `__mmdrop`.

use aya_ebpf::{bindings::BPF_NOEXIST, helpers::generated::bpf_get_smp_processor_id};
use rss_drift_common::{
    MEMBERS,
    shadow::{Cpu, OWNED, State},
};

use super::{apply, limbo, maps, report, wipe, words};
use crate::{
    atomic,
    kernel::layout,
    repeat::{GO_ON, STOP, repeat},
    run,
};

/// The index of the state of an mm that has one.
#[inline(always)]
pub fn find(mm: u64) -> Option<u32> {
    // SAFETY: the value is copied at once; a value of this preallocated map that is replaced meanwhile is that of a dead
    // mm, which nobody asks for.
    unsafe { maps::INDEX.get(mm) }.copied()
}

/// The index of an mm's state, which is created and seeded if there is none.
///
/// # Safety
/// `mm` must be known to the verifier, `this` must lie in a map value.
#[inline(always)]
pub unsafe fn find_or_create(this: *mut Cpu, mm: *const u8) -> Option<u32> {
    if let Some(index) = find(mm as u64) {
        return Some(index);
    }
    // SAFETY: by the caller.
    unsafe { create(this, mm, false) }
}

/// A state for an mm that has none, seeded; that of another CPU which was faster.
///
/// Seeding reads every word of the mm once. The state can be found before: an update that is too late to be seen by that
/// has an event that finds the state, so that none is lost and none counts twice.
///
/// `reader`: the reader creates it, whose hold on the mm is none. The mark that says what the reader works on stands before
/// the state can be found, so that an end in the meantime leaves the state to the reader.
///
/// # Safety
/// `mm` must be known to the verifier, `this` must lie in a map value.
#[inline(always)]
pub unsafe fn create(this: *mut Cpu, mm: *const u8, reader: bool) -> Option<u32> {
    let address = mm as u64;
    // SAFETY: by the caller.
    unsafe {
        let counts = &raw mut (*this).counts;
        let Ok(Some(index)) = maps::FREE.pop() else {
            atomic::add(&raw mut (*counts).refused, 1);
            report::report_refused((*counts).refused);
            return None;
        };
        let state = maps::state(index)?;
        let shared = maps::SHARED.get_ptr_mut(0)?;
        let id = atomic::fetch_add(&raw mut (*shared).last_id, 1) + 1;
        (*state).mm = address;
        (*state).seeded = 0;
        (*state).visited = (*shared).pass;
        atomic::swap(&raw mut (*state).id, id.cast_unsigned());
        run::count::born(index);
        if reader {
            begin_reading(shared, index);
        }
        if maps::INDEX.insert(address, index, u64::from(BPF_NOEXIST)).is_err() {
            (*state).id = 0;
            if reader {
                // Nobody found it: nobody left it to us.
                atomic::swap(&raw mut (*shared).reading, 0);
            }
            run::count::forget(index);
            wipe::give_back(index);
            // Another CPU was faster, or the hash refused.
            let found = find(address);
            if found.is_none() {
                atomic::add(&raw mut (*counts).refused, 1);
            }
            return found;
        }
        atomic::add(&raw mut (*counts).births, 1);
        let refreshed = words::refresh_all(mm, index, state);
        atomic::add(&raw mut (*counts).unsettled, refreshed.unsettled);
        atomic::swap(&raw mut (*state).seeded, 1);
        apply::peaks(state, 0);
        Some(index)
    }
}

/// A task gets a new mm. Where the ends of mms are not all seen its address can be that of one that ended unseen, whose state
/// it finds: that becomes a state of its own. What its counters come to needs no more than a refresh; what was counted of
/// the other, and its peaks, go.
///
/// # Safety
/// `mm` must be known to the verifier, `this` must lie in a map value.
#[inline(always)]
pub unsafe fn born(this: *mut Cpu, mm: *const u8) {
    let Some(index) = find(mm as u64) else { return };
    let (Some(state), Some(shared)) = (maps::state(index), maps::SHARED.get_ptr_mut(0)) else { return };
    // SAFETY: by the caller; map values.
    unsafe {
        let owned = atomic::swap(&raw mut (*state).owned, OWNED);
        if !State::was_owned(owned, limbo::now()) {
            return;
        }
        let counts = &raw mut (*this).counts;
        atomic::add(&raw mut (*counts).inherited, 1);
        if !gather(this, state, index) {
            // Totals that cannot be gone on with: the next event makes a new state.
            let_go(this, mm as u64);
            return;
        }
        atomic::add(&raw mut (*counts).deaths, 1);
        atomic::add(&raw mut (*counts).births, 1);
        ended(state, index);
        run::count::born(index);
        let id = atomic::fetch_add(&raw mut (*shared).last_id, 1) + 1;
        atomic::swap(&raw mut (*state).id, id.cast_unsigned());
        let refreshed = words::refresh_all(mm, index, state);
        atomic::add(&raw mut (*counts).unsettled, refreshed.unsettled);
        wipe::figures(state);
        (*state).visited = (*shared).pass;
        apply::peaks(state, 0);
    }
}

/// Ends the state of an mm that ends: this is its last moment, all its counters are 0, and so must be the shadow. What an event
/// that was missed left behind is made good before.
///
/// # Safety
/// `mm` must be known to the verifier, `this` must lie in a map value.
#[inline(always)]
pub unsafe fn end(this: *mut Cpu, mm: *const u8) {
    let address = mm as u64;
    let Some(index) = find(address) else { return };
    let (Some(state), Some(shared)) = (maps::state(index), maps::SHARED.get_ptr_mut(0)) else { return };
    if maps::INDEX.remove(address).is_err() {
        // The reader let go of it: who takes the entry away goes on with the state, and nobody else.
        return;
    }
    // SAFETY: by the caller; map values.
    unsafe {
        let counts = &raw mut (*this).counts;
        atomic::add(&raw mut (*counts).deaths, 1);
        let all = gather(this, state, index);
        // No later event makes good what was missed. (Or the reader is about to add something: then nothing is found.)
        let late = if !all || rest(state) == 0 { 0 } else { words::refresh_all(mm, index, state).corrected };
        ended(state, index);
        // From here on no slot that still names this state finds it.
        atomic::swap(&raw mut (*state).id, 0);
        if !all {
            // A flush that found it before may have yet to add something.
            atomic::add(&raw mut (*counts).unjudged, 1);
            limbo::enter(index);
            return;
        }
        let mark = u64::from(index) + 1;
        let reading = &raw const (*shared).reading;
        let orphan = &raw mut (*shared).orphan;
        // The reader may be at it, with deltas that it has yet to add: then it is the reader that goes on here, unless it was
        // done just now.
        if core::ptr::read_volatile(reading) == mark
            && atomic::replace(orphan, 0, mark)
            && (core::ptr::read_volatile(reading) == mark || !atomic::replace(orphan, mark, 0))
        {
            return;
        }
        atomic::add(&raw mut (*counts).late, late);
        judge(this, state);
        free(state, index);
    }
}

/// Ends the state of an mm that may live: nobody looks for a rest, and the index is free after a while only.
///
/// # Safety
/// `this` must lie in a map value.
#[inline(always)]
pub unsafe fn let_go(this: *mut Cpu, mm: u64) {
    let Some(index) = find(mm) else { return };
    let Some(state) = maps::state(index) else { return };
    if maps::INDEX.remove(mm).is_err() {
        // Its end came first, and whoever saw that goes on with the state.
        return;
    }
    // SAFETY: by the caller; a map value.
    unsafe {
        atomic::add(&raw mut (*this).counts.deaths, 1);
        ended(state, index);
        atomic::swap(&raw mut (*state).id, 0);
    }
    limbo::enter(index);
}

/// The reader works on the state at `index` from here on: it is not given to another mm.
///
/// # Safety
/// `shared` must lie in a map value.
#[inline(always)]
pub unsafe fn begin_reading(shared: *mut maps::Shared, index: u32) {
    // SAFETY: by the caller.
    unsafe { atomic::swap(&raw mut (*shared).reading, u64::from(index) + 1) };
}

/// The reader is done with what it worked on: goes on with the state's end if the mm ended meanwhile. Nobody looks for a rest then: the
/// words that the reader came to last may have been memory of another mm by then, which has the address.
///
/// # Safety
/// `this` and `shared` must lie in map values.
#[inline(always)]
pub unsafe fn done_reading(this: *mut Cpu, shared: *mut maps::Shared) {
    // SAFETY: by the caller.
    unsafe {
        atomic::swap(&raw mut (*shared).reading, 0);
        let orphan = atomic::swap(&raw mut (*shared).orphan, 0);
        if orphan != 0 {
            #[expect(clippy::cast_possible_truncation, reason = "it was made from an index of 32 bits")]
            let index = (orphan - 1) as u32;
            let Some(state) = maps::state(index) else { return };
            atomic::add(&raw mut (*this).counts.unjudged, 1);
            free(state, index);
        }
    }
}

/// What `run` keeps of a state that ends.
#[inline(always)]
unsafe fn ended(state: *const State, index: u32) {
    if let Some(kept) = run::count::measured(index) {
        // SAFETY: by the caller; a map value.
        unsafe {
            (*kept).of.peak = (*state).peak_exact;
            (*kept).of.drift = (*state).peak_drift;
            (*kept).of.cpus = (*state).active_max;
        }
        run::count::ended(index);
    }
}

/// Looks for a rest in the totals of a state that ended.
#[inline(always)]
unsafe fn judge(this: *mut Cpu, state: *const State) {
    // SAFETY: by the caller.
    unsafe {
        let rest = rest(state);
        if rest != 0 {
            let counts = &raw mut (*this).counts;
            atomic::add(&raw mut (*counts).deaths_with_rest, 1);
            atomic::add(&raw mut (*counts).rest, rest);
            report::report_rest((*state).tgid, rest);
        }
    }
}

/// Sum of the totals without signs, in pages.
#[inline(always)]
unsafe fn rest(state: *const State) -> u64 {
    // SAFETY: by the caller.
    unsafe {
        let totals = &raw const (*state).totals;
        (*totals)[0].unsigned_abs()
            + (*totals)[1].unsigned_abs()
            + (*totals)[2].unsigned_abs()
            + (*totals)[3].unsigned_abs()
    }
}

/// What the slots still hold of a mm, on its way from CPU to CPU.
struct Pending {
    id: u64,
    index: u64,
    /// The CPU that adds up.
    own: u64,
    pages: [i64; MEMBERS],
    /// Slots of other CPUs that have yet to flush, or are in the middle of that.
    unflushed: u64,
}

/// Adds what the slots hold of an mm to its totals: after its end they will not be asked any more. False when another CPU has
/// yet to flush, so that what it holds may come twice or be on its way: the totals say nothing then, and may be added to.
///
/// This CPU's own slot publishes first: a switch that preempts us (where the kernel preempts itself: in `__mmdrop`, and from 7.x
/// on in a tracepoint) would flush what we have counted already, or what we have yet to count after the state's end.
///
/// Another CPU's slot published or flushed when its task left the mm, as a rule before the last hold on that was let go. But
/// from `fs/exec.c:exec_mmap` to `sched_process_exec` a slot names the old mm, which its task does not hold any more: if a
/// reader of its files in /proc does, it ends with that. And where `exit_mmap` is the end, a thread between
/// `kernel/exit.c:exit_mm` and its last switch does not hold it back.
#[inline(always)]
unsafe fn gather(this: *mut Cpu, state: *mut State, index: u32) -> bool {
    let zero = maps::zero();
    // SAFETY: by the caller.
    unsafe {
        apply::publish(this);
        let mut pending = Pending {
            id: (*state).id,
            index: u64::from(index),
            own: u64::from(bpf_get_smp_processor_id()),
            pages: [zero; MEMBERS],
            unflushed: zero.cast_unsigned(),
        };
        repeat(layout!(cpu_ids), &mut pending, add_pending);
        atomic::add_signed(&raw mut (*state).totals[0], pending.pages[0]);
        atomic::add_signed(&raw mut (*state).totals[1], pending.pages[1]);
        atomic::add_signed(&raw mut (*state).totals[2], pending.pages[2]);
        atomic::add_signed(&raw mut (*state).totals[3], pending.pages[3]);
        pending.unflushed == 0
    }
}

/// One CPU of [`gather`].
#[inline(never)]
extern "C" fn add_pending(cpu: u32, pending: &mut Pending) -> i64 {
    let Some(owner) = maps::cpu(cpu) else { return STOP };
    // SAFETY: a map value.
    unsafe {
        let slot = &raw const (*owner).slot;
        let mut unflushed = false;
        if core::ptr::read_volatile(&raw const (*slot).id) == pending.id {
            unflushed = core::ptr::read_volatile(&raw const (*slot).live) != 0;
            pending.pages[0] += i64::from((*slot).pending[0]);
            pending.pages[1] += i64::from((*slot).pending[1]);
            pending.pages[2] += i64::from((*slot).pending[2]);
            pending.pages[3] += i64::from((*slot).pending[3]);
        }
        // Asked last: a flush that took what we looked for has left its mark by then, or is done.
        unflushed |= core::ptr::read_volatile(&raw const (*slot).busy) == pending.index as u32 + 1;
        if unflushed && u64::from(cpu) != pending.own {
            pending.unflushed += 1;
        }
    }
    GO_ON
}

/// One CPU's words of a state that is given up.
#[inline(never)]
extern "C" fn wipe_words(cpu: u32, index: &mut u64) -> i64 {
    let Some(seen) = maps::seen(cpu, *index as u32) else { return STOP };
    // SAFETY: a map value.
    unsafe { wipe::words(seen) };
    GO_ON
}

/// Clears a state and gives its index back: whoever gets it next begins with nothing.
///
/// # Safety
/// `state` must lie in a map value and be the one at `index`, which nobody finds or works on any more.
#[inline(always)]
pub unsafe fn free(state: *mut State, index: u32) {
    repeat(layout!(cpu_ids), &mut u64::from(index), wipe_words);
    // SAFETY: by the caller.
    unsafe { wipe::state(state) };
    wipe::give_back(index);
}
