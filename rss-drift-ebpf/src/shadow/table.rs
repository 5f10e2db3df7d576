//! Tables: elements that a BPF program reaches by their address alone.

use core::{cell::UnsafeCell, mem::MaybeUninit};

/// Elements side by side, in a section of their own. To the kernel a section is a map of one value, and a BPF program has that value's
/// address (`BPF_PSEUDO_MAP_VALUE`, since 5.2): a look-up in an array takes three times as many instructions. The object has room for
/// one element; the loader makes the section as large as it has to be (`probe/link.rs`).
#[repr(transparent)]
pub struct Table<T>(UnsafeCell<MaybeUninit<T>>);

// SAFETY: whoever has an element may share it, and nothing else is reached through a table.
unsafe impl<T: Sync> Sync for Table<T> {}

impl<T> Table<T> {
    /// Zeros, as the kernel fills the section.
    pub const fn new() -> Self {
        Self(UnsafeCell::new(MaybeUninit::zeroed()))
    }

    /// The element at an index. The table has so many.
    #[inline(always)]
    pub fn get(&self, index: u32, elements: u32) -> Option<&T> {
        let element = element::<T>(self.0.get().cast(), index, elements);
        // SAFETY: an element of the section, all zeros at first, which are a value of every type of words. It lives as long as the
        // program, and all of its words allow to be changed by others.
        unsafe { element.as_ref() }
    }
}

/// The address of an element; null behind the last one. Check and address are one piece: between them the compiler may copy the index
/// to another register or to the stack, where the verifier does not know its bounds (5.10 and 6.1 refused such code). Nor does the
/// compiler know where the section ends in the object.
#[cfg(target_arch = "bpf")]
#[inline(always)]
fn element<T>(mut first: *const T, index: u32, elements: u32) -> *const T {
    // SAFETY: arithmetic, and jumps within it.
    unsafe {
        core::arch::asm!(
            "if {index} < {elements} goto +2",
            "{first} = 0",
            "goto +2",
            "{index} *= {size}",
            "{first} += {index}",
            first = inout(reg) first,
            index = inout(reg) u64::from(index) => _,
            elements = in(reg) u64::from(elements),
            size = const size_of::<T>(),
            options(pure, nomem, nostack),
        );
    }
    first
}

/// For lints, which compile this crate for the host.
#[cfg(not(target_arch = "bpf"))]
fn element<T>(first: *const T, index: u32, elements: u32) -> *const T {
    if index < elements { first.wrapping_add(index as usize) } else { core::ptr::null() }
}
