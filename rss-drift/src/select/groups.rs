//! The control groups of processes: where a host has one hierarchy, the id in the iterator's record tells the path once it is known.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    mem,
};

use crate::{
    drift::collect::folder,
    probe::{Mm, Snapshot},
    proc::{CgroupVersion, Cgroups, Groups, TaskFolder},
};

/// What a file said of a process that was in the group with this id before.
#[derive(Debug)]
struct Read {
    start: u64,
    task: u64,
    id: u64,
    path: String,
}

/// The paths of groups.
#[derive(Debug, Default)]
pub(super) struct GroupPaths {
    known: Cgroups,
    /// Whether the id tells all paths of a process.
    by_id: bool,
    /// Of the reading before: they count if the process is still in the same group.
    read: BTreeMap<u32, Read>,
}

impl GroupPaths {
    /// A reading begins, in which the ids are of `version`.
    pub(super) fn begin(&mut self, version: Option<CgroupVersion>, snapshot: &Snapshot) {
        // Groups of version 1 can be renamed, and a process has a path in each of its hierarchies.
        let own = TaskFolder::process(std::process::id()).groups();
        self.by_id = version == Some(CgroupVersion::Two) && own.is_some_and(|groups| groups.all.len() == 1);
        self.known.begin_report(version.filter(|_| self.by_id));
        self.learn(snapshot);
    }

    /// Takes what was read of processes that are still where they were.
    fn learn(&mut self, snapshot: &Snapshot) {
        for (pid, Read { start, task, id, path }) in mem::take(&mut self.read) {
            let stayed = |mm: &Mm| (mm.start_boottime_ns, mm.task, mm.cgroup_id) == (start, task, id);
            if snapshot.process(pid).is_some_and(stayed) {
                self.known.learn(id, &path);
            }
        }
    }

    /// The groups of a process; `None` where they cannot be read, as it is gone.
    pub(super) fn of(&mut self, mm: &Mm) -> Option<Groups> {
        if !self.by_id {
            return folder(mm).groups();
        }
        if let Some(path) = self.known.path(mm.cgroup_id) {
            return Some(Groups::only(path));
        }
        // Read once in a reading.
        let read = match self.read.entry(mm.tgid) {
            Entry::Occupied(read) => read.into_mut(),
            Entry::Vacant(place) => place.insert(Read {
                start: mm.start_boottime_ns,
                task: mm.task,
                id: mm.cgroup_id,
                path: folder(mm).groups()?.memory,
            }),
        };
        Some(Groups::only(read.path.clone()))
    }
}

#[cfg(test)]
mod tests {
    use std::{process::id, time::SystemTime};

    use super::*;

    /// A process in the group with this id.
    fn mm(tgid: u32, cgroup_id: u64) -> Mm {
        Mm { tgid, cgroup_id, ..bytemuck::Zeroable::zeroed() }
    }

    #[test]
    fn the_file_of_a_process_is_read_until_two_readings_agree() {
        let version = Some(CgroupVersion::Two);
        let mut paths = GroupPaths { by_id: true, ..GroupPaths::default() };
        paths.known.begin(version);
        let own = TaskFolder::process(id()).groups().unwrap().memory;
        let mut read = |id_before, id_after| {
            let found = paths.of(&mm(id(), id_before)).map(|groups| groups.memory);
            assert_eq!(found.as_ref(), Some(&own));
            paths.known.begin(version);
            paths.learn(&Snapshot::without_shadow(SystemTime::UNIX_EPOCH, vec![mm(id(), id_after)]));
            // Of a process that is gone there is no file: what is known of it is by its group's id.
            paths.of(&mm(u32::MAX, id_before)).map(|groups| groups.memory)
        };
        assert_eq!(read(7, 8), None, "it was moved");
        assert_eq!(read(7, 7), None, "it may have been moved and back");
        assert_eq!(read(7, 7).as_ref(), Some(&own));
        assert_eq!(read(8, 8), None, "another group");
    }
}
