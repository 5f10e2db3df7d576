//! What `cargo xtask bench cost` compares full mode with: BPF programs that do nothing, and the
//! usual way to follow RSS. They are an object of their own, which is no part of rss-drift.
#![no_std]
#![no_main]
// Atomics are intrinsics on this target.
#![feature(core_intrinsics)]
#![expect(internal_features, reason = "as above")]

use core::intrinsics::{AtomicOrdering::SeqCst, atomic_xadd};

use aya_ebpf::{macros::map, maps::HashMap};

/// As rss-drift's own.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// A BPF program that does nothing, named after the hook of full mode that it is attached to instead.
macro_rules! empty {
    ($name:ident, $section:literal) => {
        #[unsafe(link_section = $section)]
        #[unsafe(no_mangle)]
        extern "C" fn $name(_ctx: *const u64) -> i32 {
            0
        }
    };
}

empty!(empty_rss_stat, "tp_btf/rss_stat");
empty!(empty_sched_switch, "tp_btf/sched_switch");
empty!(empty_sched_process_exec, "tp_btf/sched_process_exec");
empty!(empty_page_fault_user, "tp_btf/page_fault_user");
empty!(empty_page_fault_kernel, "tp_btf/page_fault_kernel");
empty!(empty_task_newtask, "tp_btf/task_newtask");
empty!(empty_exit_mmap, "tp_btf/exit_mmap");
empty!(empty_mmdrop, "fentry/__mmdrop");

/// Updates by `mm_id`.
#[map]
static UPDATES: HashMap<u32, u64> = HashMap::with_max_entries(10240, 0);

/// Where `mm_id` stands in the record of the classic tracepoint `kmem:rss_stat`. A context is read at a constant only, as
/// bpftrace compiles it too; the bench looks into the tracepoint's format whether the kernel has it there.
const MM_ID: usize = 8;

/// The classic tracepoint `kmem:rss_stat`, counted per mm in a hash, as a bpftrace one-liner does it.
#[unsafe(link_section = "tracepoint/kmem/rss_stat")]
#[unsafe(no_mangle)]
extern "C" fn classic_rss_stat(ctx: *const u32) -> i32 {
    // SAFETY: the verifier checks the read against the size of the tracepoint's record.
    let mm_id = unsafe { core::ptr::read_volatile(ctx.byte_add(MM_ID)) };
    match UPDATES.get_ptr_mut(mm_id) {
        // SAFETY: a map value; the hash does not free it under a running BPF program.
        Some(updates) => unsafe {
            atomic_xadd::<u64, u64, { SeqCst }>(updates, 1);
        },
        None => {
            // A full map counts no more mms: that costs no less.
            let _ = UPDATES.insert(mm_id, 1, 0);
        }
    }
    0
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    // Nothing here can panic: the linker drops this.
    loop {}
}
