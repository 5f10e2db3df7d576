//! What the OOM killer goes by in a control group: its limit, and which group dies as a whole.

use std::{fs, path::Path};

use super::{
    hierarchies::{Controllers, Hierarchy},
    meminfo::Meminfo,
    room::{Version, group_memory, number},
};

/// How much memory the OOM of a group concerns, in bytes: its limit, and what of the host's swap it may use
/// (`mm/memcontrol.c:mem_cgroup_get_max`, 5.10 to 7.x). `None`: the group in this folder has no limit of its own, so that it is never out
/// of memory by itself.
#[must_use]
pub fn total(hierarchy: &Hierarchy, folder: &Path, host: Meminfo) -> Option<u64> {
    let version = Version::of(hierarchy);
    let limit = group_memory(version, folder)?.limit?;
    let swappiness = match version {
        Version::One => number(&folder.join("memory.swappiness")),
        Version::Two => number(Path::new("/proc/sys/vm/swappiness")),
    };
    if swappiness == Some(0) {
        return Some(limit);
    }
    // Where swap is not accounted for the files are not there, and a group may use all of it; so it may where one says `max`.
    let swap = match version {
        Version::One => {
            number(&folder.join("memory.memsw.limit_in_bytes")).map(|both| both.saturating_sub(limit))
        }
        Version::Two => number(&folder.join("memory.swap.max")),
    };
    Some(limit.saturating_add(swap.unwrap_or(u64::MAX).min(host.swap)))
}

/// The group all of whose processes die with a victim in the group `victim`, by `memory.oom.group`: the topmost that has it set, from the
/// group `domain` down, which is out of memory (`mm/memcontrol.c:mem_cgroup_get_oom_group`). Version 1 has none.
#[must_use]
pub fn dies_whole(hierarchy: &Hierarchy, domain: &str, victim: &str) -> Option<String> {
    if hierarchy.controllers != Controllers::Two {
        return None;
    }
    let below = Path::new(victim).strip_prefix(domain).ok()?;
    let is_set = |path: &Path| {
        let folder = hierarchy.folder(&path.to_string_lossy())?;
        let text = fs::read_to_string(folder.join("memory.oom.group")).ok()?;
        (text.trim() == "1").then(|| path.to_string_lossy().into_owned())
    };
    let mut path = Path::new(domain).to_owned();
    let steps = below.components().map(|step| {
        path.push(step);
        path.clone()
    });
    [Path::new(domain).to_owned()].into_iter().chain(steps).find_map(|path| is_set(&path))
}

/// Whether the killer takes nobody in this group, and its processes wait for memory: `oom_kill_disable` of version 1
/// (`mm/memcontrol-v1.c:mem_cgroup_oom_control_read`; of 5.10 in `mm/memcontrol.c`).
#[must_use]
pub fn is_spared(hierarchy: &Hierarchy, folder: &Path) -> bool {
    let is_set = |text: String| text.lines().any(|line| line.trim() == "oom_kill_disable 1");
    hierarchy.controllers != Controllers::Two
        && fs::read_to_string(folder.join("memory.oom_control")).is_ok_and(is_set)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: Meminfo = Meminfo { memory: 1 << 30, swap: 5000, available: 1 << 20 };

    fn hierarchy(root: &Path, controllers: Controllers) -> Hierarchy {
        Hierarchy { controllers, root: "/".to_owned(), point: root.to_owned() }
    }

    fn write(folder: &Path, files: &[(&str, &str)]) {
        fs::create_dir_all(folder).unwrap();
        for (name, text) in files {
            fs::write(folder.join(name), text).unwrap();
        }
    }

    #[test]
    fn a_group_without_a_limit_has_no_total() {
        let root = tempfile::tempdir().unwrap();
        let two = hierarchy(root.path(), Controllers::Two);
        assert_eq!(total(&two, root.path(), HOST), None, "as the root of version 2");
        write(root.path(), &[("memory.current", "1\n"), ("memory.max", "max\n"), ("memory.swap.max", "7\n")]);
        assert_eq!(total(&two, root.path(), HOST), None);
    }

    #[test]
    fn swap_counts_as_far_as_the_group_and_the_host_have_it() {
        let root = tempfile::tempdir().unwrap();
        let two = hierarchy(root.path(), Controllers::Two);
        write(root.path(), &[("memory.current", "1\n"), ("memory.max", "8192\n")]);
        assert_eq!(total(&two, root.path(), HOST), Some(8192 + 5000), "swap is not accounted for");
        for (swap, right) in [("0", 8192), ("100", 8292), ("6000", 13_192), ("max", 13_192)] {
            write(root.path(), &[("memory.swap.max", swap)]);
            assert_eq!(total(&two, root.path(), HOST), Some(right), "{swap}");
        }
    }

    #[test]
    fn version_1_limits_memory_and_swap_together() {
        let root = tempfile::tempdir().unwrap();
        let one = hierarchy(root.path(), Controllers::One(vec!["memory".to_owned()]));
        write(root.path(), &[("memory.usage_in_bytes", "1\n"), ("memory.limit_in_bytes", "8192\n")]);
        assert_eq!(total(&one, root.path(), HOST), Some(8192 + 5000));
        for (both, right) in [("8192", 8192), ("9192", 9192), ("9223372036854771712", 13_192)] {
            write(root.path(), &[("memory.memsw.limit_in_bytes", both)]);
            assert_eq!(total(&one, root.path(), HOST), Some(right), "{both}");
        }
        write(root.path(), &[("memory.swappiness", "0\n")]);
        assert_eq!(total(&one, root.path(), HOST), Some(8192), "it does not swap");
        assert!(!is_spared(&one, root.path()));
        write(root.path(), &[("memory.oom_control", "oom_kill_disable 1\nunder_oom 0\noom_kill 0\n")]);
        assert!(is_spared(&one, root.path()));
    }

    #[test]
    fn the_topmost_group_that_says_so_dies_whole() {
        let root = tempfile::tempdir().unwrap();
        let two = hierarchy(root.path(), Controllers::Two);
        for (path, set) in [("a", "0"), ("a/b", "1"), ("a/b/c", "1"), ("ab", "1")] {
            write(&root.path().join(path), &[("memory.oom.group", set)]);
        }
        let dies = |domain, victim| dies_whole(&two, domain, victim);
        assert_eq!(dies("/", "/a/b/c").as_deref(), Some("/a/b"));
        assert_eq!(
            dies("/a/b/c", "/a/b/c").as_deref(),
            Some("/a/b/c"),
            "not what is above the one out of memory"
        );
        assert_eq!(dies("/a", "/a"), None);
        assert_eq!(dies("/a", "/ab"), None, "it is in another group");
        assert_eq!(dies_whole(&hierarchy(root.path(), Controllers::One(Vec::new())), "/", "/a/b"), None);
    }
}
