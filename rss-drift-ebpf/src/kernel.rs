//! Reading the kernel's structs: offsets are constants to the verifier, put in by user space from BTF.

#[cfg(target_arch = "bpf")]
use core::arch::asm;

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use rss_drift_common::{Layout, RDONLY_CAST};

/// Filled in before loading; read-only and frozen, so that the verifier knows every value.
#[unsafe(no_mangle)]
pub static LAYOUT: Layout = Layout {
    task_mm: 0,
    task_group_leader: 0,
    task_signal: 0,
    task_pid: 0,
    task_tgid: 0,
    task_flags: 0,
    task_comm: 0,
    task_start_boottime: 0,
    task_self_exec_id: 0,
    task_self_exec_id_size: 0,
    task_rss_count: 0,
    signal_nr_threads: 0,
    mm_rss_stat: 0,
    mm_rss_stride: 0,
    counter_lock: 0,
    counter_count: 0,
    counter_counters: 0,
    counter_has_slots: 0,
    array_pptrs: 0,
    cpus: 0,
    cpu_ids: 0,
};

/// One figure of the layout.
macro_rules! layout {
    ($member:ident) => {
        $crate::kernel::constant(&raw const $crate::kernel::LAYOUT.$member)
    };
}
pub(crate) use layout;

/// Loads a figure of [`LAYOUT`] or of another static that user space fills in. Volatile, or the compiler would fold the
/// zeroes that it sees into the code.
#[inline(always)]
pub fn constant<T: Copy>(figure: *const T) -> T {
    // SAFETY: only called by `layout!` and its like, with a member of a static of plain integers.
    unsafe { core::ptr::read_volatile(figure) }
}

/// Loads a member of a struct to which the verifier knows the type (a task, its mm, its `signal_struct`).
///
/// # Safety
/// `base` must be a pointer that the verifier takes for one to a kernel struct with a `T` at `offset`.
#[inline(always)]
pub unsafe fn load<T: Copy>(base: *const u8, offset: u32) -> T {
    // SAFETY: a fault on a stale pointer reads as 0 (the verifier turns this into a probed load); volatile keeps each
    // load one instruction of T's width and in program order, which the reading's validity rule needs.
    unsafe { core::ptr::read_volatile(base.add(offset as usize).cast::<T>()) }
}

/// Reads `T` from any kernel address; `None` when the address cannot be read.
#[inline(always)]
pub fn probe<T: Copy>(address: u64) -> Option<T> {
    let mut value = core::mem::MaybeUninit::<T>::uninit();
    // SAFETY: the helper writes exactly size_of::<T>() bytes or fails.
    let failed = unsafe {
        bpf_probe_read_kernel(value.as_mut_ptr().cast(), size_of::<T>() as u32, address as *const _)
    };
    // SAFETY: the helper reported success, so all bytes are written.
    if failed == 0 { Some(unsafe { value.assume_init() }) } else { None }
}

/// Makes a pointer to a struct that the verifier knows (by its number `of`) of any address, for [`load`].
///
/// The kernel's `bpf_rdonly_cast(address, of)`, a function of its own and no helper. Neither the compiler nor aya link
/// these: the call has a mark for a target, and the loader puts the function's number there. The verifier turns it into a
/// move. Where the kernel has no such function the call must be dead code.
///
/// # Safety
/// A load through it reads what stands there, whatever that is; 0 where nothing can be read.
#[cfg(target_arch = "bpf")]
#[inline(always)]
pub unsafe fn rdonly_cast(address: u64, of: u32) -> *const u8 {
    let pointer: *const u8;
    // SAFETY: the call reads and writes no memory of ours; a call leaves r1 to r5 undefined.
    unsafe {
        asm!(
            "call {target}",
            target = const RDONLY_CAST,
            inlateout("r1") address => _,
            inlateout("r2") u64::from(of) => _,
            lateout("r0") pointer,
            lateout("r3") _,
            lateout("r4") _,
            lateout("r5") _,
            options(nomem, nostack, preserves_flags),
        );
    }
    pointer
}

/// For lints, which look at this crate on the host's target: no instruction of BPF is known there.
#[cfg(not(target_arch = "bpf"))]
pub unsafe fn rdonly_cast(address: u64, of: u32) -> *const u8 {
    let _ = (of, RDONLY_CAST);
    address as *const u8
}

/// The kernel's `PF_KTHREAD` (`include/linux/sched.h`, the same bit from 5.10 to 7.2).
pub const PF_KTHREAD: u32 = 0x0020_0000;
