//! What a control group is charged for, of which RSS is a part.

use std::{
    collections::HashMap,
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use super::{
    hierarchies::{Controllers, Hierarchy},
    room::{GroupMemory, Version, group_memory, number, of_subtree},
};

/// What a control group says of its memory. Bytes; what cannot be read is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// What it is charged now, was at most, and may be.
    pub memory: GroupMemory,
    /// Page cache, the pages of tmpfs and shared memory among it.
    pub page_cache: Option<u64>,
    /// The kernel's own memory, page tables among it; older kernels do not tell it on version 2.
    pub kernel: Option<u64>,
    /// Page tables; neither version 1 tells them nor older kernels.
    pub page_tables: Option<u64>,
    /// Whether all these are of the groups below it too.
    pub of_subtree: bool,
    /// The group above it that comes first to a limit, where that is before it comes to its own.
    pub above: Option<Above>,
}

/// A control group above another one, which is charged for that one too. Bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Above {
    /// Its path, as /proc/PID/cgroup prints it.
    pub path: String,
    /// What it is charged now.
    pub usage: u64,
    /// What it may be charged.
    pub limit: u64,
}

/// What groups with a limit are charged and may be, by their folders, so that each is read once.
pub type Limits = HashMap<PathBuf, Option<(u64, u64)>>;

impl Charge {
    /// Of the group with this path, as /proc/PID/cgroup prints it, in a hierarchy that limits memory. `None` where no controller counts
    /// its memory, as for the root of version 2, or where it is not to be seen from here.
    #[must_use]
    pub fn of(hierarchy: &Hierarchy, path: &str) -> Option<Self> {
        // A group outside of our cgroup namespace: the folder of that name is another's.
        if path.split('/').any(|part| part == "..") {
            return None;
        }
        let folder = hierarchy.folder(path)?;
        Self::read(hierarchy, &folder)
    }

    /// Looks for a group above the one with this path that is nearer to its limit.
    pub fn look_above(&mut self, hierarchy: &Hierarchy, path: &str, known: &mut Limits) {
        if !self.of_subtree {
            return;
        }
        let version = Version::of(hierarchy);
        let share = |usage: u64, limit: u64| usage as f64 / limit.max(1) as f64;
        let mut nearest = self.memory.limit.map_or(0.0, |limit| share(self.memory.usage, limit));
        for path in Path::new(path).ancestors().skip(1) {
            let Some(folder) = path.to_str().and_then(|path| hierarchy.folder(path)) else { break };
            let read = |folder: &PathBuf| {
                let memory = group_memory(version, folder)?;
                Some((memory.usage, memory.limit?))
            };
            let found = *known.entry(folder).or_insert_with_key(read);
            if let Some((usage, limit)) = found.filter(|&(usage, limit)| share(usage, limit) > nearest) {
                nearest = share(usage, limit);
                self.above = Some(Above { path: path.to_string_lossy().into_owned(), usage, limit });
            }
        }
    }

    fn read(hierarchy: &Hierarchy, folder: &Path) -> Option<Self> {
        let version = Version::of(hierarchy);
        let memory = group_memory(version, folder)?;
        let stat = read(&folder.join("memory.stat")).unwrap_or_default();
        let with_below = has_subtree(hierarchy, folder);
        Some(match version {
            Version::One => Self {
                memory,
                page_cache: of_subtree(&stat, "cache"),
                kernel: number(&folder.join("memory.kmem.usage_in_bytes")),
                page_tables: None,
                of_subtree: with_below,
                above: None,
            },
            Version::Two => Self {
                memory,
                page_cache: of_subtree(&stat, "file"),
                kernel: of_subtree(&stat, "kernel"),
                page_tables: of_subtree(&stat, "pagetables"),
                of_subtree: with_below,
                above: None,
            },
        })
    }
}

/// Whether a group is charged for the groups below it, as it always is but on version 1 with `memory.use_hierarchy` 0 (until 5.11,
/// `mm/memcontrol.c`).
#[must_use]
pub fn has_subtree(hierarchy: &Hierarchy, folder: &Path) -> bool {
    hierarchy.controllers == Controllers::Two || number(&folder.join("memory.use_hierarchy")) != Some(0)
}

/// A file of a control group.
fn read(path: &Path) -> Option<String> {
    /// More than any `memory.stat` has.
    const MOST_BYTES: u64 = 64 << 10;
    let mut text = String::new();
    File::open(path).ok()?.take(MOST_BYTES).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A hierarchy whose group /a has these files.
    fn with(root: &Path, controllers: Controllers, files: &[(&str, &str)]) -> Hierarchy {
        let folder = root.join("a");
        fs::create_dir_all(&folder).unwrap();
        for (name, text) in files {
            fs::write(folder.join(name), text).unwrap();
        }
        Hierarchy { controllers, root: "/".to_owned(), point: root.to_owned() }
    }

    #[test]
    fn version_2() {
        let root = tempfile::tempdir().unwrap();
        let files = [
            ("memory.current", "9000\n"),
            ("memory.max", "max\n"),
            ("memory.stat", "anon 1\nfile 20\nkernel 30\nkernel_stack 5\npagetables 7\n"),
        ];
        let found = Charge::of(&with(root.path(), Controllers::Two, &files), "/a").unwrap();
        assert_eq!((found.memory.usage, found.memory.limit, found.memory.peak), (9000, None, None));
        assert_eq!((found.page_cache, found.kernel, found.page_tables), (Some(20), Some(30), Some(7)));
        assert!(found.of_subtree);
    }

    #[test]
    fn version_1_has_sums_of_the_groups_below() {
        let root = tempfile::tempdir().unwrap();
        let files = [
            ("memory.usage_in_bytes", "9000\n"),
            ("memory.max_usage_in_bytes", "9500\n"),
            ("memory.limit_in_bytes", "10000\n"),
            ("memory.kmem.usage_in_bytes", "300\n"),
            ("memory.stat", "cache 1\nrss 2\ntotal_cache 20\ntotal_rss 30\n"),
        ];
        let hierarchy = with(root.path(), Controllers::One(vec!["memory".to_owned()]), &files);
        let found = Charge::of(&hierarchy, "/a").unwrap();
        assert_eq!(
            (found.memory.usage, found.memory.limit, found.memory.peak),
            (9000, Some(10000), Some(9500))
        );
        assert_eq!((found.page_cache, found.kernel, found.page_tables), (Some(20), Some(300), None));
        assert!(found.of_subtree, "since 5.11 always");
        fs::write(root.path().join("a/memory.use_hierarchy"), "0\n").unwrap();
        assert!(!Charge::of(&hierarchy, "/a").unwrap().of_subtree);
    }

    #[test]
    fn a_group_above_that_is_nearer_to_its_limit() {
        let root = tempfile::tempdir().unwrap();
        let hierarchy = with(root.path(), Controllers::Two, &[]);
        let write = |folder: &str, usage: &str, limit: &str| {
            fs::create_dir_all(root.path().join(folder)).unwrap();
            fs::write(root.path().join(folder).join("memory.current"), usage).unwrap();
            fs::write(root.path().join(folder).join("memory.max"), limit).unwrap();
        };
        write("a", "950", "1000");
        write("a/b", "800", "max");
        write("a/b/c", "50", "100");
        write("a/b/d", "96", "100");
        let mut known = Limits::new();
        let mut above = |path: &str| {
            let mut found = Charge::of(&hierarchy, path).unwrap();
            found.look_above(&hierarchy, path, &mut known);
            found.above
        };
        let a = Above { path: "/a".to_owned(), usage: 950, limit: 1000 };
        assert_eq!((above("/a/b/c"), above("/a/b")), (Some(a.clone()), Some(a)));
        assert_eq!((above("/a/b/d"), above("/a")), (None, None), "their own limits are nearer");
        assert_eq!(known.len(), 3, "each was read once, and the root");
    }

    #[test]
    fn what_cannot_be_read_is_nothing() {
        let root = tempfile::tempdir().unwrap();
        let hierarchy = with(root.path(), Controllers::Two, &[]);
        assert_eq!(Charge::of(&hierarchy, "/a"), None, "as the root of version 2");
        fs::write(root.path().join("a/memory.current"), "1\n").unwrap();
        let found = Charge::of(&hierarchy, "/a").unwrap();
        assert_eq!((found.page_cache, found.kernel, found.page_tables), (None, None, None));
        // A group outside of our cgroup namespace has no folder here, whatever is in the place that its path names.
        fs::create_dir(root.path().join("b")).unwrap();
        assert_eq!(Charge::of(&hierarchy, "/b/../a"), None);
        assert_eq!(Charge::of(&hierarchy, "/../a"), None);
    }
}
