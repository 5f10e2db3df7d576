//! What is out of memory: the host, or a control group with all below it.

use std::path::Path;

use crate::{
    kernel::{
        charge::has_subtree,
        meminfo::Meminfo,
        oom_group::{dies_whole, is_spared, total},
    },
    proc::Groups,
    select::MemoryGroup,
};

/// What is out of memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Domain {
    /// How many bytes adjustments are thousandths of (`totalpages`): those of the group where it has a limit, else those of the host.
    pub total: u64,
    pub group: Option<Limited>,
}

/// A control group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Limited {
    pub group: MemoryGroup,
    /// Its limit, and the swap that it may use, in bytes; `None`: it has none, and is out of memory only where a group above or the
    /// host is.
    pub limit: Option<u64>,
    /// The nearest group above that comes to a limit first: one that has a lower limit, or any where this one has none.
    pub above: Option<String>,
    /// Whether the killer takes nobody in it: its processes wait for memory (`memory.oom_control` of version 1).
    pub is_spared: bool,
    /// Whether the groups below belong to it.
    pub has_subtree: bool,
}

impl Domain {
    /// That of a group, or of the host.
    pub(super) fn of(group: Option<MemoryGroup>, host: Meminfo) -> Self {
        let group = group.map(|group| {
            let limit = |path: &Path| {
                let folder = group.hierarchy.folder(&path.to_string_lossy())?;
                total(&group.hierarchy, &folder, host)
            };
            let path = Path::new(&group.path);
            let own = limit(path);
            let is_first = |limit: u64| own.is_none_or(|own| limit < own);
            let above = path.ancestors().skip(1).find(|path| limit(path).is_some_and(is_first));
            let folder = group.hierarchy.folder(&group.path);
            Limited {
                limit: own,
                is_spared: folder.as_ref().is_some_and(|folder| is_spared(&group.hierarchy, folder)),
                above: above.map(|path| path.to_string_lossy().into_owned()),
                has_subtree: folder.is_none_or(|folder| has_subtree(&group.hierarchy, &folder)),
                group,
            }
        });
        let limit = group.as_ref().and_then(|group| group.limit);
        Self { total: limit.unwrap_or_else(|| host.total()), group }
    }

    /// Whether the control group can still be read.
    pub(super) fn is_there(&self) -> bool {
        let folder = |it: &Limited| it.group.hierarchy.folder(&it.group.path);
        self.group.as_ref().is_none_or(|it| folder(it).is_some_and(|folder| folder.is_dir()))
    }

    /// Whether an OOM kill here may take a process with these groups; `None`: they could not be read, as it is gone.
    pub(super) fn holds(&self, groups: impl FnOnce() -> Option<Groups>) -> bool {
        self.group
            .as_ref()
            .is_none_or(|it| groups().is_some_and(|groups| it.group.holds(&groups, it.has_subtree)))
    }

    /// The group that dies as a whole with a victim in these groups (`memory.oom.group`).
    pub(super) fn dies_whole(&self, victim: &Groups) -> Option<String> {
        match &self.group {
            Some(it) if it.limit.is_some() => dies_whole(&it.group.hierarchy, &it.group.path, &victim.memory),
            // The whole host is out of memory, and any group on the way to the victim may say so.
            _ => MemoryGroup::hierarchies().find_map(|hierarchy| dies_whole(&hierarchy, "/", &victim.memory)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::kernel::hierarchies::{Controllers, Hierarchy};

    const HOST: Meminfo = Meminfo { memory: 1 << 30, swap: 0, available: 1 << 29 };

    /// A group /a with this limit and /a/b without one.
    fn domain(root: &Path, path: &str) -> Domain {
        for (folder, limit) in [("a", "65536"), ("a/b", "max"), ("a/d", "99999"), ("c", "max")] {
            let folder = root.join(folder);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("memory.max"), limit).unwrap();
            fs::write(folder.join("memory.current"), "1").unwrap();
        }
        let hierarchy =
            Hierarchy { controllers: Controllers::Two, root: "/".to_owned(), point: root.to_owned() };
        Domain::of(Some(MemoryGroup { path: path.to_owned(), hierarchy }), HOST)
    }

    #[test]
    fn a_group_with_a_limit_has_a_total_of_its_own() {
        let root = tempfile::tempdir().unwrap();
        let of = |path| {
            let domain = domain(root.path(), path);
            let group = domain.group.unwrap();
            (domain.total, group.limit, group.above)
        };
        assert_eq!(of("/a"), (65_536, Some(65_536), None));
        assert_eq!(of("/a/b"), (1 << 30, None, Some("/a".to_owned())));
        assert_eq!(of("/a/d"), (99_999, Some(99_999), Some("/a".to_owned())), "that limit comes first");
        assert_eq!(of("/c"), (1 << 30, None, None), "as an OOM of the host");
        assert!(domain(root.path(), "/c").is_there() && !domain(root.path(), "/gone").is_there());
        assert_eq!(Domain::of(None, HOST), Domain { total: 1 << 30, group: None });
    }

    #[test]
    fn who_is_gone_is_in_no_group() {
        let root = tempfile::tempdir().unwrap();
        let domain = domain(root.path(), "/a");
        let holds = |path: &str| domain.holds(|| Some(Groups::only(path.to_owned())));
        assert!(holds("/a") && holds("/a/b") && !holds("/c") && !domain.holds(|| None));
        assert!(Domain::of(None, HOST).holds(|| None), "nobody asks");
    }
}
