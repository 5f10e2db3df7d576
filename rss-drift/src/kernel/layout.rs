//! Which accounting this kernel has, and where its structs hold what the eBPF programs read. Every member's type is
//! checked: an offset into something else would be read without an error and printed as memory.

use rss_drift_common::{Layout, MEMBERS, Member};

use super::{
    Accounting,
    btf::{Btf, BtfError, Shape, Structure},
};

/// Counters of an mm (`NR_MM_COUNTERS`).
const COUNTERS: u32 = Member::Shmem as u32 + 1;

const COUNTER: Shape<'static> = Shape::Struct("percpu_counter");
const PER_CPU: Shape<'static> = Shape::Array(COUNTERS, &COUNTER);
const PER_TASK: Shape<'static> = Shape::Struct("mm_rss_stat");

/// Finds the accounting and resolves all offsets; `cpus` and `cpu_ids` are the caller's to fill in.
///
/// # Errors
/// When something is missing, ambiguous or not what the known kernels (5.10 to 7.2) have: it is named.
pub(super) fn resolve(btf: &Btf<'_>) -> Result<(Accounting, Layout), BtfError> {
    check_order(btf)?;
    let mm = btf.structure("mm_struct")?;
    let task = btf.structure("task_struct")?;
    let layout = cgroups(btf, &task, identity(btf, &task)?);
    let rss_stat = mm.find("rss_stat")?.ok_or_else(|| BtfError::NoMember("mm_struct.rss_stat".to_owned()))?;
    if PER_CPU.fits(rss_stat.of)? {
        let layout = Layout { mm_rss_stat: rss_stat.offset, ..layout };
        Ok((Accounting::PerCpu, per_cpu(btf, layout)?))
    } else if PER_TASK.fits(rss_stat.of)? {
        Ok((Accounting::PerTask, per_task(&mm, &task, layout)?))
    } else {
        Err(BtfError::Unexpected {
            what: "mm_struct.rss_stat".to_owned(),
            expected: format!("{PER_CPU} (mainline since 6.2) or {PER_TASK} (before)"),
            found: rss_stat.of.describe(),
        })
    }
}

/// What tells whose memory it is; the same under both accountings.
fn identity(btf: &Btf<'_>, task: &Structure<'_>) -> Result<Layout, BtfError> {
    let (self_exec_id, self_exec_id_size) = self_exec_id(task)?;
    Ok(Layout {
        task_mm: task.offset_of("mm", &Shape::Pointer(&Shape::Struct("mm_struct")))?,
        task_group_leader: task.offset_of("group_leader", &Shape::Pointer(&Shape::Struct("task_struct")))?,
        task_signal: task.offset_of("signal", &Shape::Pointer(&Shape::Struct("signal_struct")))?,
        task_pid: task.offset_of("pid", &Shape::Int(4))?,
        task_tgid: task.offset_of("tgid", &Shape::Int(4))?,
        task_flags: task.offset_of("flags", &Shape::Int(4))?,
        task_comm: task.offset_of("comm", &Shape::Array(16, &Shape::Int(1)))?,
        task_start_boottime: task.offset_of("start_boottime", &Shape::Int(8))?,
        task_self_exec_id: self_exec_id,
        task_self_exec_id_size: self_exec_id_size,
        signal_nr_threads: btf.structure("signal_struct")?.offset_of("nr_threads", &Shape::Int(4))?,
        ..Layout::default()
    })
}

/// The way from a task to the ids of its control groups (`kernel/cgroup/cgroup.c:task_dfl_cgroup`,
/// `include/linux/cgroup.h:cgroup_id`). Without it, as in a kernel built without control groups, the names of groups come from /proc
/// alone.
fn cgroups(btf: &Btf<'_>, task: &Structure<'_>, layout: Layout) -> Layout {
    let pointer = |structure: &str, member: &str, to: &str| {
        btf.structure(structure)?.offset_of(member, &Shape::Pointer(&Shape::Struct(to)))
    };
    let find = || {
        Ok::<_, BtfError>(Layout {
            task_cgroups: task.offset_of("cgroups", &Shape::Pointer(&Shape::Struct("css_set")))?,
            css_set_dfl_cgrp: pointer("css_set", "dfl_cgrp", "cgroup")?,
            cgroup_kn: pointer("cgroup", "kn", "kernfs_node")?,
            kernfs_node_id: btf.structure("kernfs_node")?.offset_of("id", &Shape::Int(8))?,
            ..layout
        })
    };
    let Ok(layout) = find() else { return layout };
    let memory = || {
        let Some((index, controllers)) = memory_controller(btf) else { return Ok(layout) };
        let state = Shape::Pointer(&Shape::Struct("cgroup_subsys_state"));
        let states = btf.structure("css_set")?.offset_of("subsys", &Shape::Array(controllers, &state))?;
        Ok::<_, BtfError>(Layout {
            css_set_memory: states + 8 * index,
            css_cgroup: pointer("cgroup_subsys_state", "cgroup", "cgroup")?,
            ..layout
        })
    };
    memory().unwrap_or(layout)
}

/// The memory controller's number and how many controllers there are (`include/linux/cgroup-defs.h:cgroup_subsys_id`): both depend on
/// how the kernel was built.
fn memory_controller(btf: &Btf<'_>) -> Option<(u32, u32)> {
    const COUNT: &str = "CGROUP_SUBSYS_COUNT";
    let controllers = btf.enums_with(COUNT).next()?;
    let value = |name: &str| {
        let found = controllers.enumerators().find(|&(at, _)| btf.string_is(at, name));
        found.and_then(|(_, value)| u32::try_from(value).ok())
    };
    Some((value("memory_cgrp_id")?, value(COUNT)?))
}

/// Offset and size of `task_struct.self_exec_id`: u64 since 5.7, u32 before.
fn self_exec_id(task: &Structure<'_>) -> Result<(u32, u32), BtfError> {
    const NAME: &str = "self_exec_id";
    match task.offset_of(NAME, &Shape::Int(8)) {
        Ok(offset) => Ok((offset, 8)),
        Err(BtfError::Unexpected { .. }) => Ok((task.offset_of(NAME, &Shape::Int(4))?, 4)),
        Err(error) => Err(error),
    }
}

/// `include/linux/percpu_counter.h:percpu_counter`, 6.2 to 7.2. Without `CONFIG_SMP` it is the count alone, which is
/// exact.
fn per_cpu(btf: &Btf<'_>, mut layout: Layout) -> Result<Layout, BtfError> {
    let counter = btf.structure("percpu_counter")?;
    layout.mm_rss_stride = counter.size()?;
    layout.counter_count = counter.offset_of("count", &Shape::Signed(8))?;
    if counter.find("counters")?.is_none() {
        return Ok(layout);
    }
    layout.counter_has_slots = 1;
    layout.counter_counters = counter.offset_of("counters", &Shape::Pointer(&Shape::Signed(4)))?;
    counter.member("lock", &Shape::Struct("raw_spinlock"))?;
    // The word that is 0 while nobody holds the lock (`include/asm-generic/qspinlock_types.h`), also under PREEMPT_RT
    // and with the debugging options, which add to the struct around it.
    layout.counter_lock = counter.offset_of("lock.raw_lock.val", &Shape::Atomic(4))?;
    // `kernel/bpf/arraymap.c:array_map_alloc`: the pointers to per-CPU memory lie in the map's own memory.
    let pointers = Shape::Flexible(&Shape::Pointer(&Shape::Void));
    layout.array_pptrs = btf.structure("bpf_array")?.offset_of("pptrs", &pointers)?;
    Ok(layout)
}

/// `include/linux/mm_types_task.h:mm_rss_stat` and `task_rss_stat`, up to 6.1.
///
/// Without `SPLIT_RSS_COUNTING` only the first exists: nothing is cached, every reading is exact. Such a kernel is
/// refused, because all figures would be right and none worth the BPF programs in it.
fn per_task(mm: &Structure<'_>, task: &Structure<'_>, mut layout: Layout) -> Result<Layout, BtfError> {
    if task.find("rss_stat")?.is_none() {
        return Err(BtfError::NoCache);
    }
    task.member("rss_stat", &Shape::Struct("task_rss_stat"))?;
    layout.mm_rss_stat = mm.offset_of("rss_stat.count", &Shape::Array(COUNTERS, &Shape::Atomic(8)))?;
    layout.mm_rss_stride = 8;
    layout.task_rss_count = task.offset_of("rss_stat.count", &Shape::Array(COUNTERS, &Shape::Signed(4)))?;
    Ok(layout)
}

/// Whether the kernel numbers its counters as we do, where its BTF has their enum (a compiler may leave it out).
fn check_order(btf: &Btf<'_>) -> Result<(), BtfError> {
    const LAST: &str = "NR_MM_COUNTERS";
    let ours = [
        ("MM_FILEPAGES", Member::File.index()),
        ("MM_ANONPAGES", Member::Anon.index()),
        ("MM_SWAPENTS", Member::Swap.index()),
        ("MM_SHMEMPAGES", Member::Shmem.index()),
        (LAST, MEMBERS),
    ];
    for counters in btf.enums_with(LAST) {
        for (name, expected) in ours {
            let found = counters.enumerators().find(|&(at, _)| btf.string_is(at, name));
            let value = found.map(|(_, value)| value);
            if value.and_then(|value| usize::try_from(value).ok()) != Some(expected) {
                return Err(BtfError::Unexpected {
                    what: name.to_owned(),
                    expected: expected.to_string(),
                    found: value.map_or_else(|| "absent".to_owned(), |value| value.to_string()),
                });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "corrupt_tests.rs"]
mod corrupt_tests;

#[cfg(test)]
#[path = "fixture_tests.rs"]
mod fixture_tests;

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;
