//! What the demo needs of the host.

/// What the demo needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    pub threads: u64,
    /// Pages that each touches.
    pub pages: u64,
    pub page_size: u64,
}

/// Bytes of one thread's stack: twice glibc's least, because the thread's own data lies on it too. All stacks lie in one
/// mapping, without guard pages: 10,000 mappings of their own would come near `vm.max_map_count`.
pub(super) const STACK: usize = 32 * 1024;

impl Need {
    /// Bytes that all threads touch.
    #[must_use]
    pub(super) const fn touched_bytes(&self) -> u64 {
        self.threads.saturating_mul(self.pages).saturating_mul(self.page_size)
    }

    /// Bytes of all stacks; few of them are ever touched.
    #[must_use]
    pub(super) const fn stack_bytes(&self) -> u64 {
        self.threads.saturating_mul(STACK as u64)
    }
}
