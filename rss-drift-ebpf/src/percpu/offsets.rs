//! Where each CPU's per-CPU memory lies; read once at start.

use aya_ebpf::{
    helpers::generated::bpf_map_lookup_percpu_elem,
    macros::map,
    maps::{Array, PerCpuArray},
};
use rss_drift_common::record::CpuRecord;

use crate::{
    iterator::{TaskContext, Visit},
    kernel::{layout, probe},
};

/// A map whose elements are in per-CPU memory. Only their addresses are used.
#[map]
static CPU_ELEMENT: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Pointers are stored here and read back as numbers: the verifier refuses arithmetic between a pointer and a number.
#[map]
static SCRATCH: Array<u64> = Array::with_max_entries(1, 0);

/// Writes a [`CpuRecord`] for every CPU number, on the first task of a reading.
#[inline(always)]
pub fn visit(ctx: *const TaskContext) {
    let Some(visit) = Visit::of(ctx) else { return };
    if visit.number != 0 {
        return;
    }
    let map = (&raw const CPU_ELEMENT).cast_mut();
    let Some(map_address) = number_of(map.cast()) else { return };
    let Some(pointer) = probe::<u64>(map_address + u64::from(layout!(array_pptrs))) else { return };
    let mut cpu = 0;
    while cpu < layout!(cpu_ids) {
        let key = 0_u32;
        // SAFETY: a map of ours, a key on the stack; the kernel checks the CPU's number.
        let element =
            unsafe { bpf_map_lookup_percpu_elem(map.cast(), core::ptr::from_ref(&key).cast(), cpu) };
        let element = if element.is_null() { 0 } else { number_of(element.cast()).unwrap_or(0) };
        visit.write(&CpuRecord { cpu: u64::from(cpu), element, pointer });
        cpu += 1;
    }
}

/// The address in a pointer, which the verifier does not give out as a number.
#[inline(always)]
fn number_of(pointer: *const u8) -> Option<u64> {
    let scratch = SCRATCH.get_ptr_mut(0)?;
    // SAFETY: an element of our own map; volatile, or the compiler would keep the pointer in its register. Two readers
    // at once cannot meet here: only the loader runs this program, once.
    unsafe {
        core::ptr::write_volatile(scratch.cast(), pointer);
        Some(core::ptr::read_volatile(scratch))
    }
}
