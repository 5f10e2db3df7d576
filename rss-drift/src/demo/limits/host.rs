//! Reads the figures of this host that limits follow from. What cannot be read is no limit: the kernel will tell.

use std::fs;

use nix::sys::resource::{Resource, getrlimit};
use procfs::{
    FromRead, LoadAverage, Meminfo,
    process::{StatM, Status},
};

use super::{Figures, Usage, cgroup};
use crate::{kernel::tunables::page_size, proc::read_line};

/// `include/uapi/linux/capability.h`
const CAP_SYS_ADMIN: u32 = 21;
/// `include/uapi/linux/capability.h`
const CAP_SYS_RESOURCE: u32 = 24;

/// All figures, at this moment.
#[must_use]
pub fn figures() -> Figures {
    let tasks = LoadAverage::from_file("/proc/loadavg").ok().map(|load| u64::from(load.max));
    let of_tasks = |file: &str| Some(Usage { limit: read_number(file)?, used: tasks? });
    let meminfo = Meminfo::from_file("/proc/meminfo").ok();
    let statm = StatM::from_file("/proc/self/statm").ok();
    let of_space = |resource: Resource, pages: fn(&StatM) -> u64| {
        let used = pages(statm.as_ref()?).saturating_mul(page_size());
        Some(Usage { limit: soft_limit(resource)?, used })
    };
    Figures {
        user_tasks: user_tasks(),
        threads_max: of_tasks("/proc/sys/kernel/threads-max"),
        pid_max: of_tasks("/proc/sys/kernel/pid_max"),
        mappings: mappings(),
        memory: meminfo.as_ref().and_then(|meminfo| {
            let used = meminfo.mem_total.saturating_sub(meminfo.mem_available?);
            Some(Usage { limit: meminfo.mem_total, used })
        }),
        commit: meminfo
            .as_ref()
            .filter(|_| read_number("/proc/sys/vm/overcommit_memory") == Some(2))
            .and_then(|meminfo| Some(Usage { limit: meminfo.commit_limit?, used: meminfo.committed_as })),
        address_space: of_space(Resource::RLIMIT_AS, |statm| statm.size),
        data: of_space(Resource::RLIMIT_DATA, |statm| statm.data),
        cgroups: cgroup::limits(),
    }
}

fn read_number(file: &str) -> Option<u64> {
    read_line(file).ok()?.parse().ok()
}

/// The soft limit; `None` where it is unlimited.
fn soft_limit(resource: Resource) -> Option<u64> {
    getrlimit(resource).ok().map(|(soft, _)| soft).filter(|&soft| soft != libc::RLIM_INFINITY)
}

fn mappings() -> Option<Usage> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    Some(Usage { limit: read_number("/proc/sys/vm/max_map_count")?, used: maps.lines().count() as u64 })
}

/// `RLIMIT_NPROC` and the tasks of this user, unless the kernel exempts us (`kernel/fork.c:copy_process`): as root, or by
/// capability.
fn user_tasks() -> Option<Usage> {
    let limit = soft_limit(Resource::RLIMIT_NPROC)?;
    let own = status("self")?;
    let has = |capability: u32| own.capeff & (1 << capability) != 0;
    if own.ruid == 0 || has(CAP_SYS_ADMIN) || has(CAP_SYS_RESOURCE) {
        return None;
    }
    let mut used = 0;
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())) else {
            continue;
        };
        used += status(pid).filter(|status| status.ruid == own.ruid).map_or(0, |status| status.threads);
    }
    Some(Usage { limit, used })
}

/// A process's `status`. A name that is not UTF-8 would make the whole file unreadable to the parser.
fn status(pid: &str) -> Option<Status> {
    let bytes = fs::read(format!("/proc/{pid}/status")).ok()?;
    Status::from_read(String::from_utf8_lossy(&bytes).as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_has_its_figures() {
        let figures = figures();
        for usage in [figures.threads_max, figures.pid_max, figures.mappings, figures.memory] {
            assert!(usage.is_some_and(|usage| usage.used > 0 && usage.limit > usage.used), "{figures:?}");
        }
    }
}
