//! The exact reader: the kernel's counters of one mm, added up without a lock.
//!
//! A fold (`lib/percpu_counter.c:percpu_counter_add_batch`) adds the CPU's slot to the count, then takes it out of the
//! slot, both under the counter's lock. So a reading is valid only if the counts are read first, then every lock word is 0, then the
//! slots are read, then every lock word is 0 again, and no count changed. An unchanged count alone does not show a reader that
//! saw the new count and the old slot. Nor does a look at the locks before the counts: a fold that locks between the two, and
//! unlocks before the last look, gives that reader the new count and the old slot as well.

use crate::member::Pages;

/// The counters of one mm.
pub trait Counters {
    /// The global counts of all members.
    fn counts(&self) -> Pages;
    /// All lock words or-ed: 0 when no counter is being folded.
    fn locks(&self) -> u32;
    /// Adds up the slots of all possible CPUs, for the caller of [`read`]; false where one cannot be read.
    fn add_slots(&mut self) -> bool;
}

/// One reading of all counters; true when it is valid. The counts go to `count`; what the slots add up to, `counters` keeps.
#[inline(always)]
pub fn read(counters: &mut impl Counters, count: &mut Pages) -> bool {
    *count = counters.counts();
    let locked_before = counters.locks();
    let readable = counters.add_slots();
    let locked_after = counters.locks();
    let after = counters.counts();
    let moved = (after[0] ^ count[0]) | (after[1] ^ count[1]) | (after[2] ^ count[2]) | (after[3] ^ count[3]);
    readable && (locked_before | locked_after) == 0 && moved == 0
}
