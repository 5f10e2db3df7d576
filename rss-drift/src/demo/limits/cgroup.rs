//! Limits of the control groups that this process is in: every group from its own to the root counts.

use std::path::{Path, PathBuf};

use procfs::{
    FromRead, ProcessCGroups,
    process::{MountInfo, MountInfos},
};

use super::{CgroupLimit, Controller, Usage};
use crate::proc::read_line;

/// The names of one controller's files in one version of the hierarchy.
struct Names {
    controller: Controller,
    limit: &'static str,
    used: &'static str,
    /// Keys of `memory.stat`: file pages in use, which the kernel gives up before it refuses memory.
    reclaimable: [&'static str; 2],
}

const V1: [(&str, Names); 2] = [
    (
        "pids",
        Names {
            controller: Controller::Pids,
            limit: "pids.max",
            used: "pids.current",
            reclaimable: ["", ""],
        },
    ),
    (
        "memory",
        Names {
            controller: Controller::Memory,
            limit: "memory.limit_in_bytes",
            used: "memory.usage_in_bytes",
            reclaimable: ["total_inactive_file", "total_active_file"],
        },
    ),
];

const V2: [Names; 2] = [
    Names { controller: Controller::Pids, limit: "pids.max", used: "pids.current", reclaimable: ["", ""] },
    Names {
        controller: Controller::Memory,
        limit: "memory.max",
        used: "memory.current",
        reclaimable: ["inactive_file", "active_file"],
    },
];

/// All limits of tasks and memory of this process's control groups.
#[must_use]
pub fn limits() -> Vec<CgroupLimit> {
    let (Ok(groups), Ok(mounts)) =
        (ProcessCGroups::from_file("/proc/self/cgroup"), MountInfos::from_file("/proc/self/mountinfo"))
    else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for group in groups {
        if group.hierarchy == 0 {
            if let Some(mount) = mounts.0.iter().find(|mount| mount.fs_type == "cgroup2") {
                for names in &V2 {
                    climb(mount, &group.pathname, names, &mut found);
                }
            }
            continue;
        }
        for (name, names) in &V1 {
            let of_controller =
                |mount: &&MountInfo| mount.fs_type == "cgroup" && mount.super_options.contains_key(*name);
            if group.controllers.iter().any(|controller| controller == name)
                && let Some(mount) = mounts.0.iter().find(of_controller)
            {
                climb(mount, &group.pathname, names, &mut found);
            }
        }
    }
    found
}

/// Collects the limits of the group at `path` and of all above it, as far as `mount` shows them.
fn climb(mount: &MountInfo, path: &str, names: &Names, found: &mut Vec<CgroupLimit>) {
    let below = below_mount(&mount.root, path);
    for folder in below.ancestors() {
        found.extend(limit(&mount.mount_point.join(folder), names));
    }
}

/// Where a group's path lies below a mount whose root is `root`; the mount itself where it lies outside (a container).
fn below_mount(root: &str, path: &str) -> PathBuf {
    Path::new(path).strip_prefix(root).map(Path::to_path_buf).unwrap_or_default()
}

/// From here on a limit of bytes stands for none: version 1 writes the largest number that it can hold.
const NO_LIMIT: u64 = 1 << 62;

/// The limit of one group; `None` where it has none (the root, "max").
fn limit(folder: &Path, names: &Names) -> Option<CgroupLimit> {
    let file = folder.join(names.limit);
    let number = |path: PathBuf| read_line(path).ok()?.parse::<u64>().ok();
    let limit = number(file.clone()).filter(|&limit| limit < NO_LIMIT)?;
    let mut used = number(folder.join(names.used))?;
    if names.controller == Controller::Memory {
        let stat = read_line(folder.join("memory.stat")).unwrap_or_default();
        used = used.saturating_sub(names.reclaimable.iter().map(|key| stat_of(&stat, key)).sum());
    }
    Some(CgroupLimit {
        controller: names.controller,
        file: file.display().to_string(),
        usage: Usage { limit, used },
    })
}

/// One figure of a `memory.stat`; 0 where it has none.
fn stat_of(stat: &str, key: &str) -> u64 {
    stat.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_group_is_found_below_its_mount() {
        assert_eq!(below_mount("/", "/user.slice/x"), Path::new("user.slice/x"));
        assert_eq!(below_mount("/docker/a", "/docker/a/b"), Path::new("b"));
        assert_eq!(below_mount("/docker/a", "/elsewhere"), Path::new(""));
        assert_eq!(below_mount("/", "/"), Path::new(""));
    }

    #[test]
    fn every_group_to_the_root_is_read_and_file_pages_do_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b");
        fs::create_dir_all(&inner).unwrap();
        let write = |path: &Path, name: &str, text: &str| fs::write(path.join(name), text).unwrap();
        write(&inner, "memory.max", "1000\n");
        write(&inner, "memory.current", "700\n");
        write(&inner, "memory.stat", "anon 400\nfile 300\ninactive_file 100\nactive_file 150\n");
        write(&folder.path().join("a"), "memory.max", "max\n");
        write(&folder.path().join("a"), "memory.current", "900\n");
        write(folder.path(), "memory.max", "5000\n");
        write(folder.path(), "memory.current", "900\n");
        let mount = MountInfo {
            mnt_id: 1,
            pid: 1,
            majmin: "0:1".to_owned(),
            root: "/".to_owned(),
            mount_point: folder.path().to_owned(),
            mount_options: std::collections::HashMap::new(),
            opt_fields: Vec::new(),
            fs_type: "cgroup2".to_owned(),
            mount_source: None,
            super_options: std::collections::HashMap::new(),
        };
        let mut found = Vec::new();
        climb(&mount, "/a/b", &V2[1], &mut found);
        let usages: Vec<_> = found.iter().map(|limit| (limit.usage.limit, limit.usage.used)).collect();
        assert_eq!(usages, [(1000, 450), (5000, 900)]);
        assert_eq!(found[0].file, inner.join("memory.max").display().to_string());
    }
}
