//! Paths of control groups: from `/proc/PID/cgroup`, and by a group's id once its path is known.
//!
//! `/proc/PID/cgroup` costs about as much as `stat`, and most processes are in a group that other processes are in too, or that they
//! were in at the report before. The iterator's record has the group's id, which is that of no other group of its hierarchy
//! (`fs/kernfs/dir.c:__kernfs_new_node`). So the path that was read of one process is that of every process in the group.

use std::{collections::HashMap, fs, mem};

/// The controllers and the path in a line of `/proc/PID/cgroup`: `4:memory:/group`. Version 2 has no controllers there. A path may end in
/// a carriage return, which is no part of the line's end.
fn lines(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split('\n').filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        Some((parts.next()?, parts.next()?))
    })
}

/// Which version of control groups limits memory. It decides which of a process's groups is the one that rows show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupVersion {
    /// The memory controller has a hierarchy of its own, or one with other controllers.
    One,
    /// The memory controller is not in a hierarchy of version 1.
    Two,
}

impl CgroupVersion {
    /// That of the host now; `None` without control groups. Every process's file has the same hierarchies.
    #[must_use]
    pub fn of_host() -> Option<Self> {
        chosen(&fs::read_to_string("/proc/self/cgroup").ok()?).map(|(version, _)| version)
    }
}

/// Picks the line that a user of memory limits means: v2 unless only its root is used beside v1 controllers.
fn chosen(text: &str) -> Option<(CgroupVersion, &str)> {
    let memory = lines(text).find(|(controllers, _)| controllers.split(',').any(|it| it == "memory"));
    let version_2 = || lines(text).find(|(controllers, _)| controllers.is_empty());
    let of_version_1 = memory.map(|(_, path)| (CgroupVersion::One, path));
    of_version_1.or_else(|| version_2().map(|(_, path)| (CgroupVersion::Two, path)))
}

/// The path of the group in this text.
pub(super) fn cgroup_of(text: &str) -> Option<String> {
    chosen(text).map(|(_, path)| path.to_owned())
}

/// The control groups of a process, by their paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Groups {
    /// The one that limits memory, which rows show.
    pub memory: String,
    /// Those of all hierarchies.
    pub all: Vec<String>,
}

impl Groups {
    /// Those in a text like /proc/PID/cgroup.
    pub(super) fn of(text: &str) -> Option<Self> {
        let all = lines(text).map(|(_, path)| path.to_owned()).collect();
        Some(Self { memory: cgroup_of(text)?, all })
    }

    /// The group of a host with one hierarchy.
    #[must_use]
    pub fn only(path: String) -> Self {
        Self { all: vec![path.clone()], memory: path }
    }
}

/// What is known of a group.
#[derive(Debug)]
struct Known {
    path: String,
    /// Two readings said so. One alone may be of a process that was moved to another group and back while it was read.
    confirmed: bool,
    /// Whether it was read in this report that the path is still the same.
    checked: bool,
    /// Whether a process of this report is in it.
    used: bool,
}

/// The paths of groups by their ids.
#[derive(Debug, Default)]
pub struct Cgroups {
    /// Of which version the ids are; `None` while they do not name the groups whose paths are wanted.
    version: Option<CgroupVersion>,
    known: HashMap<u64, Known>,
}

impl Cgroups {
    /// A report begins, in which the ids are of `version`. Groups that no process of the last one was in are forgotten: they may have
    /// ended.
    pub fn begin_report(&mut self, version: Option<CgroupVersion>) {
        // A hierarchy can be mounted and unmounted meanwhile.
        self.begin(version.filter(|_| version == CgroupVersion::of_host()));
    }

    /// The same where the host is known to have that version.
    pub(crate) fn begin(&mut self, version: Option<CgroupVersion>) {
        if mem::replace(&mut self.version, version) != version {
            self.known.clear();
        }
        self.known.retain(|_, known| mem::take(&mut known.used));
        // A group of version 1 can be renamed (`kernel/cgroup/cgroup-v1.c:cgroup1_rename`), one of version 2 cannot.
        let stays = version == Some(CgroupVersion::Two);
        self.known.values_mut().for_each(|known| known.checked = stays);
    }

    /// The path of the group with this id; `None` where the process's file has to be read for it.
    pub fn path(&mut self, id: u64) -> Option<String> {
        let known = self.known.get_mut(&id)?;
        known.used = true;
        (known.confirmed && known.checked).then(|| known.path.clone())
    }

    /// The file of a process says `path`, and the process was in the group with this id right before.
    pub fn check(&mut self, id: u64, path: &str) {
        if let Some(known) = self.known.get_mut(&id) {
            known.checked = known.path == path;
        }
    }

    /// The file of a process said `path`, and the process was in the group with this id right before and right after. An id of 0 is
    /// that of no group.
    pub fn learn(&mut self, id: u64, path: &str) {
        if self.version.is_none() || id == 0 {
            return;
        }
        let first = || Known { path: String::new(), confirmed: false, checked: true, used: true };
        let known = self.known.entry(id).or_insert_with(first);
        known.used = true;
        if known.path == path {
            known.confirmed = true;
        } else {
            *known = Known { path: path.to_owned(), ..first() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cgroup_that_limits_memory() {
        let version_1 = "4:memory:/a:b\n3:cpu,cpuacct:/x\n0::/\n";
        assert_eq!(chosen("0::/user.slice\n"), Some((CgroupVersion::Two, "/user.slice")));
        assert_eq!(chosen("1:name=systemd:/x\n0::/\n"), Some((CgroupVersion::Two, "/")));
        assert_eq!(chosen(version_1), Some((CgroupVersion::One, "/a:b")));
        assert_eq!(chosen("4:cpu,memory:/a\n"), Some((CgroupVersion::One, "/a")));
        assert_eq!(chosen(""), None);
        assert_eq!(chosen("3:cpu:/x\n"), None);
        assert_eq!(cgroup_of(version_1).as_deref(), Some("/a:b"));
        let all = ["/a:b", "/x", "/"].map(str::to_owned).to_vec();
        assert_eq!(Groups::of(version_1), Some(Groups { memory: "/a:b".to_owned(), all }));
        assert_eq!(Groups::of("0::/a\n"), Some(Groups::only("/a".to_owned())));
    }

    fn of(version: CgroupVersion) -> Cgroups {
        Cgroups { version: Some(version), ..Cgroups::default() }
    }

    /// Groups with this path, which two processes confirmed.
    fn with(version: CgroupVersion, ids: &[u64], path: &str) -> Cgroups {
        let mut groups = of(version);
        for id in [ids, ids].concat() {
            groups.learn(id, path);
        }
        groups
    }

    #[test]
    fn a_path_counts_when_two_readings_agree() {
        let mut groups = of(CgroupVersion::Two);
        groups.learn(7, "/a");
        assert_eq!(groups.path(7), None);
        // The first was of a process that had been moved to another group and back.
        groups.learn(7, "/b");
        assert_eq!(groups.path(7), None);
        groups.learn(7, "/b");
        assert_eq!(groups.path(7).as_deref(), Some("/b"));
        assert_eq!(groups.path(8), None);
    }

    #[test]
    fn no_id_is_no_group() {
        assert_eq!(with(CgroupVersion::Two, &[0], "/a").path(0), None);
    }

    #[test]
    fn groups_without_a_process_are_forgotten() {
        let mut groups = with(CgroupVersion::Two, &[7, 8], "/a");
        groups.begin(Some(CgroupVersion::Two));
        assert_eq!(groups.path(7).as_deref(), Some("/a"));
        groups.begin(Some(CgroupVersion::Two));
        assert_eq!(groups.known.keys().collect::<Vec<_>>(), [&7]);
    }

    #[test]
    fn a_group_of_version_1_is_read_once_in_each_report() {
        let mut groups = with(CgroupVersion::One, &[7], "/a");
        assert_eq!(groups.path(7).as_deref(), Some("/a"));
        groups.begin(Some(CgroupVersion::One));
        assert_eq!(groups.path(7), None);
        groups.check(7, "/a");
        assert_eq!(groups.path(7).as_deref(), Some("/a"));
    }

    #[test]
    fn a_renamed_group_has_its_new_path_at_once() {
        let mut groups = with(CgroupVersion::One, &[7], "/a");
        groups.begin(Some(CgroupVersion::One));
        groups.check(7, "/new");
        // The others are read until two agree.
        assert_eq!(groups.path(7), None);
        groups.learn(7, "/new");
        assert_eq!(groups.path(7), None);
        groups.learn(7, "/new");
        assert_eq!(groups.path(7).as_deref(), Some("/new"));
    }

    #[test]
    fn ids_of_another_version_name_nothing() {
        let mut groups = with(CgroupVersion::Two, &[7], "/a");
        groups.begin(None);
        assert_eq!(groups.path(7), None);
        groups.learn(7, "/a");
        groups.learn(7, "/a");
        assert_eq!(groups.path(7), None);
        // Ids of version 1 begin anew.
        let mut groups = with(CgroupVersion::Two, &[7], "/a");
        groups.begin(Some(CgroupVersion::One));
        assert!(groups.known.is_empty());
    }
}
