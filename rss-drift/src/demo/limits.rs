//! Which limit stopped the demo: by what the kernel answered, and what /proc says.

use std::{fs, path::Path};

use nix::sys::resource::{Resource, getrlimit};
use procfs::{FromRead as _, Meminfo};

use super::need::Need;
use crate::proc::read_line;

/// More memory than there is. The kernel refuses that nobody: it would end a process of this host instead.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error(
    "the demo's threads take {needed} KiB, but MemAvailable in /proc/meminfo is {available} KiB: end what uses memory, or give \
     fewer --threads or --pages"
)]
pub(crate) struct NoMemory {
    needed: u64,
    available: u64,
}

/// Refuses a demo that takes more memory than is available.
pub(super) fn check_memory(need: &Need) -> Result<(), NoMemory> {
    let available = Meminfo::from_file("/proc/meminfo").ok().and_then(|meminfo| meminfo.mem_available);
    // The kernel's own memory of a thread is about as large as the demo's stack of it.
    let needed = need.touched_bytes().saturating_add(need.stack_bytes()) / 1024;
    let available = available.unwrap_or(u64::MAX) / 1024;
    if needed > available { Err(NoMemory { needed, available }) } else { Ok(()) }
}

/// The lowest limit of the number of tasks: the one that clone(2) met, unless much else runs on this host.
pub(super) fn of_tasks() -> String {
    let user = getrlimit(Resource::RLIMIT_NPROC).ok().map(|(soft, _)| ("ulimit -u".to_owned(), soft));
    let host = ["/proc/sys/kernel/threads-max", "/proc/sys/kernel/pid_max"].map(limit);
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let groups = groups.lines().flat_map(pids_files).filter_map(|file| limit(&file));
    let lowest =
        user.into_iter().chain(host.into_iter().flatten()).chain(groups).min_by_key(|(_, limit)| *limit);
    lowest.map_or_else(String::new, |(name, limit)| {
        format!("the lowest limit of tasks is {name} = {limit}: raise it")
    })
}

/// A file's limit, with its name; `None` where it says "max", or is not there.
fn limit(file: &str) -> Option<(String, u64)> {
    Some((file.to_owned(), read_line(file).ok()?.parse().ok()?))
}

/// `pids.max` of the control group in a line of `/proc/PID/cgroup`, and of those above it.
fn pids_files(line: &str) -> Vec<String> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { return Vec::new() };
    let mount = match controllers {
        "" => "/sys/fs/cgroup",
        "pids" => "/sys/fs/cgroup/pids",
        _ => return Vec::new(),
    };
    let groups = Path::new(path.trim_start_matches('/')).ancestors();
    groups.map(|group| Path::new(mount).join(group).join("pids.max").display().to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_to_the_root_counts() {
        let files = ["/sys/fs/cgroup/a/b/pids.max", "/sys/fs/cgroup/a/pids.max", "/sys/fs/cgroup/pids.max"];
        assert_eq!(pids_files("0::/a/b"), files);
        assert_eq!(
            pids_files("4:pids:/x"),
            ["/sys/fs/cgroup/pids/x/pids.max", "/sys/fs/cgroup/pids/pids.max"]
        );
        assert!(pids_files("5:memory:/x").is_empty() && pids_files("").is_empty());
    }

    #[test]
    fn this_host_has_a_limit_of_tasks() {
        assert!(of_tasks().contains(" = "), "{}", of_tasks());
    }

    #[test]
    fn more_memory_than_there_is_is_refused() {
        let need = |threads| Need { threads, pages: 1, page_size: 4096 };
        assert!(check_memory(&need(1)).is_ok());
        let text = check_memory(&need(1 << 50)).unwrap_err().to_string();
        assert!(text.contains("MemAvailable") && text.ends_with("fewer --threads or --pages"), "{text}");
    }
}
