//! What full mode consists of under each accounting scheme.

pub(super) mod percpu;
pub(super) mod pertask;

use crate::kernel::Accounting;

/// What full mode consists of under one accounting scheme.
#[derive(Debug)]
pub(super) struct Scheme {
    /// The iterator.
    pub(super) reader: &'static str,
    /// fentry on `__mmdrop`.
    pub(super) mmdrop: &'static str,
    /// The tracepoint `exit_mmap`.
    pub(super) exit_mmap: &'static str,
    /// The tracepoint `task_newtask`, where it is needed only when ends are not all seen.
    pub(super) newtask: Option<&'static str>,
    /// The BPF programs of the events with their tracepoints, in the order in which they are attached.
    pub(super) events: &'static [(&'static str, &'static str)],
}

impl Scheme {
    /// The BPF programs for this accounting: those of the other are not loaded.
    pub(super) const fn of(accounting: Accounting) -> &'static Self {
        match accounting {
            Accounting::PerCpu => &percpu::SCHEME,
            Accounting::PerTask => &pertask::SCHEME,
        }
    }
}
