//! Reading the kernel's structs: offsets are constants in our instructions, put in by user space from BTF.

#[cfg(target_arch = "bpf")]
use core::arch::asm;

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use rss_drift_common::{
    RDONLY_CAST,
    layout::{FIGURE, FIGURE_OFFSET},
};

/// One figure of a struct of figures: a constant, also to the verifier.
macro_rules! figure {
    ($figures:ty, $member:ident) => {
        $crate::kernel::constant::<
            { rss_drift_common::layout::figure::<$figures>(core::mem::offset_of!($figures, $member)) },
            $figures,
            _,
        >(|figures| figures.$member)
    };
}
pub(crate) use figure;

/// One figure of the layout.
macro_rules! layout {
    ($member:ident) => {
        $crate::kernel::figure!(rss_drift_common::Layout, $member)
    };
}
pub(crate) use layout;

/// As [`load`] at one figure of the layout, which becomes part of the load instruction.
macro_rules! load_at {
    ($base:expr, $member:ident) => {
        $crate::kernel::load_figure::<
            {
                rss_drift_common::layout::figure::<rss_drift_common::Layout>(core::mem::offset_of!(
                    rss_drift_common::Layout,
                    $member
                ))
            },
            0,
            _,
        >($base)
    };
}
pub(crate) use load_at;

/// As [`load_at!`], of a part of a member's counter in an mm.
macro_rules! load_counter {
    ($mm:expr, $part:ident, $member:ident) => {
        $crate::kernel::load_figure::<
            {
                rss_drift_common::layout::figure::<rss_drift_common::layout::Counters>(core::mem::offset_of!(
                    rss_drift_common::layout::Counters,
                    $part
                ))
            },
            $member,
            _,
        >($mm)
    };
}
pub(crate) use load_counter;

/// What a figure can be.
pub trait Figure: Copy {
    /// The mark in an instruction until the loader puts the figure there, less the figure's number.
    const MARK: u64;

    /// The figure, from the value in an instruction.
    fn of(value: u64) -> Self;
}

impl Figure for u32 {
    const MARK: u64 = FIGURE;

    #[inline(always)]
    fn of(value: u64) -> Self {
        // SAFETY: the loader puts figures of 32 bits in as such. The compiler, which sees no value, need not cut it.
        unsafe { core::hint::assert_unchecked(value <= Self::MAX.into()) };
        value as Self
    }
}

/// The figure of this number, with the type of the field that the closure
/// names: one instruction with a mark, which the loader replaces.
#[inline(always)]
pub fn constant<const NUMBER: u16, F, T: Figure>(_: fn(&F) -> T) -> T {
    T::of(marked::<NUMBER, T>())
}

#[cfg(target_arch = "bpf")]
#[inline(always)]
fn marked<const NUMBER: u16, T: Figure>() -> u64 {
    let value: u64;
    // SAFETY: a constant into a register.
    unsafe {
        asm!(
            "{value} = {mark} ll",
            value = lateout(reg) value,
            mark = const T::MARK + NUMBER as u64,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    value
}

/// For lints, which compile this crate for the host: that has no instructions of BPF.
#[cfg(not(target_arch = "bpf"))]
fn marked<const NUMBER: u16, T: Figure>() -> u64 {
    T::MARK + u64::from(NUMBER)
}

/// As [`load`], with the figure of this number for an offset: one instruction, which the loader puts the offset into. `PLACE` is
/// the figure's place in a field that is an array. Use [`load_at!`] and [`load_counter!`].
///
/// # Safety
/// As [`load`].
#[inline(always)]
pub unsafe fn load_figure<const NUMBER: u16, const PLACE: usize, T: Word>(base: *const u8) -> T {
    // SAFETY: the verifier takes the base for a kernel struct with a `T` at the figure's offset.
    unsafe { T::load_figure::<NUMBER, PLACE>(base) }
}

/// What [`load_figure`] can load.
pub trait Word: Copy {
    /// See [`load_figure`].
    ///
    /// # Safety
    /// As [`load`].
    unsafe fn load_figure<const NUMBER: u16, const PLACE: usize>(base: *const u8) -> Self;
}

/// For lints, as above.
#[cfg(not(target_arch = "bpf"))]
macro_rules! marked_load {
    ($instruction:literal, $base:ident, $number:ident, $place:ident) => {
        // SAFETY: never run: this target has no kernel struct.
        unsafe { load::<u64>($base, (FIGURE_OFFSET + $number + $place as u16).into()) }
    };
}

/// A load with a mark for an offset. It may read any memory and stays in program order, as a volatile load does.
#[cfg(target_arch = "bpf")]
macro_rules! marked_load {
    ($instruction:literal, $base:ident, $number:ident, $place:ident) => {{
        let value: u64;
        // SAFETY: the base is a kernel struct with a value of this width at the offset; a fault on a stale pointer reads as 0.
        unsafe {
            asm!(
                $instruction,
                value = lateout(reg) value,
                base = in(reg) $base,
                mark = const FIGURE_OFFSET + $number + $place as u16,
                options(readonly, nostack, preserves_flags),
            );
        }
        value
    }};
}

impl Word for u64 {
    #[inline(always)]
    unsafe fn load_figure<const NUMBER: u16, const PLACE: usize>(base: *const u8) -> Self {
        marked_load!("{value} = *(u64 *)({base} + {mark})", base, NUMBER, PLACE)
    }
}

impl Word for u32 {
    #[inline(always)]
    unsafe fn load_figure<const NUMBER: u16, const PLACE: usize>(base: *const u8) -> Self {
        let value = marked_load!("{value} = *(u32 *)({base} + {mark})", base, NUMBER, PLACE);
        // SAFETY: a load of 32 bits clears the upper half of the register.
        unsafe { core::hint::assert_unchecked(value <= Self::MAX.into()) };
        value as Self
    }
}

impl Word for i64 {
    #[inline(always)]
    unsafe fn load_figure<const NUMBER: u16, const PLACE: usize>(base: *const u8) -> Self {
        // SAFETY: a word of 64 bits at the same place, of the same struct.
        unsafe { u64::load_figure::<NUMBER, PLACE>(base) }.cast_signed()
    }
}

impl Word for *const u8 {
    #[inline(always)]
    unsafe fn load_figure<const NUMBER: u16, const PLACE: usize>(base: *const u8) -> Self {
        // SAFETY: a word of 64 bits at the same place, of the same struct.
        unsafe { u64::load_figure::<NUMBER, PLACE>(base) as Self }
    }
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

/// Turns any address into a pointer to a struct that the verifier knows (by its number `of` in BTF), for [`load`].
///
/// This is the kernel's `bpf_rdonly_cast(address, of)`, a function of the kernel and no helper. Neither the
/// compiler nor aya can link these: the call has a mark for a target, and the loader puts the function's number
/// there. The verifier turns the call into a move. If the kernel has no such function, the call must be dead code.
///
/// # Safety
/// A load through it reads whatever is at the address; 0 if nothing can be read.
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

/// For lints, which compile this crate for the host: that has no instructions of BPF.
#[cfg(not(target_arch = "bpf"))]
pub unsafe fn rdonly_cast(address: u64, of: u32) -> *const u8 {
    let _ = (of, RDONLY_CAST);
    address as *const u8
}

/// The kernel's `PF_KTHREAD` (`include/linux/sched.h`, the same bit from 5.10 to 7.2).
pub const PF_KTHREAD: u32 = 0x0020_0000;
/// `clone(2)`: the child uses the parent's mm.
pub const CLONE_VM: u64 = 0x100;
