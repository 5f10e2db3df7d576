//! Paths of control groups: the unit or container that a process is in, and exact RSS by path.

use std::collections::{HashMap, HashSet};

use super::super::term::UNITS;
use crate::{
    probe::{Mm, Snapshot},
    proc::Groups,
};

/// A path and all above it, the root last.
fn upwards(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path).filter(|path| path.starts_with('/')), |&path| above(path))
}

/// The path above one.
fn above(path: &str) -> Option<&str> {
    match path.rfind('/')? {
        0 if path.len() == 1 => None,
        0 => Some("/"),
        end => Some(&path[..end]),
    }
}

/// The innermost group whose name says something, with its path: on the path of the hierarchy that limits memory, else of another.
pub(super) fn innermost<'a, T>(
    groups: &'a Groups,
    says: impl Fn(&'a str) -> Option<T>,
) -> Option<(&'a str, T)> {
    let mut paths = [&groups.memory].into_iter().chain(&groups.all);
    paths.find_map(|path| {
        upwards(path).find_map(|path| Some((path, says(path.rsplit('/').next().unwrap_or(path))?)))
    })
}

/// The unit that a process is in: the innermost that is no slice, else the innermost slice.
pub(super) fn unit(groups: &Groups) -> Option<(&str, &str)> {
    const SLICE: &str = ".slice";
    let is_slice = |name: &&str| name.ends_with(SLICE);
    innermost(groups, |group| unit_name(group).filter(|name| !is_slice(name)))
        .or_else(|| innermost(groups, |group| unit_name(group).filter(is_slice)))
}

/// The unit that has a group of this name.
fn unit_name(group: &str) -> Option<&str> {
    // systemd puts a _ before names that could be those of the kernel's files, such as cpu.service (`cg_escape`).
    let name = group.strip_prefix('_').unwrap_or(group);
    UNITS.iter().any(|suffix| name.len() > suffix.len() && name.ends_with(suffix)).then_some(name)
}

/// Exact RSS by control group, in pages. Each mm counts once.
#[derive(Debug, Default)]
pub(super) struct Exact {
    groups: HashMap<String, Pages>,
    shared: HashSet<u64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Pages {
    own: i64,
    with_below: i64,
}

impl Exact {
    /// Counts a process in the group with this path.
    pub(super) fn count(&mut self, path: &str, mm: &Mm, snapshot: &Snapshot) {
        let counts = !snapshot.is_shared(mm) || self.shared.insert(mm.mm);
        let exact = if counts { mm.exact_rss() } else { 0 };
        // A group outside of our cgroup namespace is below none of it.
        let is_outside = path.split('/').any(|part| part == "..");
        let depth = if is_outside { 1 } else { usize::MAX };
        for (place, path) in upwards(path).take(depth).enumerate() {
            let group = match self.groups.get_mut(path) {
                Some(group) => group,
                None => self.groups.entry(path.to_owned()).or_default(),
            };
            group.with_below = group.with_below.saturating_add(exact);
            if place == 0 {
                group.own = group.own.saturating_add(exact);
            }
        }
    }

    /// Whether a process is in this group or below it.
    pub(super) fn knows(&self, path: &str) -> bool {
        self.groups.contains_key(path)
    }

    /// Exact RSS in this group, or also in those below it.
    pub(super) fn of(&self, path: &str, with_below: bool) -> i64 {
        let group = self.groups.get(path).copied().unwrap_or_default();
        if with_below { group.with_below } else { group.own }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn groups(memory: &str, others: &[&str]) -> Groups {
        let all = [memory].iter().chain(others).map(|&path| path.to_owned()).collect();
        Groups { memory: memory.to_owned(), all }
    }

    #[test]
    fn a_path_and_all_above_it() {
        assert_eq!(upwards("/a/b").collect::<Vec<_>>(), ["/a/b", "/a", "/"]);
        assert_eq!(upwards("/").collect::<Vec<_>>(), ["/"]);
        assert_eq!(upwards("").count(), 0);
    }

    #[test]
    fn the_unit_of_a_process() {
        for (path, right) in [
            ("/system.slice/nginx.service", Some(("/system.slice/nginx.service", "nginx.service"))),
            ("/system.slice/_cpu.service/x", Some(("/system.slice/_cpu.service", "cpu.service"))),
            (
                "/user.slice/user-1.slice/user@1.service/app.slice/web.service/a",
                Some(("/user.slice/user-1.slice/user@1.service/app.slice/web.service", "web.service")),
            ),
            (
                "/user.slice/user-1.slice/session-2.scope",
                Some(("/user.slice/user-1.slice/session-2.scope", "session-2.scope")),
            ),
            ("/a.slice/b", Some(("/a.slice", "a.slice"))),
            ("/", None),
            ("/box/.service", None),
            ("/docker/x", None),
        ] {
            assert_eq!(unit(&groups(path, &[])), right, "{path}");
        }
        // Version 1 without a controller of memory for units, and with one for slices only.
        for memory in ["/", "/system.slice"] {
            let groups = groups(memory, &["/system.slice/a.service"]);
            assert_eq!(unit(&groups), Some(("/system.slice/a.service", "a.service")), "{memory}");
        }
    }

    #[test]
    fn groups_above_have_what_is_below() {
        let mm = |tgid, address, exact| Mm {
            tgid,
            mm: address,
            count: [0, exact, 0, 0],
            ..bytemuck::Zeroable::zeroed()
        };
        let mms = [mm(1, 1, 10), mm(2, 2, 20), mm(3, 2, 20), mm(4, 4, 40), mm(5, 5, 80)];
        let snapshot = Snapshot::without_shadow(SystemTime::UNIX_EPOCH, mms.to_vec());
        let mut exact = Exact::default();
        for (mm, path) in mms.iter().zip(["/a", "/a/b", "/c", "/a/b/d", "/../x"]) {
            exact.count(path, mm, &snapshot);
        }
        let both = |path| (exact.of(path, false), exact.of(path, true));
        assert_eq!(both("/"), (0, 70));
        assert_eq!(both("/a"), (10, 70));
        assert_eq!(both("/a/b"), (20, 60));
        assert_eq!(both("/c"), (0, 0), "its memory counts where the lowest pid is");
        assert_eq!(both("/../x"), (80, 80));
        assert!(exact.knows("/c") && !exact.knows("/d") && !exact.knows("/.."));
    }
}
