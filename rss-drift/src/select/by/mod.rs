//! Which group each process is in (`--by`): a name, a control group, a unit, a container, a user, the host.
//!
//! What that takes of /proc is read anew in each reading, as a selection does: processes change their user and their group.

mod paths;

use std::{collections::HashMap, mem};

use nix::unistd::Uid;

use super::{
    container::{self, Names},
    groups::GroupPaths,
    term::limits_memory,
};
use crate::{
    drift::{
        by::By,
        collect::{comm, folder},
        groups::{Aggregate, GroupName},
    },
    kernel::{
        charge::{Charge, Limits},
        hierarchies::Hierarchy,
    },
    probe::{Mm, Snapshot},
    proc::{CgroupVersion, Groups, accounts},
};
use paths::{Exact, innermost, unit};

/// What tells groups apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Text(String),
    /// Two numbers may have one name.
    User(u32),
    /// That cannot be told of a process.
    Unknown,
}

/// The processes of a reading by groups.
#[derive(Debug, Default)]
pub(crate) struct Placed {
    pub names: Vec<GroupName>,
    /// Each selected process, by rising pid, and the place of its group among the names.
    pub places: Vec<(u32, usize)>,
    /// Exact RSS by control group, of all processes of the host.
    exact: Exact,
}

impl Placed {
    /// The group that a process is in.
    pub(crate) fn place(&self, pid: u32) -> Option<usize> {
        let at = self.places.binary_search_by_key(&pid, |&(pid, _)| pid).ok()?;
        Some(self.places[at].1)
    }
}

/// Finds the groups of processes.
#[derive(Debug)]
pub(crate) struct Grouper {
    by: By,
    paths: GroupPaths,
    containers: Names,
    /// Names of users, and whether a process of this reading is theirs.
    users: HashMap<u32, (String, bool)>,
}

impl Grouper {
    pub(crate) fn new(by: By) -> Self {
        Self { by, paths: GroupPaths::default(), containers: Names::new("/"), users: HashMap::new() }
    }

    /// Groups the selected processes of a reading. `None` where that is given up between two of them.
    pub(crate) fn place(
        &mut self,
        snapshot: &Snapshot,
        version: Option<CgroupVersion>,
        hostname: &str,
        selects: &dyn Fn(&Mm) -> bool,
        give_up: &dyn Fn() -> bool,
    ) -> Option<Placed> {
        if self.by.is_control_group() {
            self.paths.begin(version, snapshot);
        }
        self.containers.begin();
        self.users.retain(|_, (_, used)| mem::take(used));
        let mut placed = Placed::default();
        let mut known: HashMap<Key, usize> = HashMap::new();
        for mm in snapshot.processes() {
            let selected = selects(mm);
            // A control group is charged for processes that are not selected too.
            if !selected && !self.by.is_control_group() {
                continue;
            }
            if give_up() {
                return None;
            }
            let groups = if self.by.is_control_group() { self.paths.of(mm) } else { None };
            if let Some(groups) = &groups {
                placed.exact.count(&groups.memory, mm, snapshot);
            }
            if !selected {
                continue;
            }
            let (key, name) = self.group(mm, groups.as_ref(), hostname);
            let place = *known.entry(key).or_insert_with(|| {
                placed.names.push(name);
                placed.names.len() - 1
            });
            placed.places.push((mm.tgid, place));
        }
        Some(placed)
    }

    /// The group of a process.
    fn group(&mut self, mm: &Mm, groups: Option<&Groups>, hostname: &str) -> (Key, GroupName) {
        let by = self.by;
        let named = |text: String| GroupName { text: Some(text), ..GroupName::unknown(by) };
        let found = match self.by {
            By::Comm => Some((Key::Text(comm(mm)), named(comm(mm)))),
            By::Host => Some((Key::Text(String::new()), named(hostname.to_owned()))),
            By::User => folder(mm)
                .user()
                .map(|uid| (Key::User(uid), GroupName { uid: Some(uid), ..named(self.user(uid)) })),
            By::Cgroup => {
                groups.map(|groups| (groups.memory.clone(), groups.memory.clone(), None)).map(in_group(by))
            }
            By::Unit => {
                let found = groups.and_then(unit);
                found.map(|(path, name)| (path.to_owned(), name.to_owned(), None)).map(in_group(by))
            }
            By::Container => groups.and_then(|groups| innermost(groups, container::id)).map(|(path, id)| {
                let name = self.containers.name(id, path);
                in_group(by)((path.to_owned(), id.to_owned(), name))
            }),
        };
        found.unwrap_or_else(|| (Key::Unknown, GroupName::unknown(by)))
    }

    /// What a user is called: by the number where no account has it.
    fn user(&mut self, uid: u32) -> String {
        let first = || {
            let account = accounts::by_uid(Uid::from_raw(uid)).ok().flatten();
            let name = account.map(|account| account.name.to_string_lossy().into_owned());
            (name.unwrap_or_else(|| uid.to_string()), true)
        };
        let (name, used) = self.users.entry(uid).or_insert_with(first);
        *used = true;
        name.clone()
    }
}

/// A group whose key is its path: a name alone may be that of groups of two users.
fn in_group(by: By) -> impl Fn((String, String, Option<String>)) -> (Key, GroupName) {
    move |(path, text, container)| {
        let name = GroupName { by, text: Some(text), container, uid: None, cgroup: Some(path.clone()) };
        (Key::Text(path), name)
    }
}

/// What control groups say of themselves.
pub(crate) fn charge(groups: &mut [Aggregate], placed: &Placed) {
    let has_paths = groups.iter().any(|group| group.name.cgroup.is_some());
    let mounted = if has_paths { Hierarchy::mounted() } else { Vec::new() };
    let mounted: Vec<_> = mounted.into_iter().filter(limits_memory()).collect();
    let mut known = Limits::new();
    for group in groups {
        // A unit may have a group in systemd's own hierarchy only: who limits memory knows no such path.
        let Some(path) = group.name.cgroup.as_deref().filter(|path| placed.exact.knows(path)) else {
            continue;
        };
        group.charge = mounted.iter().find_map(|hierarchy| {
            let mut charge = Charge::of(hierarchy, path)?;
            charge.look_above(hierarchy, path, &mut known);
            Some(charge)
        });
        group.charged_exact = group.charge.as_ref().map(|charge| placed.exact.of(path, charge.of_subtree));
    }
}

#[cfg(test)]
mod tests {
    use std::{
        process::{Command, id},
        time::SystemTime,
    };

    use super::*;
    use crate::{
        drift::{fixture, groups::sum},
        proc::TaskFolder,
    };

    fn mm(tgid: u32, name: &str) -> Mm {
        let mut comm = [0; 16];
        comm[..name.len()].copy_from_slice(name.as_bytes());
        Mm { tgid, mm: u64::from(tgid), comm, count: [0, 5, 0, 0], ..bytemuck::Zeroable::zeroed() }
    }

    fn placed(by: By, mms: &[Mm], selects: &dyn Fn(&Mm) -> bool) -> Placed {
        let snapshot = Snapshot::without_shadow(SystemTime::UNIX_EPOCH, mms.to_vec());
        Grouper::new(by).place(&snapshot, None, "box", selects, &|| false).expect("nobody gives up")
    }

    fn texts(placed: &Placed) -> Vec<&str> {
        placed.names.iter().map(GroupName::text).collect()
    }

    #[test]
    fn names_and_the_host() {
        let mms = [mm(1, "web"), mm(2, "db"), mm(3, "web"), mm(4, "")];
        let by_name = placed(By::Comm, &mms, &|mm| mm.tgid != 2);
        assert_eq!(texts(&by_name), ["web", ""]);
        assert_eq!(by_name.places, [(1, 0), (3, 0), (4, 1)]);
        assert_eq!((by_name.place(3), by_name.place(2)), (Some(0), None));
        let host = placed(By::Host, &mms, &|_| true);
        assert_eq!((texts(&host), host.places.len()), (vec!["box"], 4));
    }

    #[test]
    fn what_cannot_be_told_is_a_group_of_its_own() {
        // No process has this number, so no file says anything of it.
        let mms = [mm(id(), "x"), mm(u32::MAX, "gone")];
        let user = TaskFolder::process(id()).user();
        let users = placed(By::User, &mms, &|_| true);
        assert_eq!(users.names[0].uid, user);
        for by in [By::User, By::Cgroup, By::Unit, By::Container] {
            let found = placed(by, &mms, &|_| true);
            let last = &found.names[found.place(u32::MAX).unwrap()];
            assert_eq!((last.text(), &last.text, &last.cgroup), ("-", &None, &None), "{by:?}");
        }
    }

    #[test]
    fn a_group_is_charged_for_those_that_are_not_selected_too() {
        let Some(own) = TaskFolder::process(id()).groups() else { return };
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let mms = [mm(child.id(), "sleep"), mm(id(), "x")];
        let found = placed(By::Cgroup, &mms, &|mm| mm.tgid == id());
        let path = own.memory.as_str();
        assert_eq!((texts(&found), found.names[0].cgroup.as_deref()), (vec![path], Some(path)));
        assert_eq!(found.exact.of(path, false), 10, "5 pages each");
        let snapshot = Snapshot::without_shadow(SystemTime::UNIX_EPOCH, mms.to_vec());
        let mut groups = sum(&snapshot, &found.places, found.names.clone(), &fixture::rules());
        charge(&mut groups, &found);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!((groups[0].processes, groups[0].exact_rss()), (1, 5));
        // Without the memory controller, and in its root of version 2, nothing says so.
        assert_eq!(groups[0].charged_exact, groups[0].charge.as_ref().map(|_| 10));
    }

    #[test]
    fn units_and_containers_are_those_of_the_path() {
        let id = "5e1ec7ed".repeat(8);
        let of = |by, path: &str| {
            let groups = Groups::only(path.to_owned());
            Grouper::new(by).group(&mm(1, "x"), Some(&groups), "box")
        };
        let path = format!("/machine.slice/libpod-{id}.scope/container");
        let (key, name) = of(By::Container, &path);
        let group = path.trim_end_matches("/container");
        assert_eq!(key, Key::Text(group.to_owned()));
        assert_eq!((name.text(), name.cgroup.as_deref()), (id.as_str(), Some(group)));
        assert_eq!(of(By::Unit, &path).1.text(), format!("libpod-{id}.scope"));
        // Another user may give a group the same name.
        let theirs = of(By::Container, &format!("/user.slice/docker-{id}.scope"));
        assert_ne!(theirs.0, key);
        assert_eq!(of(By::Container, "/system.slice/a.service").0, Key::Unknown);
        assert_eq!(of(By::Unit, "/").0, Key::Unknown);
    }

    #[test]
    fn giving_up_gives_nothing() {
        let snapshot = Snapshot::without_shadow(SystemTime::UNIX_EPOCH, vec![mm(1, "x")]);
        let mut grouper = Grouper::new(By::Comm);
        assert!(grouper.place(&snapshot, None, "box", &|_| true, &|| true).is_none());
    }
}
