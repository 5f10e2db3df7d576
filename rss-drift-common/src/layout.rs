//! Offsets of the kernel's structs, found in BTF at start and constant to the verifier afterwards.

use crate::member::MEMBERS;

/// What the eBPF programs know of the running kernel. Offsets are bytes from the start of the named struct.
///
/// User space fills it in from BTF and puts it into the BPF programs' instructions before they are loaded (see [`Figures`]),
/// so that the verifier sees constants and prunes what this kernel does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[repr(C)]
pub struct Layout {
    /// `task_struct.mm`
    pub task_mm: u32,
    /// `task_struct.group_leader`
    pub task_group_leader: u32,
    /// `task_struct.signal`
    pub task_signal: u32,
    /// `task_struct.pid`
    pub task_pid: u32,
    /// `task_struct.tgid`
    pub task_tgid: u32,
    /// `task_struct.flags`
    pub task_flags: u32,
    /// `task_struct.comm`
    pub task_comm: u32,
    /// `task_struct.start_boottime`
    pub task_start_boottime: u32,
    /// `task_struct.self_exec_id`
    pub task_self_exec_id: u32,
    /// Bytes of `task_struct.self_exec_id`: 4 or 8.
    pub task_self_exec_id_size: u32,
    /// `task_struct.rss_stat.count`, per-task accounting only.
    pub task_rss_count: u32,
    /// `signal_struct.nr_threads`
    pub signal_nr_threads: u32,
    /// `mm_struct.rss_stat`: the first counter. per-task: its `count`; per-cpu: the first `percpu_counter`.
    pub mm_rss_stat: u32,
    /// Bytes from one member's counter to the next in `mm_struct.rss_stat`.
    pub mm_rss_stride: u32,
    /// `percpu_counter.lock`, per-cpu accounting only.
    pub counter_lock: u32,
    /// `percpu_counter.count`
    pub counter_count: u32,
    /// `percpu_counter.counters`
    pub counter_counters: u32,
    /// 1 where `percpu_counter` has slots at all (`CONFIG_SMP`).
    pub counter_has_slots: u32,
    /// `task_struct.cgroups`; 0 where the way from there to a group's id is not known.
    pub task_cgroups: u32,
    /// `css_set.dfl_cgrp`: the control group of version 2.
    pub css_set_dfl_cgrp: u32,
    /// The memory controller's element of `css_set.subsys`; 0 where that is not known.
    pub css_set_memory: u32,
    /// `cgroup_subsys_state.cgroup`
    pub css_cgroup: u32,
    /// `cgroup.kn`
    pub cgroup_kn: u32,
    /// `kernfs_node.id`
    pub kernfs_node_id: u32,
    /// Whose id a record has: 1 the group of the memory controller's own hierarchy, 2 that of version 2, 0 of none.
    pub cgroup_version: u32,
    /// `bpf_array.pptrs`
    pub array_pptrs: u32,
    /// Possible CPUs: how many offsets the map `CPU_OFFSETS` holds.
    pub cpus: u32,
    /// One more than the highest possible CPU's number.
    pub cpu_ids: u32,
}

impl Figures for Layout {
    const FIRST: u16 = 0;
}

/// Offsets of the parts of each member's counter in an mm, computed from a [`Layout`],
/// so that loading a part takes one instruction. Bytes from the start of the mm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[repr(C)]
pub struct Counters {
    /// The global count.
    pub count: [u32; MEMBERS],
    /// The pointer to the slots.
    pub slots: [u32; MEMBERS],
}

impl Counters {
    /// The offsets by a layout.
    #[must_use]
    pub const fn of(layout: &Layout) -> Self {
        let first = layout.mm_rss_stat;
        let (mut count, mut slots) =
            ([first + layout.counter_count; MEMBERS], [first + layout.counter_counters; MEMBERS]);
        let mut member = 1;
        while member < MEMBERS {
            count[member] = count[member - 1] + layout.mm_rss_stride;
            slots[member] = slots[member - 1] + layout.mm_rss_stride;
            member += 1;
        }
        Self { count, slots }
    }
}

impl Figures for Counters {
    const FIRST: u16 = 3 * MOST_FIGURES;
}

/// A struct whose figures are known before the BPF programs are loaded. The eBPF side compiles a mark into each instruction that
/// uses a figure, and the loader replaces the mark by the figure. Each field has a number, which both sides compute in the same way.
pub trait Figures: Copy {
    /// The number of the struct's first four bytes; another struct has other numbers.
    const FIRST: u16;
}

/// Numbers that one struct can have.
pub const MOST_FIGURES: u16 = 0x100;

/// The number of the field at `offset` bytes of a struct of figures: there is one for each four bytes.
///
/// # Panics
/// If there is no such figure. Both sides call this in constants, where a panic is an error of the compiler.
#[must_use]
pub const fn figure<F: Figures>(offset: usize) -> u16 {
    let word = offset / 4;
    assert!(offset.is_multiple_of(4) && offset < size_of::<F>() && word < MOST_FIGURES as usize);
    #[expect(clippy::cast_possible_truncation, reason = "it is below MOST_FIGURES")]
    let word = word as u16;
    F::FIRST + word
}

/// This constant plus a figure's number is the mark of a figure of 4 bytes. No text and no count of ours has such a value.
pub const FIGURE: u64 = 0x7e97_c4a1_d3b5_0000;
/// A load with this offset plus a figure's number is the mark of a load at that
/// figure. No struct of ours is so large that an offset in it could be such a mark.
pub const FIGURE_OFFSET: u16 = 0x7000;

/// The mark of a call of the kernel's `bpf_rdonly_cast` in our object: the
/// loader replaces it by the function's number. No helper has this number.
pub const RDONLY_CAST: i32 = 0x7264_6374;
