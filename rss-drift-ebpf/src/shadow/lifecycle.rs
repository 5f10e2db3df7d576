//! From an mm's first event or first visit to its end at `__mmdrop`.

use aya_ebpf::bindings::BPF_NOEXIST;
use rss_drift_common::{
    MEMBERS,
    shadow::{Cpu, State},
};

use super::{apply, maps, report, wipe, words};
use crate::{
    atomic,
    each_cpu::{GO_ON, STOP, each_cpu},
    kernel::layout,
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
/// Seeding reads every word of the mm once. The state can be found before: an update that is too late to be seen by that
/// has an event that finds the state, so that none is lost and none counts twice.
///
/// # Safety
/// `mm` must be known to the verifier, `this` must lie in a map value.
#[inline(always)]
pub unsafe fn find_or_create(this: *mut Cpu, mm: *const u8) -> Option<u32> {
    let address = mm as u64;
    if let Some(index) = find(address) {
        return Some(index);
    }
    // SAFETY: by the caller.
    unsafe {
        let counts = &raw mut (*this).counts;
        let Ok(Some(index)) = maps::FREE.pop() else {
            (*counts).refused += 1;
            report::refused((*counts).refused);
            return None;
        };
        let state = maps::state(index)?;
        let shared = maps::SHARED.get_ptr_mut(0)?;
        let id = atomic::fetch_add(&raw mut (*shared).last_id, 1) + 1;
        (*state).mm = address;
        (*state).seeded = 0;
        (*state).visited = (*shared).pass;
        atomic::swap(&raw mut (*state).id, id.cast_unsigned());
        if maps::INDEX.insert(address, index, u64::from(BPF_NOEXIST)).is_err() {
            (*state).id = 0;
            wipe::give_back(index);
            // Another CPU was faster, or the hash refused.
            let found = find(address);
            if found.is_none() {
                (*counts).refused += 1;
            }
            return found;
        }
        (*counts).births += 1;
        let refreshed = words::refresh_all(mm, index, state);
        (*counts).unsettled += refreshed.unsettled;
        atomic::swap(&raw mut (*state).seeded, 1);
        apply::peaks(state, 0);
        Some(index)
    }
}

/// Ends the state of an mm. `last`: this is the mm's last moment, all its counters are 0, and so must be the shadow.
///
/// # Safety
/// `this` must lie in a map value.
#[inline(always)]
pub unsafe fn end(this: *mut Cpu, mm: u64, last: bool) {
    let Some(index) = find(mm) else { return };
    let (Some(state), Some(shared)) = (maps::state(index), maps::SHARED.get_ptr_mut(0)) else { return };
    // A failure leaves an entry that nobody may find: the id says that it is dead.
    let _ = maps::INDEX.remove(mm);
    // SAFETY: by the caller; map values.
    unsafe {
        let counts = &raw mut (*this).counts;
        let id = (*state).id;
        let rest = if last { rest_of(state, id) } else { 0 };
        (*counts).deaths += 1;
        if rest != 0 {
            (*counts).deaths_with_rest += 1;
            (*counts).rest += rest;
            report::rest((*state).tgid, rest);
        }
        // From here on no slot that still names this state finds it.
        atomic::swap(&raw mut (*state).id, 0);
        let mark = u64::from(index) + 1;
        let reading = &raw const (*shared).reading;
        let orphan = &raw mut (*shared).orphan;
        // The reader may be at it: then it is the reader that frees the state, unless it was done just now.
        if core::ptr::read_volatile(reading) == mark
            && atomic::replace(orphan, 0, mark)
            && (core::ptr::read_volatile(reading) == mark || !atomic::replace(orphan, mark, 0))
        {
            return;
        }
        wipe(state, index);
        wipe::give_back(index);
    }
}

/// The reader is done with what it worked on: frees the state if its mm ended meanwhile.
///
/// # Safety
/// `shared` must lie in a map value.
#[inline(always)]
pub unsafe fn done_reading(shared: *mut maps::Shared) {
    // SAFETY: by the caller.
    unsafe {
        atomic::swap(&raw mut (*shared).reading, 0);
        let orphan = atomic::swap(&raw mut (*shared).orphan, 0);
        if orphan != 0 {
            #[expect(clippy::cast_possible_truncation, reason = "it was made from an index of 32 bits")]
            let index = (orphan - 1) as u32;
            let Some(state) = maps::state(index) else { return };
            wipe(state, index);
            wipe::give_back(index);
        }
    }
}

/// What is left of an mm, on its way from CPU to CPU.
struct Rest {
    id: u64,
    pages: [i64; MEMBERS],
}

/// Sum of what is left of each member, without signs, in pages.
#[inline(always)]
unsafe fn rest_of(state: *const State, id: u64) -> u64 {
    // SAFETY: by the caller.
    let mut rest = Rest { id, pages: unsafe { (*state).totals } };
    each_cpu(layout!(cpu_ids), &mut rest, add_pending);
    rest.pages[0].unsigned_abs()
        + rest.pages[1].unsigned_abs()
        + rest.pages[2].unsigned_abs()
        + rest.pages[3].unsigned_abs()
}

/// One CPU of [`rest_of`].
#[inline(never)]
extern "C" fn add_pending(cpu: u32, rest: &mut Rest) -> i64 {
    let Some(owner) = maps::cpu(cpu) else { return STOP };
    // SAFETY: a map value.
    unsafe {
        let slot = &raw const (*owner).slot;
        if (*slot).id == rest.id {
            rest.pages[0] += i64::from((*slot).pending[0]);
            rest.pages[1] += i64::from((*slot).pending[1]);
            rest.pages[2] += i64::from((*slot).pending[2]);
            rest.pages[3] += i64::from((*slot).pending[3]);
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

/// Whoever gets this index next begins with nothing.
#[inline(always)]
unsafe fn wipe(state: *mut State, index: u32) {
    each_cpu(layout!(cpu_ids), &mut u64::from(index), wipe_words);
    // SAFETY: by the caller.
    unsafe { wipe::state(state) };
}
