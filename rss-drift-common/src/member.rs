//! The kernel's four RSS counters (`include/linux/mm_types_task.h`: `MM_FILEPAGES` .. `MM_SHMEMPAGES`, 5.10 to 7.2).

/// How many counters an mm has (the kernel's `NR_MM_COUNTERS`).
pub const MEMBERS: usize = 4;

/// One figure per member, in pages, indexed by [`Member::index`].
pub type Pages = [i64; MEMBERS];

/// One of the kernel's RSS counters, by its index in `mm_struct.rss_stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Member {
    /// `MM_FILEPAGES`: resident pages of file mappings.
    File = 0,
    /// `MM_ANONPAGES`: resident anonymous pages.
    Anon = 1,
    /// `MM_SWAPENTS`: swap entries; not part of RSS.
    Swap = 2,
    /// `MM_SHMEMPAGES`: resident pages of shared memory.
    Shmem = 3,
}

impl Member {
    /// All members in the kernel's order.
    pub const ALL: [Self; MEMBERS] = [Self::File, Self::Anon, Self::Swap, Self::Shmem];

    /// The members that make up RSS (`include/linux/mm.h:get_mm_rss`).
    pub const RSS: [Self; 3] = [Self::File, Self::Anon, Self::Shmem];

    /// The kernel's index of this member.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The word that the CSV columns and the messages use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Anon => "anon",
            Self::Swap => "swap",
            Self::Shmem => "shmem",
        }
    }
}

/// RSS of a set of counters, in pages: file + anon + shmem, negative ones included.
#[must_use]
pub fn rss(pages: &Pages) -> i64 {
    pages[Member::File.index()] + pages[Member::Anon.index()] + pages[Member::Shmem.index()]
}

/// RSS in pages as the kernel's approximate reader prints it: each member that is negative counts as 0
/// (`include/linux/mm.h:get_mm_counter`, 5.10 to 7.2).
#[must_use]
pub fn rss_clamped(pages: &Pages) -> i64 {
    pages[Member::File.index()].max(0)
        + pages[Member::Anon.index()].max(0)
        + pages[Member::Shmem.index()].max(0)
}
