//! What the allocator keeps: a start reads megabytes in many small pieces, and needs none of it later.

/// Blocks of a MiB and more get pages of their own, which go back to the kernel when they are freed. Unasked, glibc keeps the next block
/// of such a size in its heap after the first was freed, and the heap has the holes of all that a start reads.
pub(crate) fn keep_large_blocks_apart() {
    // SAFETY: sets a threshold of the allocator; it has no other effect.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 20);
    }
}

/// Gives back what was freed: the allocator would keep it for as long as we run.
pub fn give_memory_back() {
    // SAFETY: gives back pages that nothing uses; it has no other effect.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}
