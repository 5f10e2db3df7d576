//! The hierarchies of control groups and where they are mounted.

use std::{
    fs::{self, File},
    os::{fd::AsRawFd as _, unix::fs::OpenOptionsExt as _},
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
    /// Those of this mount namespace that are to be seen: none that another mount covers.
    #[must_use]
    pub fn mounted() -> Vec<Self> {
        // A name that is not UTF-8 is that of another mount.
        let mounts = fs::read("/proc/self/mountinfo").unwrap_or_default();
        let all = mounts_of(&String::from_utf8_lossy(&mounts));
        let is_on_top = |(id, it): &(u64, Self)| mount_at(&it.point).is_none_or(|found| found == *id);
        all.into_iter().filter(is_on_top).map(|(_, it)| it).collect()
    }

    /// Those of a text like /proc/self/mountinfo.
    #[must_use]
    pub fn of(mounts: &str) -> Vec<Self> {
        mounts_of(mounts).into_iter().map(|(_, it)| it).collect()
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

/// The hierarchies in a text like /proc/self/mountinfo, each with the id of its mount:
/// `36 35 98:0 ROOT POINT options - kind source options` (`proc_pid_mountinfo(5)`).
fn mounts_of(mounts: &str) -> Vec<(u64, Hierarchy)> {
    let parse = |line: &str| {
        let (before, after) = line.split_once(" - ")?;
        let mut before = before.split(' ');
        let id = before.next()?.parse().ok()?;
        let (root, point) = (unescaped(before.nth(2)?), unescaped(before.next()?).into());
        let mut after = after.split(' ');
        let controllers = match (after.next()?, after.nth(1)) {
            ("cgroup2", _) => Controllers::Two,
            ("cgroup", Some(options)) => Controllers::One(options.split(',').map(str::to_owned).collect()),
            _ => return None,
        };
        Some((id, Hierarchy { controllers, root, point }))
    };
    mounts.split('\n').filter_map(parse).collect()
}

/// The id of the mount that is to be seen in this folder; `None` where that cannot be told.
fn mount_at(folder: &Path) -> Option<u64> {
    let folder = File::options().read(true).custom_flags(libc::O_PATH).open(folder).ok()?;
    let about = fs::read_to_string(format!("/proc/self/fdinfo/{}", folder.as_raw_fd())).ok()?;
    about.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok())
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
    fn what_is_mounted_here_is_to_be_seen() {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let proc = mounts.lines().rfind(|line| line.split(' ').nth(4) == Some("/proc")).unwrap();
        assert_eq!(mount_at(Path::new("/proc")).map(|id| id.to_string()).as_deref(), proc.split(' ').next());
        assert_eq!(mount_at(Path::new("/no/such/folder")), None);
    }

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
