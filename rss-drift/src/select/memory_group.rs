//! The one control group that is out of memory: an OOM kill chooses among the processes of a single group.

use super::{
    Criteria, Missing, Names,
    term::{Kind, Term, limits_memory},
};
use crate::{kernel::hierarchies::Hierarchy, proc::Groups};

/// A group that can limit memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MemoryGroup {
    /// Its path, as /proc/PID/cgroup prints it.
    pub path: String,
    pub hierarchy: Hierarchy,
}

impl MemoryGroup {
    /// That of `--cgroup`, `--unit` or `--container`, of whose values the first is taken; `None` without any.
    ///
    /// # Errors
    /// Where it is not there, or has no group in the hierarchy that limits memory, or several groups fit.
    pub(crate) fn of(criteria: &Criteria) -> Result<Option<Self>, Missing> {
        Self::among(criteria, Hierarchy::mounted(), &mut Names::new("/"))
    }

    fn among(
        criteria: &Criteria,
        mounted: Vec<Hierarchy>,
        names: &mut Names,
    ) -> Result<Option<Self>, Missing> {
        let path = criteria.cgroups.first().map(|text| Term::path(text, &mounted));
        let unit = criteria.units.first().map(|text| Term::unit(text));
        let container = criteria.containers.first().map(|text| Ok(Term::container(text)));
        let Some(term) = path.or(unit).or(container) else { return Ok(None) };
        let mut term = term?;
        if !term.is_there(&mounted, names) {
            return Err(term.missing(&mounted, names));
        }
        let mut found = Vec::new();
        for hierarchy in mounted.into_iter().filter(limits_memory()) {
            let paths = topmost(&mut term, &hierarchy, names);
            found.extend(paths.into_iter().map(|path| Self { path, hierarchy: hierarchy.clone() }));
        }
        // One hierarchy may be mounted in several places.
        found.dedup_by(|one, other| one.path == other.path);
        let name = term.written();
        match (found.pop(), found.is_empty()) {
            (Some(group), true) => Ok(Some(group)),
            (None, _) => Err(Missing::NoMemoryGroup(name)),
            (Some(last), false) => {
                let paths = found.into_iter().chain([last]).map(|group| group.path).collect();
                Err(Missing::SeveralGroups { name, paths })
            }
        }
    }

    /// The mounted hierarchies that limit memory.
    pub(crate) fn hierarchies() -> impl Iterator<Item = Hierarchy> {
        Hierarchy::mounted().into_iter().filter(limits_memory())
    }

    /// Whether a process with these groups is in it, or where that `has_subtree` below it.
    pub(crate) fn holds(&self, groups: &Groups, has_subtree: bool) -> bool {
        let below = || groups.memory.strip_prefix(self.path.trim_end_matches('/'));
        groups.memory == self.path || has_subtree && below().is_some_and(|rest| rest.starts_with('/'))
    }
}

/// The paths of the groups that are meant, without those below another of them.
fn topmost(term: &mut Term, hierarchy: &Hierarchy, names: &mut Names) -> Vec<String> {
    let only = std::slice::from_ref(hierarchy);
    if term.kind == Kind::Path
        && let Some(path) = term.exact()
    {
        let is_there = hierarchy.folder(path).is_some_and(|folder| folder.is_dir());
        return if is_there { vec![path.to_owned()] } else { Vec::new() };
    }
    let mut all = Vec::new();
    term.walk(only, &mut |path| {
        all.push(Groups::only(path.to_owned()));
        false
    });
    if term.is_name_or_id() {
        for groups in &all {
            term.learn_names(groups, names);
        }
    }
    let mut paths: Vec<String> =
        all.into_iter().filter(|groups| term.matches(groups, names)).map(|groups| groups.memory).collect();
    // By the order of folders, in which a group is right before what is below it.
    paths.sort_by(|one, other| one.split('/').cmp(other.split('/')));
    let mut top: Vec<String> = Vec::new();
    for path in paths {
        let is_below = |above: &String| {
            path.strip_prefix(above.trim_end_matches('/')).is_some_and(|rest| rest.starts_with('/'))
        };
        if !top.last().is_some_and(is_below) {
            top.push(path);
        }
    }
    top
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::proc::CgroupVersion;

    fn group(path: &str) -> MemoryGroup {
        let mounted = Hierarchy::of("25 21 0:22 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
        MemoryGroup { path: path.to_owned(), hierarchy: mounted[0].clone() }
    }

    #[test]
    fn a_group_holds_its_subtree() {
        let holds = |group: &MemoryGroup, path: &str| group.holds(&Groups::only(path.to_owned()), true);
        let a = group("/a");
        assert!(holds(&a, "/a") && holds(&a, "/a/b") && !holds(&a, "/ab") && !holds(&a, "/"));
        assert!(holds(&group("/"), "/") && holds(&group("/"), "/a"));
        assert!(!a.holds(&Groups::only("/a/b".to_owned()), false));
    }

    #[test]
    fn one_group_is_found_and_several_are_told() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["s/web.service/worker", "s/db.service", "t/db.service", "s/a*b"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        let kind = if CgroupVersion::of_host() == Some(CgroupVersion::One) {
            "cgroup cgroup rw,memory"
        } else {
            "cgroup2 cgroup2 rw"
        };
        let line = format!("25 21 0:22 / {} rw - {kind}\n", root.path().display());
        let find = |criteria: &Criteria| {
            let found = MemoryGroup::among(criteria, Hierarchy::of(&line), &mut Names::new("/nonexistent"));
            found.map(|group| group.map(|group| group.path)).map_err(|error| error.to_string())
        };
        let unit = |name: &str| Criteria { units: vec![name.to_owned()], ..Criteria::default() };
        let path = |name: &str| Criteria { cgroups: vec![name.to_owned()], ..Criteria::default() };
        assert_eq!(find(&Criteria::default()), Ok(None));
        assert_eq!(find(&unit("web")), Ok(Some("/s/web.service".to_owned())), "with what is below it");
        assert_eq!(find(&path("s/web.service/")), Ok(Some("/s/web.service".to_owned())));
        assert_eq!(find(&path("/")), Ok(Some("/".to_owned())));
        assert_eq!(find(&path("*/worker")), Ok(Some("/s/web.service/worker".to_owned())));
        assert_eq!(
            find(&unit("db")).unwrap_err(),
            "several control groups fit 'db.service', and an OOM is of one: name it by --cgroup: /s/db.service, /t/db.service"
        );
        assert!(find(&unit("wob")).unwrap_err().contains("did you mean 'web.service'?"));
        assert!(find(&path("/s/web.servic")).unwrap_err().contains("did you mean '/s/web.service'?"));
    }
}
