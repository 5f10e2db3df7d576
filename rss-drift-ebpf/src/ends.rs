//! Whether fentry on `__mmdrop` fires at all: it can be attached and stay silent (`kernel.ftrace_enabled=0`, 6.1).

use aya_ebpf::{macros::map, maps::Array};

/// One element: 0 until an end was seen. User space sets it to 0 and looks again.
#[map]
static END_SEEN: Array<u64> = Array::with_max_entries(1, 0);

/// Notes that the BPF program ran. Written once, so that CPUs do not fight over the cache line.
#[inline(always)]
pub fn seen() {
    let Some(seen) = END_SEEN.get_ptr_mut(0) else { return };
    // SAFETY: a map value; all CPUs write the same.
    unsafe {
        if core::ptr::read_volatile(seen) == 0 {
            core::ptr::write_volatile(seen, 1);
        }
    }
}
