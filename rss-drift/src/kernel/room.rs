//! How much memory the control groups of this process still have room for: the kernel kills who takes more, without a word.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::hierarchies::{Controllers, Hierarchy};

/// What the kernel's verifier takes while it checks the BPF programs of full mode, with our own memory and the maps, and half as much
/// again. Kernels since 6.17 charge it to the control group of who loads them: 20 MiB for `watch` and 38 MiB for `run` on 6.18 with 2
/// CPUs, 41 MiB for `run` on 7.2 with 64. Earlier ones charge only the maps; which of them this is, only the charge would tell.
pub const FULL_MODE_NEEDS: u64 = 64 << 20;

/// The tightest of the control groups that this process is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes that may still be charged to it: what the page cache could give up is counted as free.
    pub bytes: u64,
    /// Bytes that it may hold.
    pub limit: u64,
    /// The file that limits it.
    pub file: PathBuf,
}

/// The control group with the least room; `None` where none has a limit, or nothing can be read.
#[must_use]
pub fn of_this_process() -> Option<Room> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    folders(&groups, Hierarchy::mounted())
        .iter()
        .filter_map(|(hierarchy, root, group)| tightest(*hierarchy, root, group))
        .min_by_key(|room| room.bytes)
}

/// What the control group that limits a process's memory says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMemory {
    /// Bytes charged to it and the groups below: page cache and kernel memory too, which are no RSS.
    pub usage: u64,
    /// The most that was ever charged; `None` before 5.19 on version 2.
    pub peak: Option<u64>,
    /// What it may hold; `None`: as much as the groups above it.
    pub limit: Option<u64>,
    /// The file of `usage`.
    pub file: PathBuf,
}

/// The memory of the control group of `pid`; `None` where no controller of memory is mounted, or nothing can be read.
#[must_use]
pub fn of_group(pid: u32) -> Option<GroupMemory> {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    folders(&groups, Hierarchy::mounted())
        .iter()
        .find_map(|(version, _, folder)| group_memory(*version, folder))
}

pub(super) fn group_memory(version: Version, folder: &Path) -> Option<GroupMemory> {
    // Version 1 prints the largest multiple of a page where there is no limit (`mm/page_counter.c`).
    const NO_LIMIT: u64 = i64::MAX.unsigned_abs() - (1 << 20);
    let (limit, usage) = version.files();
    Some(GroupMemory {
        usage: number(&folder.join(usage))?,
        peak: number(&folder.join(version.peak())),
        limit: number(&folder.join(limit)).filter(|&limit| limit < NO_LIMIT),
        file: folder.join(usage),
    })
}

/// The number in a file; `None` where it cannot be read, or has a word such as `max`.
pub(super) fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// The files of a version of control groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    One,
    Two,
}

impl Version {
    pub(super) const fn of(hierarchy: &Hierarchy) -> Self {
        match hierarchy.controllers {
            Controllers::Two => Self::Two,
            Controllers::One(_) => Self::One,
        }
    }

    /// The most that a group ever held.
    const fn peak(self) -> &'static str {
        match self {
            Self::One => "memory.max_usage_in_bytes",
            Self::Two => "memory.peak",
        }
    }

    /// What limits a group, and what it holds now.
    const fn files(self) -> (&'static str, &'static str) {
        match self {
            Self::One => ("memory.limit_in_bytes", "memory.usage_in_bytes"),
            Self::Two => ("memory.max", "memory.current"),
        }
    }
}

/// Where the hierarchies that limit memory are mounted, each with the folder of this process's group in it.
fn folders(groups: &str, mounted: Vec<Hierarchy>) -> Vec<(Version, PathBuf, PathBuf)> {
    let mut found = Vec::new();
    for hierarchy in mounted {
        let version = Version::of(&hierarchy);
        if version == Version::One && !hierarchy.has("memory") {
            continue;
        }
        // `4:memory:/group`; version 2 has no controllers in its line.
        let path = groups.split('\n').find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let (controllers, path) = (parts.next()?, parts.next()?);
            let fits = match version {
                Version::One => controllers.split(',').any(|controller| controller == "memory"),
                Version::Two => controllers.is_empty(),
            };
            fits.then_some(path)
        });
        // A group above the mount's own root is not to be seen from here.
        if let Some(folder) = path.and_then(|path| hierarchy.folder(path)) {
            found.push((version, hierarchy.point, folder));
        }
    }
    found
}

/// Of a group and all above it, the one with the least room.
fn tightest(version: Version, top: &Path, group: &Path) -> Option<Room> {
    let (limit, usage) = version.files();
    let room = |folder: &Path| {
        let file = folder.join(limit);
        let limit = number(&file)?;
        let usage = number(&folder.join(usage))?;
        let cache = cache(&fs::read_to_string(folder.join("memory.stat")).unwrap_or_default());
        Some(Room { bytes: limit.saturating_sub(usage.saturating_sub(cache)), limit, file })
    };
    group
        .ancestors()
        .take_while(|folder| folder.starts_with(top))
        .filter_map(room)
        .min_by_key(|room| room.bytes)
}

/// Bytes of files, inodes and names in `memory.stat` that nobody has to keep. Version 1 has the sums with all groups below under `total_`.
fn cache(stat: &str) -> u64 {
    let of = |name: &str| of_subtree(stat, name).unwrap_or(0);
    ["inactive_file", "active_file", "slab_reclaimable"].into_iter().map(of).fold(0, u64::saturating_add)
}

/// Bytes of one kind in a `memory.stat`, with all groups below.
pub(super) fn of_subtree(stat: &str, name: &str) -> Option<u64> {
    let of = |name: &str| {
        let line = stat.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|bytes| bytes.parse::<u64>().ok())
    };
    of(&format!("total_{name}")).or_else(|| of(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "25 21 0:22 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
        26 21 0:23 /box /sys/fs/cgroup/memory rw,nosuid shared:9 - cgroup cgroup rw,memory\n\
        27 21 0:24 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n22 21 0:21 / /proc rw - proc proc rw\n";

    #[test]
    fn groups_are_found_where_they_are_mounted() {
        let groups = "5:cpu,cpuacct:/c\n4:memory:/box/a/b\n0::/user.slice\n";
        assert_eq!(
            folders(groups, Hierarchy::of(MOUNTS)),
            [
                (Version::Two, "/sys/fs/cgroup/unified".into(), "/sys/fs/cgroup/unified/user.slice".into()),
                (Version::One, "/sys/fs/cgroup/memory".into(), "/sys/fs/cgroup/memory/a/b".into()),
            ]
        );
        let [(.., folder)] = &folders("4:memory:/box/a\r\n", Hierarchy::of(MOUNTS))[..] else {
            panic!("one")
        };
        assert_eq!(folder, Path::new("/sys/fs/cgroup/memory/a\r"), "a name may end in any character");
        assert_eq!(folders("4:memory:/other\n", Hierarchy::of(MOUNTS)), []);
        assert_eq!(folders("", Vec::new()), []);
    }

    #[test]
    fn what_a_group_says_of_itself() {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(root.path().join(name), text).unwrap();
        assert_eq!(group_memory(Version::Two, root.path()), None);
        write("memory.current", "4096\n");
        write("memory.max", "max\n");
        let file = root.path().join("memory.current");
        let mut right = GroupMemory { usage: 4096, peak: None, limit: None, file };
        assert_eq!(group_memory(Version::Two, root.path()).as_ref(), Some(&right));
        write("memory.max", "8192\n");
        write("memory.peak", "5000\n");
        (right.limit, right.peak) = (Some(8192), Some(5000));
        assert_eq!(group_memory(Version::Two, root.path()), Some(right));
        write("memory.usage_in_bytes", "1\n");
        write("memory.limit_in_bytes", "9223372036854771712\n");
        write("memory.max_usage_in_bytes", "7\n");
        let found = group_memory(Version::One, root.path()).unwrap();
        assert_eq!((found.usage, found.peak, found.limit), (1, Some(7), None));
    }

    #[test]
    fn the_tightest_group_counts() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("outer/inner");
        fs::create_dir_all(&inner).unwrap();
        let write = |folder: &Path, max: &str, current: &str, stat: &str| {
            for (name, text) in [("memory.max", max), ("memory.current", current), ("memory.stat", stat)] {
                fs::write(folder.join(name), text).unwrap();
            }
        };
        write(&inner, "max\n", "10\n", "");
        assert_eq!(tightest(Version::Two, root.path(), &inner), None);
        write(&root.path().join("outer"), "1000\n", "900\n", "anon 5\ninactive_file 200\nactive_file 50\n");
        let file = root.path().join("outer/memory.max");
        assert_eq!(tightest(Version::Two, root.path(), &inner), Some(Room { bytes: 350, limit: 1000, file }));
        write(&inner, "500\n", "400\n", "");
        assert_eq!(tightest(Version::Two, root.path(), &inner).map(|room| room.bytes), Some(100));
    }

    #[test]
    fn the_cache_of_all_groups_below() {
        assert_eq!(
            cache("inactive_file 1\nactive_file 2\ntotal_inactive_file 10\ntotal_active_file 20\n"),
            30
        );
        assert_eq!(cache("inactive_file 1\nslab_reclaimable 4\nslab_unreclaimable 8\n"), 5);
        assert_eq!(cache(""), 0);
    }
}
