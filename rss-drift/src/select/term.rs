//! Control groups as they are asked for: by path, by unit of systemd, by container.

use std::{collections::BTreeSet, fs, path::Path, time::Instant};

use super::{
    Missing,
    container::{self, Names},
    missing::Rate,
    pattern::Pattern,
};
use crate::{
    kernel::hierarchies::{Controllers, Hierarchy},
    proc::{CgroupVersion, Groups, TaskFolder, processes},
    table::nearest,
};

/// What names a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `--cgroup`: the path of the group that limits memory, or of one above it.
    Path,
    /// `--unit`
    Unit,
    /// `--container`
    Container,
}

impl Kind {
    pub(super) const COUNT: usize = 3;
}

/// What the names of units end in that have a control group (systemd.unit(5)).
pub(super) const UNITS: [&str; 6] = [".service", ".scope", ".slice", ".socket", ".mount", ".swap"];

/// What the names of the other units end in, which have no processes, what they are called, and what those end in that start one which
/// has.
const WITHOUT_GROUP: [(&str, &str, Option<&str>); 5] = [
    (".timer", "timer", Some(".service")),
    (".path", "path unit", Some(".service")),
    (".automount", "automount unit", Some(".mount")),
    (".target", "target", None),
    (".device", "device unit", None),
];

/// A group that is asked for.
#[derive(Debug)]
pub(super) struct Term {
    pub(super) kind: Kind,
    pattern: Pattern,
    /// Whether a process of the last reading is in it.
    pub(super) seen: bool,
    /// Whether it was said that it is gone.
    pub(super) told: bool,
    /// How often that is said.
    rate: Rate,
    /// Who called a container so: then it is no beginning of an id.
    named_by: Vec<u32>,
}

impl Term {
    /// Of the text of `--cgroup`: a path as /proc/PID/cgroup prints it, or the folder of the group.
    ///
    /// # Errors
    /// Where the folder is of a hierarchy that does not limit memory.
    pub(super) fn path(text: &str, mounted: &[Hierarchy]) -> Result<Self, Missing> {
        // A path may be written in several ways; none of a control group is a link.
        let text = &plain(text);
        let folder = Path::new(text);
        let path = match mounted.iter().find_map(|hierarchy| Some((hierarchy, hierarchy.path(folder)?))) {
            Some((hierarchy, path)) if limits_memory()(hierarchy) => path,
            Some(_) => return Err(Missing::OtherHierarchy(text.to_owned())),
            // A star stands for the first slash too.
            None if text.starts_with('*') => text.trim_end_matches('/').to_owned(),
            None => format!("/{}", text.trim_matches('/')),
        };
        Ok(Self::of(Kind::Path, &path))
    }

    /// Of the text of `--unit`: a service where the name has no suffix of a unit, as systemctl(1) takes it.
    ///
    /// # Errors
    /// Where it is a unit of a kind that has no control group.
    pub(super) fn unit(text: &str) -> Result<Self, Missing> {
        let without = WITHOUT_GROUP.iter().find_map(|&of| Some((text.strip_suffix(of.0)?, of.1, of.2)));
        if let Some((stem, kind, starts)) = without {
            let starts = starts.map(|suffix| format!("{stem}{suffix}"));
            return Err(Missing::UnitWithoutGroup { name: text.to_owned(), kind, starts });
        }
        let is_whole = UNITS.iter().any(|suffix| text.ends_with(suffix));
        Ok(Self::of(Kind::Unit, &if is_whole { text.to_owned() } else { format!("{text}.service") }))
    }

    /// Of the text of `--container`.
    pub(super) fn container(text: &str) -> Self {
        Self::of(Kind::Container, text)
    }

    fn of(kind: Kind, text: &str) -> Self {
        // Only an empty text is no pattern, and that is the command line's to refuse.
        let pattern = Pattern::glob(text).unwrap_or_else(|_| Pattern::Exact(String::new()));
        Self { kind, pattern, seen: false, told: false, rate: Rate::new(), named_by: Vec::new() }
    }

    /// Whether it may be the name of a container and the beginning of another's id.
    pub(super) fn is_name_or_id(&self) -> bool {
        self.kind == Kind::Container && self.pattern.exact().is_some_and(container::may_be_name)
    }

    /// Learns whether it is the name of the container that these groups are of.
    pub(super) fn learn_names(&mut self, groups: &Groups, names: &mut Names) {
        for path in &groups.all {
            for id in container::ids(path) {
                let owners = names.named_by(id, path, &self.pattern);
                let new: Vec<u32> = owners.filter(|owner| !self.named_by.contains(owner)).collect();
                self.named_by.extend(new);
            }
        }
    }

    /// Its text, unless that is a pattern.
    pub(super) fn exact(&self) -> Option<&str> {
        self.pattern.exact()
    }

    /// As it was written.
    pub(super) fn written(&self) -> String {
        self.pattern.written()
    }

    /// Whether a process with these groups is meant.
    pub(super) fn matches(&self, groups: &Groups, names: &mut Names) -> bool {
        match self.kind {
            Kind::Path => self.is_above(&groups.memory),
            Kind::Unit => groups.all.iter().any(|path| self.is_in(path)),
            Kind::Container => {
                let mut is = |path: &str, id: &str| names.is(id, path, &self.pattern, &self.named_by);
                groups.all.iter().any(|path| container::ids(path).any(|id| is(path, id)))
            }
        }
    }

    /// Whether it is the group with this path, or one above it.
    fn is_above(&self, path: &str) -> bool {
        self.pattern.matches("/")
            || self.pattern.matches(path)
            || path.match_indices('/').skip(1).any(|(end, _)| self.pattern.matches(&path[..end]))
    }

    /// Whether a group of this path has its name.
    fn is_in(&self, path: &str) -> bool {
        // systemd puts a _ before names that could be those of the kernel's files, such as cpu.service (`cg_escape`).
        let fits = |group: &str| {
            self.pattern.matches(group)
                || group.strip_prefix('_').is_some_and(|escaped| self.pattern.matches(escaped))
        };
        path.split('/').any(fits)
    }

    /// Whether there is such a group, with processes or without.
    pub(super) fn is_there(&self, mounted: &[Hierarchy], names: &mut Names) -> bool {
        if let (Kind::Path, Some(path)) = (self.kind, self.pattern.exact()) {
            let limits_memory = limits_memory();
            let folders = mounted.iter().filter(|it| limits_memory(it)).filter_map(|it| it.folder(path));
            if folders.into_iter().any(|folder| folder.is_dir()) {
                return true;
            }
        } else {
            let mut found = false;
            self.walk(mounted, &mut |path| {
                found = self.matches(&Groups::only(path.to_owned()), names);
                found
            });
            if found {
                return true;
            }
        }
        // Of a group that is mounted nowhere here its processes tell.
        let pids = processes().unwrap_or_default();
        let mut groups = pids.into_iter().filter_map(|pid| TaskFolder::process(pid).groups());
        groups.any(|groups| self.matches(&groups, names))
    }

    /// Calls `is_enough` with the path of each group in which it may be, until that says so.
    pub(super) fn walk(&self, mounted: &[Hierarchy], is_enough: &mut dyn FnMut(&str) -> bool) {
        let limits_memory = limits_memory();
        let wanted = |hierarchy: &&Hierarchy| self.kind != Kind::Path || limits_memory(hierarchy);
        for hierarchy in mounted.iter().filter(wanted) {
            let mut folders = vec![hierarchy.point.clone()];
            while let Some(folder) = folders.pop() {
                if hierarchy.path(&folder).is_some_and(|path| is_enough(&path)) {
                    return;
                }
                let Ok(entries) = fs::read_dir(&folder) else { continue };
                let below = entries.flatten().filter(|it| it.file_type().is_ok_and(|kind| kind.is_dir()));
                folders.extend(below.map(|entry| entry.path()));
            }
        }
    }

    /// That it is not there, with the nearest that is.
    pub(super) fn missing(&self, mounted: &[Hierarchy], names: &mut Names) -> Missing {
        let mut valid = Vec::new();
        // A container has a group in each hierarchy.
        let mut ids = BTreeSet::new();
        self.walk(mounted, &mut |path| {
            match self.kind {
                Kind::Path => valid.push(path.to_owned()),
                Kind::Unit => {
                    let is_unit = |name: &&str| UNITS.iter().any(|suffix| name.ends_with(suffix));
                    valid.extend(path.rsplit('/').next().filter(is_unit).map(str::to_owned));
                }
                Kind::Container => ids.extend(container::ids(path).map(str::to_owned)),
            }
            false
        });
        let unnamed = ids.iter().filter(|id| names.of(id).is_empty()).count();
        valid.extend(ids.iter().flat_map(|id| names.of(id)));
        let written = self.pattern.written();
        let nearest = self.pattern.exact().and_then(|text| nearest(text, valid));
        match self.kind {
            Kind::Path if self.pattern.exact().is_some() => Missing::Group { path: written, nearest },
            Kind::Path => Missing::Groups(written),
            Kind::Unit => Missing::Unit { name: written, nearest },
            Kind::Container => Missing::Container { name: written, nearest, unnamed },
        }
    }

    /// Says that it is gone, which may be for a moment.
    pub(super) fn tell_gone(&mut self) {
        self.told = true;
        match self.rate.take(Instant::now()) {
            None => {}
            Some(0) => log::warn!("{}", self.gone()),
            Some(unsaid) => log::warn!("{} (and was {unsaid} times more since this was said)", self.gone()),
        }
    }

    fn gone(&self) -> String {
        let what = match self.kind {
            Kind::Path => "control group",
            Kind::Unit => "unit",
            Kind::Container => "container",
        };
        format!("the {what} '{}' is gone; it is selected again when it comes back", self.pattern.written())
    }
}

/// The same path without `//`, `.` and `..`.
fn plain(text: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let start = if text.starts_with('/') { "/" } else { "" };
    start.to_owned() + &parts.join("/")
}

/// Tells of a hierarchy whether its groups are those that rows show: of which version these are is read once.
pub(super) fn limits_memory() -> impl Fn(&Hierarchy) -> bool {
    let version = CgroupVersion::of_host();
    move |hierarchy| match version {
        Some(CgroupVersion::One) => hierarchy.has("memory"),
        _ => hierarchy.controllers == Controllers::Two,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "25 21 0:22 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";

    fn is(term: &Term, path: &str) -> bool {
        term.matches(&Groups::only(path.to_owned()), &mut Names::new("/nonexistent"))
    }

    #[test]
    fn a_path_is_its_subtree() {
        let path = |text: &str| Term::path(text, &[]).unwrap();
        for text in ["/a/b", "a/b", "/a/b/", "/a//b", "/a/./b", "/a/c/../b", "/../a/b"] {
            assert!(is(&path(text), "/a/b") && is(&path(text), "/a/b/c/d"), "{text}");
            assert!(
                !is(&path(text), "/a") && !is(&path(text), "/a/bc") && !is(&path(text), "/x/a/b"),
                "{text}"
            );
        }
        assert!(is(&path("/"), "/") && is(&path("/"), "/a/b"));
        assert!(
            is(&path("/a/*.service"), "/a/b.service") && is(&path("/a/*.service"), "/a/b.service/worker")
        );
        assert!(!is(&path("/a/*.service"), "/a/b.scope"));
        assert!(is(&path("/?/b"), "/a/b/c") && !is(&path("/?/b"), "/ab/b"));
        assert!(
            is(&path("*/b"), "/b")
                && is(&path("*/b"), "/a/b/c")
                && is(&path("*/b/"), "/a/b")
                && !is(&path("*/b"), "/ab")
        );
    }

    #[test]
    fn a_unit_is_a_group_of_its_name_anywhere() {
        let unit = |text: &str| Term::unit(text).unwrap();
        let path = "/user.slice/user-1000.slice/user@1000.service/app.slice/web@1.service/worker";
        assert!(is(&unit("cpu"), "/system.slice/_cpu.service"));
        for text in ["web@1.service", "web@1", "web@*", "app.slice", "user@1000", "w?b@?.service"] {
            assert!(is(&unit(text), path), "{text}");
        }
        for text in ["web", "web@1.scope", "app", "worker", "eb@1"] {
            assert!(!is(&unit(text), path), "{text}");
        }
        // Beside the hierarchy that limits memory.
        let all = ["/", "/system.slice/a.service"].map(str::to_owned).to_vec();
        let groups = Groups { memory: "/".to_owned(), all };
        assert!(unit("a").matches(&groups, &mut Names::new("/nonexistent")));
    }

    #[test]
    fn a_unit_of_any_kind_is_no_service_of_that_name() {
        for text in ["a.service", "a.scope", "a.slice", "a.socket", "a.mount", "a.swap"] {
            assert_eq!(Term::unit(text).unwrap().pattern.written(), text);
        }
        for (text, error) in [
            (
                "backup.timer",
                "'backup.timer' is a timer, which has no processes: name the unit that it starts (as a rule 'backup.service')",
            ),
            (
                "back*.path",
                "'back*.path' is a path unit, which has no processes: name the unit that it starts (as a rule 'back*.service')",
            ),
            (
                "home.automount",
                "'home.automount' is an automount unit, which has no processes: name the unit that it starts (as a rule 'home.mount')",
            ),
            ("graphical.target", "'graphical.target' is a target, which has no processes"),
        ] {
            assert_eq!(Term::unit(text).unwrap_err().to_string(), error);
        }
    }

    #[test]
    fn a_folder_is_the_path_of_its_group() {
        let mounted = Hierarchy::of(TWO);
        // Which hierarchy limits memory is this host's to say.
        match Term::path("/sys/fs/cgroup/a/", &mounted) {
            Ok(term) => assert!(is(&term, "/a/b") && !is(&term, "/sys/fs/cgroup/a")),
            Err(error) => assert!(matches!(error, Missing::OtherHierarchy(_)), "{error}"),
        }
        let cpu = Hierarchy::of("27 21 0:24 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n");
        let error = Term::path("/sys/fs/cgroup/cpu/a", &cpu).unwrap_err().to_string();
        assert!(error.contains("/sys/fs/cgroup/cpu/a") && error.contains("does not limit memory"), "{error}");
    }

    #[test]
    fn what_is_not_there_is_told_with_the_nearest() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["system.slice/nginx.service", "system.slice/cron.service/worker"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        let two = format!("25 21 0:22 / {} rw - cgroup2 cgroup2 rw\n", root.path().display());
        let one = format!("25 21 0:22 / {} rw - cgroup cgroup rw,memory\n", root.path().display());
        let mounts = if CgroupVersion::of_host() == Some(CgroupVersion::One) { one } else { two };
        let mounted = Hierarchy::of(&mounts);
        let names = &mut Names::new("/nonexistent");
        let path = |text: &str| Term::path(text, &mounted).unwrap();
        let unit = |text: &str| Term::unit(text).unwrap();
        for term in [unit("nginx"), unit("c*"), path("/system.slice"), path("/*/worker")] {
            assert!(term.is_there(&mounted, names), "{term:?}");
        }
        let folder = root.path().join("system.slice/cron.service");
        assert!(path(folder.to_str().unwrap()).is_there(&mounted, names));
        for (term, nearest) in [
            (
                unit("ngin"),
                "there is no unit 'ngin.service' with a control group: it does not run, or has another name (did you mean 'nginx.service'?)",
            ),
            (
                path("/system.slice/corn.service"),
                "there is no control group '/system.slice/corn.service' (did you mean '/system.slice/cron.service'?)",
            ),
            (path("/live-*/nothing"), "no control group fits '/live-*/nothing'"),
        ] {
            assert!(!term.is_there(&mounted, names), "{term:?}");
            assert_eq!(term.missing(&mounted, names).to_string(), nearest);
        }
        fs::create_dir_all(root.path().join(format!("docker-{}.scope/inner", "ab".repeat(32)))).unwrap();
        let error = Term::container("web").missing(&[&mounted[..], &mounted].concat(), names).to_string();
        assert!(
            error.contains("'web'") && error.contains("; no file has the names of 1 that run"),
            "{error}"
        );
        let error = Term::container("abc").missing(&mounted, names).to_string();
        assert!(error.contains("'abc'") && error.contains("at least 4 digits"), "{error}");
    }
}
