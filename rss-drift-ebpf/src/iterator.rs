//! `iter/task`: its context, and what both accounting schemes write of a task.

use aya_ebpf::{
    bindings::seq_file,
    helpers::generated::{bpf_ktime_get_ns, bpf_seq_write},
};
use rss_drift_common::{
    Pages,
    record::{FullRecord, MmRecord},
};

use crate::kernel::{layout, load, load_at};

/// `struct bpf_iter_meta` (`include/linux/bpf.h`): every pointer is 8 bytes wide.
#[repr(C)]
pub struct Meta {
    seq: *mut seq_file,
    session_id: u64,
    seq_num: u64,
}

/// `struct bpf_iter__task` (`kernel/bpf/task_iter.c`, 5.10 to 7.2).
#[repr(C)]
pub struct TaskContext {
    meta: *const Meta,
    task: *const u8,
}

/// One visit: a task, and the stream to write to.
#[derive(Clone, Copy)]
pub struct Visit {
    /// The task; never null.
    pub task: *const u8,
    /// 0 for the first task of this reading.
    pub number: u64,
    seq: *mut seq_file,
}

impl Visit {
    /// The visit that this call stands for; `None` on the call after the last task.
    #[inline(always)]
    pub fn of(ctx: *const TaskContext) -> Option<Self> {
        // SAFETY: the kernel calls the program with a valid context, whose pointers the verifier knows.
        unsafe {
            let task = core::ptr::read_volatile(&raw const (*ctx).task);
            if task.is_null() {
                return None;
            }
            let meta = core::ptr::read_volatile(&raw const (*ctx).meta);
            Some(Self {
                task,
                number: core::ptr::read_volatile(&raw const (*meta).seq_num),
                seq: core::ptr::read_volatile(&raw const (*meta).seq),
            })
        }
    }

    /// Appends `record` to the stream. A full buffer makes the kernel hand it to the reader and visit the task again.
    #[inline(always)]
    pub fn write<T>(&self, record: &T) {
        // SAFETY: `record` is size_of::<T>() initialised bytes without padding.
        unsafe { bpf_seq_write(self.seq, core::ptr::from_ref(record).cast(), size_of::<T>() as u32) };
    }

    /// Appends the second half of a [`FullRecord`]. Its first half is what [`write_record`] has just written.
    #[inline(always)]
    pub fn write_shadow<S>(&self, shadow: &S) {
        const { assert!(FullRecord::<S>::IS_ITS_HALVES) };
        self.write(shadow);
    }
}

/// What is in a record beside the counters.
pub struct Identity {
    /// The task's mm.
    pub mm: *const u8,
    /// The leader of its thread group.
    pub leader: *const u8,
    /// `FLAG_*` that follow from who the task is.
    pub flags: u32,
}

/// Writes the record of one task, field by field: a struct built whole becomes byte loops that the verifier walks.
#[inline(always)]
pub fn write_record(visit: &Visit, identity: &Identity, count: &Pages, cached: &Pages) {
    let task = visit.task;
    // SAFETY: task, its leader and its signal_struct are pointers that the verifier knows; offsets come from BTF.
    let record = unsafe {
        let signal: *const u8 = load_at!(task, task_signal);
        let comm = layout!(task_comm);
        MmRecord {
            mm: identity.mm as u64,
            task: task as u64,
            ktime_ns: bpf_ktime_get_ns(),
            start_boottime_ns: load_at!(identity.leader, task_start_boottime),
            exec_id: if layout!(task_self_exec_id_size) == 8 {
                load_at!(task, task_self_exec_id)
            } else {
                let narrow: u32 = load_at!(task, task_self_exec_id);
                u64::from(narrow)
            },
            count: *count,
            cached: *cached,
            tgid: load_at!(task, task_tgid),
            tid: load_at!(task, task_pid),
            threads: load_at!(signal, signal_nr_threads),
            flags: identity.flags,
            tasks: 1,
            unused: 0,
            comm: core::mem::transmute::<[u64; 2], [u8; 16]>([
                load(identity.leader, comm),
                load(identity.leader, comm + 8),
            ]),
            cgroup_id: cgroup_id(task),
        }
    };
    visit.write(&record);
}

/// The id of the control group that limits a task's memory; 0 where none is asked for. The kernel frees neither the set of groups nor
/// the group before the iterator's read-side section of RCU ends (`kernel/bpf/bpf_iter.c:bpf_iter_run_prog`).
///
/// # Safety
/// `task` must be a task that the verifier knows.
#[inline(always)]
unsafe fn cgroup_id(task: *const u8) -> u64 {
    let version = layout!(cgroup_version);
    if version == 0 {
        return 0;
    }
    // SAFETY: as of this function; from there each pointer's type is known by that of the struct before, offsets come from BTF.
    unsafe {
        let groups: *const u8 = load_at!(task, task_cgroups);
        let group: *const u8 = if version == 1 {
            let memory: *const u8 = load_at!(groups, css_set_memory);
            load_at!(memory, css_cgroup)
        } else {
            load_at!(groups, css_set_dfl_cgrp)
        };
        let node: *const u8 = load_at!(group, cgroup_kn);
        load_at!(node, kernfs_node_id)
    }
}
