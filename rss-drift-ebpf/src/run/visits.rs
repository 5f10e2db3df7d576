//! How many CPUs a reader of the RFC's cache would visit for an mm: those that ran it, and those in its `mm_cpumask`, which its
//! later patches read instead of all CPUs. x86 takes a CPU out of that mask late (`arch/x86/mm/tlb.c`).

use super::maps::{self, run};
use crate::kernel::{layout, probe};

/// Bits of a word.
const WORD: u32 = 64;

/// A reading visits the mm at `mm`, whose state is at `index`; `ran`: CPUs whose slot
/// held it at an update. Two readings never run at once: one daemon has these maps.
#[inline(always)]
pub fn count(index: u32, mm: u64, ran: u64) {
    if !maps::on() || maps::measured(index).is_none() {
        return;
    }
    let Some(shared) = maps::shared() else { return };
    let mask = mask(mm + u64::from(run!(mm_cpumask)));
    // SAFETY: a map value.
    unsafe {
        let visits = &raw mut (*shared).visits;
        (*visits).readings += 1;
        (*visits).ran += ran;
        (*visits).mask += mask;
        if ran > (*visits).ran_max {
            (*visits).ran_max = ran;
        }
        if mask > (*visits).mask_max {
            (*visits).mask_max = mask;
        }
    }
}

/// CPUs whose bits are set.
#[inline(always)]
pub const fn weight_of(cpus: [u64; 4]) -> u64 {
    weight(cpus[0]) + weight(cpus[1]) + weight(cpus[2]) + weight(cpus[3])
}

/// CPUs in the mask at an address.
#[inline(always)]
fn mask(address: u64) -> u64 {
    let words = layout!(cpu_ids).div_ceil(WORD);
    let mut sum = 0;
    let mut word = 0;
    while word < words {
        sum += weight(probe(address + u64::from(word) * 8).unwrap_or(0));
        word += 1;
    }
    sum
}

/// Bits that are set: this target has no instruction for it.
#[inline(always)]
const fn weight(word: u64) -> u64 {
    let pairs = word - ((word >> 1) & 0x5555_5555_5555_5555);
    let nibbles = (pairs & 0x3333_3333_3333_3333) + ((pairs >> 2) & 0x3333_3333_3333_3333);
    let bytes = (nibbles + (nibbles >> 4)) & 0x0f0f_0f0f_0f0f_0f0f;
    bytes.wrapping_mul(0x0101_0101_0101_0101) >> 56
}
