//! Records that the iterator programs write and user space reads, byte for byte.
//!
//! All are `repr(C)` without padding (checked at compile time on the user-space side by `bytemuck::Pod`).
//! Every flag is a bit of a `u32`, because reading a `bool` that is neither 0 nor 1 is undefined behaviour.

use crate::{
    member::{MEMBERS, Pages, rss, rss_clamped},
    shadow::ShadowRecord,
};

/// Bytes of a task's name, terminating zero included (the kernel's `TASK_COMM_LEN`, 5.10 to 7.2).
pub const COMM_LEN: usize = 16;

/// What one visit of `iter/task` saw of one mm.
///
/// per-cpu accounting: one record per process (or per thread if the leader has exited); `cached` is the sum
/// of the mm's slots over all possible CPUs. per-task accounting: one record per task; `cached` is that
/// task's own cache, and user space adds up the mm's counters and the caches of all its tasks to get exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[repr(C)]
pub struct MmRecord {
    /// Address of the `mm_struct`: names the mm within one snapshot, and no longer than that.
    pub mm: u64,
    /// Address of the task that was visited.
    pub task: u64,
    /// `CLOCK_MONOTONIC` at the visit, in nanoseconds.
    pub ktime_ns: u64,
    /// Start of the thread group's leader since boot, in nanoseconds (`task_struct.start_boottime`).
    pub start_boottime_ns: u64,
    /// `task_struct.self_exec_id` of the visited task: rises with every execve.
    pub exec_id: u64,
    /// The mm's global count per member, in pages.
    pub count: Pages,
    /// What is cached outside the global count, per member, in pages.
    pub cached: Pages,
    /// Thread group id, in the initial PID namespace.
    pub tgid: u32,
    /// Thread id of the visited task.
    pub tid: u32,
    /// Threads of the thread group (`signal_struct.nr_threads`).
    pub threads: u32,
    /// `FLAG_*`.
    pub flags: u32,
    /// per-task accounting: tasks whose caches are in `cached`. The BPF program writes 1 for its task; user space adds up all
    /// tasks of the mm, those of other processes and kernel threads included. per-cpu accounting: 1, since tasks have no caches.
    pub tasks: u32,
    /// No padding.
    pub unused: u32,
    /// Name of the thread group's leader.
    pub comm: [u8; COMM_LEN],
    /// The id of the control group that limits the visited task's memory (`cgroup.kn.id`), in the hierarchy that
    /// [`Layout::cgroup_version`] chose; 0 where it chose none.
    ///
    /// [`Layout::cgroup_version`]: crate::Layout::cgroup_version
    pub cgroup_id: u64,
}

impl MmRecord {
    /// Exact pages per member: the count and what is cached.
    #[must_use]
    pub fn exact(&self) -> Pages {
        let mut exact = self.count;
        let mut member = 0;
        while member < exact.len() {
            exact[member] = exact[member].wrapping_add(self.cached[member]);
            member += 1;
        }
        exact
    }

    /// Exact RSS in pages.
    #[must_use]
    pub fn exact_rss(&self) -> i64 {
        rss(&self.exact())
    }

    /// RSS in pages as the kernel's approximate reader prints it from these very counters.
    #[must_use]
    pub fn approximate_rss(&self) -> i64 {
        rss_clamped(&self.count)
    }

    /// Whether all these `FLAG_*` are set.
    #[must_use]
    pub const fn has(&self, flags: u32) -> bool {
        self.flags & flags == flags
    }
}

/// What full mode's iterator writes at one visit: the counters, and what is kept of the mm. That is a [`ShadowRecord`] on
/// per-cpu accounting, and a [`TaskShadow`] on per-task accounting.
///
/// The stack of a BPF program has no room for both, so it writes one half after the other. A reader reads the whole.
///
/// [`TaskShadow`]: crate::running::TaskShadow
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct FullRecord<S = ShadowRecord> {
    /// As passive mode writes it.
    pub mm: MmRecord,
    /// All 0 where nothing is kept of the mm.
    pub shadow: S,
}

impl<S> FullRecord<S> {
    /// Whether the two halves, written one after the other, are the whole: nothing is between them, and nothing behind.
    pub const IS_ITS_HALVES: bool = core::mem::offset_of!(Self, shadow) == size_of::<MmRecord>()
        && size_of::<Self>() == size_of::<MmRecord>() + size_of::<S>();
}

#[cfg(feature = "user")]
mod plain_old_data {
    //! bytemuck's derive knows no generic structs.
    use super::FullRecord;
    use crate::{running::TaskShadow, shadow::ShadowRecord};

    crate::shadow::plain_old_data!(FullRecord<ShadowRecord> of 280, FullRecord<TaskShadow> of 360);
}

/// No fold came in between while the counters were read: count + cached is exact.
pub const FLAG_VALID: u32 = 1;
/// The visited task is a kernel thread on a borrowed mm.
pub const FLAG_KTHREAD: u32 = 1 << 1;
/// The thread group's leader has no mm any more while this thread has.
pub const FLAG_LEADER_GONE: u32 = 1 << 2;
/// A fold disturbed the first reading, so it was repeated.
pub const FLAG_RETRIED: u32 = 1 << 3;

/// The address of one element of a per-CPU map. With it a CPU's `__per_cpu_offset` is found without kallsyms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[repr(C)]
pub struct CpuRecord {
    /// CPU number.
    pub cpu: u64,
    /// Address of the element of this CPU; 0 where the kernel has no such CPU.
    pub element: u64,
    /// The per-CPU pointer to the element (`bpf_array.pptrs[0]`): element - pointer is `__per_cpu_offset[cpu]`.
    pub pointer: u64,
}

/// What one CPU's slots hold of one mm (per-cpu accounting). The last record of a list marks its end.
///
/// CPUs whose four slots are 0 are left out. The end has the sums, so that an incomplete list is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[repr(C)]
pub struct SlotRecord {
    /// Address of the `mm_struct`.
    pub mm: u64,
    /// Thread group id, in the initial PID namespace.
    pub tgid: u32,
    /// Place of the CPU among the possible ones, or `END_*`.
    pub cpu: u32,
    /// Pages per member: in the CPU's slots, or in all slots together.
    pub pages: [i32; MEMBERS],
}

/// [`SlotRecord::cpu`] of the end of a list that no fold disturbed.
pub const END_VALID: u32 = u32::MAX;
/// [`SlotRecord::cpu`] of the end of a list that a fold disturbed, or in which a slot could not be read.
pub const END_DISTURBED: u32 = u32::MAX - 1;

/// The most thread groups that one reading of [`SlotRecord`]s can ask for.
pub const TARGETS: usize = 16;

/// The thread groups of one reading. Unused places are 0, which is no process's id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[repr(C)]
pub struct Targets(pub [u32; TARGETS]);
