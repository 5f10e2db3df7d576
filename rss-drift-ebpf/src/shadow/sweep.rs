//! States whose mm ended unseen: found by the reader, which visits every mm that a task has.
//!
//! Where there is no fentry on `__mmdrop`, the end of an mm without mappings has no event up to 6.18, and a run of the
//! program that sees ends may be refused by the kernel's recursion guard. Such a state is all 0, but it stays, and gives its
//! peaks to the next mm at its address.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{bpf_for_each_map_elem, bpf_get_smp_processor_id};

use super::{lifecycle, limbo, maps};
use crate::{
    atomic,
    kernel::layout,
    repeat::{GO_ON, STOP, repeat},
};

/// Readings without a visit after which a state without an event is taken for that of an mm that ended.
const PASSES: u64 = 2;
/// Nanoseconds for which it must have had no event: readings can follow each other at once, and an mm has no task while it is
/// made or taken down.
const QUIET: u64 = 1_000_000_000;

/// The first task of a reading.
#[inline(always)]
pub fn begin_of_reading() {
    let Some(shared) = maps::SHARED.get_ptr_mut(0) else { return };
    // SAFETY: a map value; there is one reader.
    unsafe { (*shared).visited = 0 };
}

/// Behind the last task: when there are more states than mms were visited, each state is looked at.
#[inline(always)]
pub fn end_of_reading() {
    limbo::release();
    let Some(shared) = maps::SHARED.get_ptr_mut(0) else { return };
    let mut living = maps::zero();
    repeat(layout!(cpu_ids), &mut living, add_living);
    // SAFETY: a map value; there is one reader.
    unsafe {
        if living > (*shared).visited.cast_signed() {
            let mut pass = (*shared).pass;
            bpf_for_each_map_elem(
                (&raw const maps::INDEX).cast_mut().cast(),
                look as *mut c_void,
                (&raw mut pass).cast(),
                0,
            );
        }
        (*shared).pass += 1;
    }
}

/// One CPU's births less its deaths.
#[inline(never)]
extern "C" fn add_living(cpu: u32, living: &mut i64) -> i64 {
    let Some(owner) = maps::cpu(cpu) else { return STOP };
    // SAFETY: a map value.
    let counts = unsafe { &(*owner).counts };
    *living += counts.births.wrapping_sub(counts.deaths).cast_signed();
    GO_ON
}

/// One entry of the hash. An mm that lives on (no task of this PID namespace has it, or one that the kernel hides) gets
/// another state at its next event: what is lost are its peaks.
#[inline(never)]
extern "C" fn look(_map: *mut c_void, mm: &u64, index: &u32, pass: &u64) -> i64 {
    let Some(state) = maps::state(*index) else { return GO_ON };
    // SAFETY: no preconditions.
    let number = unsafe { bpf_get_smp_processor_id() };
    let Some(this) = maps::cpu(number) else { return STOP };
    // SAFETY: map values.
    unsafe {
        if (*state).visited + PASSES > *pass {
            return GO_ON;
        }
        let moves = (*state).moves();
        if (*state).looked != moves + 1 {
            (*state).looked = moves + 1;
            (*state).looked_at = limbo::now();
            return GO_ON;
        }
        if (*state).looked_at + QUIET > limbo::now() {
            return GO_ON;
        }
        atomic::add(&raw mut (*this).counts.swept, 1);
        // It is not asked for a rest: the mm's words cannot be read any more.
        lifecycle::let_go(this, *mm);
    }
    GO_ON
}
