//! The hierarchies of control groups and where they are mounted.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Of which version a hierarchy is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Controllers {
    /// Version 1: these, or a name alone (`name=systemd`).
    One(Vec<String>),
    /// Version 2: one hierarchy for all.
    Two,
}

/// A mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    pub controllers: Controllers,
    /// The path of the group that is mounted, as /proc/PID/cgroup prints paths.
    pub root: String,
    pub point: PathBuf,
}

impl Hierarchy {
    /// Those of this mount namespace.
    #[must_use]
    pub fn mounted() -> Vec<Self> {
        fs::read_to_string("/proc/self/mountinfo").map(|mounts| Self::of(&mounts)).unwrap_or_default()
    }

    /// Those of a text like /proc/self/mountinfo: `36 35 98:0 ROOT POINT options - kind source options` (`proc_pid_mountinfo(5)`).
    #[must_use]
    pub fn of(mounts: &str) -> Vec<Self> {
        let parse = |line: &str| {
            let (before, after) = line.split_once(" - ")?;
            let mut before = before.split(' ').skip(3);
            let (root, point) = (unescaped(before.next()?), unescaped(before.next()?).into());
            let mut after = after.split(' ');
            let controllers = match (after.next()?, after.nth(1)) {
                ("cgroup2", _) => Controllers::Two,
                ("cgroup", Some(options)) => {
                    Controllers::One(options.split(',').map(str::to_owned).collect())
                }
                _ => return None,
            };
            Some(Self { controllers, root, point })
        };
        mounts.lines().filter_map(parse).collect()
    }

    /// Whether it is of version 1 and has this controller.
    #[must_use]
    pub fn has(&self, controller: &str) -> bool {
        matches!(&self.controllers, Controllers::One(all) if all.iter().any(|it| it == controller))
    }

    /// The folder of the group with this path; `None` where it is above what is mounted.
    #[must_use]
    pub fn folder(&self, path: &str) -> Option<PathBuf> {
        Path::new(path).strip_prefix(&self.root).ok().map(|below| self.point.join(below))
    }

    /// The path of the group in this folder; `None` where the folder is not in the hierarchy.
    #[must_use]
    pub fn path(&self, folder: &Path) -> Option<String> {
        let below = folder.strip_prefix(&self.point).ok()?;
        let path = Path::new(&self.root).join(below);
        // The root's is a slash alone.
        match path.to_string_lossy().trim_end_matches('/') {
            "" => Some("/".to_owned()),
            path => Some(path.to_owned()),
        }
    }
}

/// Text of mountinfo, in which a blank is `\040`.
fn unescaped(text: &str) -> String {
    ["\\040", "\\011", "\\012", "\\134"]
        .iter()
        .zip([" ", "\t", "\n", "\\"])
        .fold(text.to_owned(), |text, (escape, character)| text.replace(escape, character))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "25 21 0:22 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
        26 21 0:23 /box /mnt/my\\040groups rw,nosuid shared:9 - cgroup cgroup rw,memory\n\
        28 21 0:25 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n22 21 0:21 / /proc rw - proc proc rw\n";

    #[test]
    fn paths_and_folders_of_each_hierarchy() {
        let found = Hierarchy::of(MOUNTS);
        let [two, memory, systemd] = &found[..] else { panic!("{found:?}") };
        assert_eq!(two.controllers, Controllers::Two);
        assert!(memory.has("memory") && !systemd.has("memory") && systemd.has("name=systemd"));
        assert_eq!(two.folder("/a/b"), Some("/sys/fs/cgroup/unified/a/b".into()));
        assert_eq!(two.path(Path::new("/sys/fs/cgroup/unified")).as_deref(), Some("/"));
        assert_eq!(memory.folder("/box/a"), Some("/mnt/my groups/a".into()));
        assert_eq!(memory.folder("/other"), None);
        assert_eq!(memory.path(Path::new("/mnt/my groups/a/b")).as_deref(), Some("/box/a/b"));
        assert_eq!(memory.path(Path::new("/proc")), None);
        assert_eq!(Hierarchy::of(""), []);
    }
}
