//! A task as full mode needs it: who it is, its mm, and its cached counts.

use aya_ebpf::helpers::generated::bpf_get_current_task;
use rss_drift_common::slot::Deltas;

use crate::kernel::{layout, load, probe};

/// One task at one moment.
#[derive(Clone, Copy)]
pub struct Task {
    /// Its address.
    pub address: u64,
    /// Its mm; 0 is none.
    pub mm: u64,
    /// Its cached counts (`task_struct.rss_stat.count`), in pages.
    pub counts: Deltas,
}

impl Task {
    /// A task that the verifier knows.
    ///
    /// # Safety
    /// `task` must be a `task_struct` to the verifier.
    #[inline(always)]
    pub unsafe fn of(task: *const u8) -> Self {
        let cache = layout!(task_rss_count);
        // SAFETY: by the caller; offsets from BTF.
        unsafe {
            Self {
                address: task as u64,
                mm: load(task, layout!(task_mm)),
                counts: [
                    load(task, cache),
                    load(task, cache + 4),
                    load(task, cache + 8),
                    load(task, cache + 12),
                ],
            }
        }
    }

    /// The current task. By copies: 5.10 has no helper that returns it as a pointer which the verifier knows.
    #[inline(always)]
    pub fn current() -> Option<Self> {
        // SAFETY: no preconditions.
        let address = unsafe { bpf_get_current_task() };
        let mm = probe(address + u64::from(layout!(task_mm)))?;
        let counts = probe(address + u64::from(layout!(task_rss_count)))?;
        Some(Self { address, mm, counts })
    }
}
