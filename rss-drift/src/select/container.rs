//! Containers: their ids are in the paths of control groups, their names in files of the programs that run them.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::Read as _,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::pattern::Pattern;

/// Digits of an id.
const ID: usize = 64;
/// The fewest digits that are taken for the beginning of an id: shorter names of hexadecimal digits are common (`db`, `fe`).
const SHORTEST: usize = 4;

/// A file of a host with thousands of containers is smaller.
const MOST_BYTES: u64 = 16 << 20;

/// Where Kubernetes and nerdctl put the name of a container into its OCI specification.
const NAMES: [&str; 3] = ["io.kubernetes.cri.container-name", "io.kubernetes.container.name", "nerdctl/name"];

/// The ids of the containers that a group is of or within: docker, podman, containerd and CRI-O name a group `ID`, `PROGRAM-ID` or
/// `PROGRAM-ID.scope`.
pub(super) fn ids(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(id)
}

/// The id of the container that a group of this name is of.
pub(super) fn id(group: &str) -> Option<&str> {
    let group = group.strip_suffix(".scope").unwrap_or(group);
    let (program, id) = group.rsplit_once('-').unwrap_or(("", group));
    // conmon watches a container from outside.
    let is_id = id.len() == ID && id.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    (is_id && !program.ends_with("conmon")).then_some(id)
}

/// Whether an id may begin so.
pub(super) fn is_beginning(text: &str) -> bool {
    (SHORTEST..=ID).contains(&text.len()) && text.bytes().all(|digit| digit.is_ascii_hexdigit())
}

/// Whether an id may begin so, and a name may be so too: a name that is there is meant then.
pub(super) fn may_be_name(text: &str) -> bool {
    is_beginning(text) && text.len() < ID
}

/// The names of containers by their ids.
#[derive(Debug)]
pub(super) struct Names {
    /// `/`, but in tests.
    root: PathBuf,
    /// The folders with names at this reading; `None`: not looked for yet.
    folders: Option<Folders>,
    known: HashMap<String, Known>,
}

/// A name, and who wrote it: users have files of their own containers, and could name those of others there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Name {
    text: String,
    owner: u32,
}

/// Whether this user may name the container whose group has this path: root, and each user in the slice that is the user's.
fn holds_for(owner: u32, path: &str) -> bool {
    let slice = format!("user-{owner}.slice");
    owner == 0 || path.split('/').any(|group| group == slice)
}

/// What is known of a container.
#[derive(Debug, Default)]
struct Known {
    files: Vec<Read>,
    /// Whether it was looked in this reading whether the files have changed.
    checked: bool,
    /// Whether a process of this reading is in it.
    used: bool,
}

/// A file that may have its name, as it was read last. One that cannot be read any more named it so while its processes ran.
#[derive(Debug)]
struct Read {
    path: PathBuf,
    stamp: Option<Stamp>,
    names: Vec<Name>,
}

/// By which a file that was written anew is told: inode, size and the time of its last change.
type Stamp = (u64, u64, i64, i64);

impl Names {
    pub(super) fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), folders: None, known: HashMap::new() }
    }

    /// A reading begins. Containers that no process of the last one was in are forgotten.
    pub(super) fn begin(&mut self) {
        self.folders = None;
        self.known.retain(|_, known| std::mem::take(&mut known.used));
        self.known.values_mut().for_each(|known| known.checked = false);
    }

    /// Whether this container, in the group with this path, is asked for: by its name, or by the beginning of its id. That is not meant
    /// where one of these users has a container of that name.
    pub(super) fn is(&mut self, id: &str, path: &str, asked: &Pattern, named_by: &[u32]) -> bool {
        let begins = asked.exact().filter(|text| is_beginning(text)).map(str::to_ascii_lowercase);
        let is_meant =
            |text: &String| text.len() == ID || !named_by.iter().any(|&owner| holds_for(owner, path));
        begins.filter(is_meant).is_some_and(|beginning| id.starts_with(&beginning))
            || self.named_by(id, path, asked).next().is_some()
    }

    /// Who gave the container in the group with this path a name that is asked for.
    pub(super) fn named_by(&mut self, id: &str, path: &str, asked: &Pattern) -> impl Iterator<Item = u32> {
        let is_asked = |name: &&Name| asked.matches(&name.text) && holds_for(name.owner, path);
        self.known(id).filter(is_asked).map(|name| name.owner)
    }

    /// What the container with this id, in the group with this path, is called; `None` where no file has a name for it.
    pub(super) fn name(&mut self, id: &str, path: &str) -> Option<String> {
        self.known(id).find(|name| holds_for(name.owner, path)).map(|name| name.text.clone())
    }

    /// The names that root gave a container; none where no file of root's has it.
    pub(super) fn of(&mut self, id: &str) -> Vec<String> {
        self.known(id).filter(|name| name.owner == 0).map(|name| name.text.clone()).collect()
    }

    fn known(&mut self, id: &str) -> impl Iterator<Item = &Name> {
        let folders = self.folders.get_or_insert_with(|| Folders::of(&self.root));
        let known = self.known.entry(id.to_owned()).or_default();
        known.used = true;
        if !std::mem::replace(&mut known.checked, true) {
            let mut before = std::mem::take(&mut known.files);
            for (path, kind) in folders.files(id) {
                let read = before.iter().position(|read| read.path == path);
                let mut read = read.map_or_else(
                    || Read { path, stamp: None, names: Vec::new() },
                    |at| before.swap_remove(at),
                );
                read.again(kind, id);
                known.files.push(read);
            }
            // In a folder that is gone.
            known.files.append(&mut before);
        }
        known.files.iter().flat_map(|read| &read.names)
    }
}

impl Read {
    /// Reads it where it has changed.
    fn again(&mut self, kind: Kind, id: &str) {
        let stamp = fs::symlink_metadata(&self.path).ok().map(|found| {
            let (seconds, nanoseconds) = (found.ctime(), found.ctime_nsec());
            (found.ino(), found.size(), seconds, nanoseconds)
        });
        if stamp.is_none() || stamp == self.stamp {
            return;
        }
        if let Some((content, owner)) = json(&self.path) {
            self.stamp = stamp;
            // A name that nobody could tell from none is none.
            let names = kind.names(&content, id).filter(|text| !matches!(*text, "" | "-"));
            self.names = names.map(|text| Name { text: text.to_owned(), owner }).collect();
        }
    }
}

/// What a file with names is.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Of docker: a container.
    Docker,
    /// An OCI specification.
    Specification,
    /// Of containers/storage: a list of containers.
    List,
}

impl Kind {
    /// The names of a container in such a file.
    fn names<'a>(self, content: &'a Value, id: &'a str) -> Box<dyn Iterator<Item = &'a str> + 'a> {
        match self {
            Self::Docker => {
                Box::new(content["Name"].as_str().map(|name| name.trim_start_matches('/')).into_iter())
            }
            Self::Specification => {
                Box::new(NAMES.iter().filter_map(|&key| content["annotations"][key].as_str()))
            }
            Self::List => {
                let all = content.as_array().into_iter().flatten();
                let of_it = all.filter(move |container| container["id"].as_str() == Some(id));
                let names = of_it.filter_map(|container| container["names"].as_array()).flatten();
                Box::new(names.filter_map(Value::as_str))
            }
        }
    }
}

/// The folders below a root in which files name containers.
#[derive(Debug)]
struct Folders {
    docker: PathBuf,
    /// containerd's, one for each of its namespaces.
    tasks: Vec<PathBuf>,
    stores: Vec<PathBuf>,
}

impl Folders {
    fn of(root: &Path) -> Self {
        Self {
            docker: root.join("var/lib/docker/containers"),
            tasks: folders(&root.join("run/containerd/io.containerd.runtime.v2.task")),
            stores: stores(root),
        }
    }

    /// The files that may have the name of a container.
    fn files(&self, id: &str) -> Vec<(PathBuf, Kind)> {
        let mut files = vec![(self.docker.join(id).join("config.v2.json"), Kind::Docker)];
        let of_task = |folder: &PathBuf| (folder.join(id).join("config.json"), Kind::Specification);
        files.extend(self.tasks.iter().map(of_task));
        for store in &self.stores {
            files.extend(
                ["containers.json", "volatile-containers.json"].map(|file| (store.join(file), Kind::List)),
            );
            files.push((store.join(id).join("userdata/config.json"), Kind::Specification));
        }
        files
    }
}

/// The folders in which podman and CRI-O keep what they know of containers (containers/storage): root's and, below each home, those of
/// users. One for each storage driver.
fn stores(root: &Path) -> Vec<PathBuf> {
    let homes = folders(&root.join("home"));
    let of_users = homes
        .iter()
        .chain([&root.join("root")])
        .map(|home| home.join(".local/share/containers/storage"))
        .collect::<Vec<_>>();
    let running = folders(&root.join("run/user")).into_iter().map(|user| user.join("containers"));
    let of_root = ["var/lib/containers/storage", "run/containers/storage"].map(|path| root.join(path));
    let all = of_root.into_iter().chain(of_users).chain(running);
    let is_store = |path: &PathBuf| path.to_string_lossy().ends_with("-containers");
    all.flat_map(|storage| folders(&storage)).filter(is_store).collect()
}

/// What a file says, and whose it is. Users may have put anything in its place: a pipe that nobody writes to, an endless device, a link.
fn json(file: &Path) -> Option<(Value, u32)> {
    let file =
        File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW).open(file).ok()?;
    let metadata = file.metadata().ok()?;
    if !metadata.is_file() || metadata.len() > MOST_BYTES {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(MOST_BYTES).read_to_end(&mut bytes).ok()?;
    Some((serde_json::from_slice(&bytes).ok()?, metadata.uid()))
}

fn folders(of: &Path) -> Vec<PathBuf> {
    fs::read_dir(of).map(|entries| entries.flatten().map(|entry| entry.path()).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "abcd56789012345678901234567890123456789012345678901234567890abcd";
    const B: &str = "bbbb56789012345678901234567890123456789012345678901234567890bbbb";

    #[test]
    fn ids_in_the_paths_of_each_program() {
        for path in [
            format!("/docker/{A}"),
            format!("/system.slice/docker-{A}.scope/init.scope"),
            format!("/machine.slice/libpod-{A}.scope/container"),
            format!("/libpod_parent/libpod-{A}"),
            format!(
                "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1_2.slice/cri-containerd-{A}.scope"
            ),
            format!("/kubepods/burstable/pod2a/{A}"),
            format!("/kubepods.slice/crio-{A}.scope"),
            format!("/system.slice/nerdctl-{A}.scope"),
        ] {
            assert_eq!(ids(&path).collect::<Vec<_>>(), [A], "{path}");
        }
        for path in [
            format!("/machine.slice/libpod-conmon-{A}.scope"),
            format!("/crio-conmon-{A}.scope"),
            format!("/x{A}"),
        ] {
            assert_eq!(ids(&path).count(), 0, "{path}");
        }
        assert_eq!(ids(&format!("/docker/{A}/docker/{B}")).collect::<Vec<_>>(), [A, B], "one within another");
    }

    #[test]
    fn an_id_may_be_shortened_and_a_name_not() {
        let root = tempfile::tempdir().unwrap();
        let mut names = Names::new(root.path());
        let mut is = |text: &str| names.is(A, "/", &Pattern::glob(text).unwrap(), &[]);
        assert!(is("abcd") && is("ABCD5678") && is(A));
        assert!(!is("abc") && !is("bcd5") && !is(&format!("{A}0")) && !is(B));
    }

    #[test]
    fn a_name_that_is_there_is_meant_and_not_the_beginning_of_an_id() {
        let root = tempfile::tempdir().unwrap();
        let mut names = Names::new(root.path());
        let mut is = |text: &str, path: &str, named_by: &[u32]| {
            names.is(A, path, &Pattern::glob(text).unwrap(), named_by)
        };
        assert!(is("abcd", "/docker/x", &[]) && !is("abcd", "/docker/x", &[0]));
        assert!(is(A, "/docker/x", &[0]), "a whole id");
        // What a user calls a container takes nothing from others.
        assert!(is("abcd", "/docker/x", &[1000]));
        assert!(!is("abcd", "/user.slice/user-1000.slice/x", &[7, 1000]));
        assert!(may_be_name("beef") && !may_be_name(A) && !may_be_name("web") && !may_be_name("fe"));
    }

    #[test]
    fn a_user_names_the_containers_of_that_user() {
        assert!(holds_for(0, "/docker/x") && holds_for(1000, "/user.slice/user-1000.slice/x"));
        assert!(!holds_for(1000, "/docker/x") && !holds_for(1000, "/user.slice/user-1.slice/x"));
    }

    #[test]
    fn what_is_no_file_is_not_read() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("config.v2.json");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(json(&path), None);
        let link = root.path().join("link");
        std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
        assert_eq!(json(&link), None);
        assert_eq!(json(Path::new("/dev/zero")), None);
    }

    #[test]
    fn names_are_found_where_each_program_has_them() {
        let root = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let kubernetes = r#"{"annotations": {"io.kubernetes.cri.container-name": "web"}}"#;
        write(
            &format!("var/lib/docker/containers/{A}/config.v2.json"),
            r#"{"ID": "x", "Name": "/shop_db_1"}"#,
        );
        write(&format!("run/containerd/io.containerd.runtime.v2.task/k8s.io/{A}/config.json"), kubernetes);
        let list = format!(
            r#"[{{"id": "{B}", "names": ["other"]}}, {{"id": "{A}", "names": ["cache", "cache2"]}}]"#
        );
        write("var/lib/containers/storage/overlay-containers/containers.json", &list);
        let of_user = format!(r#"[{{"id": "{B}", "names": ["rootless"]}}]"#);
        write("home/me/.local/share/containers/storage/vfs-containers/volatile-containers.json", &of_user);
        write(&format!("var/lib/docker/containers/{B}/config.v2.json"), "{ no json");
        let mut names = Names::new(root.path());
        let all =
            |names: &mut Names, id: &str| names.known(id).map(|name| name.text.clone()).collect::<Vec<_>>();
        assert_eq!(all(&mut names, A), ["shop_db_1", "web", "cache", "cache2"]);
        assert_eq!(all(&mut names, B), ["other", "rootless"]);
        assert!(
            names.is(A, "/", &Pattern::glob("shop_*").unwrap(), &[])
                && !names.is(A, "/", &Pattern::glob("db").unwrap(), &[])
        );
        // It is renamed, and its file replaced.
        let config = root.path().join(format!("var/lib/docker/containers/{A}/config.v2.json"));
        fs::write(config.with_extension("new"), r#"{"ID": "x", "Name": "/shop_db_2"}"#).unwrap();
        fs::rename(config.with_extension("new"), &config).unwrap();
        assert_eq!(all(&mut names, A)[0], "shop_db_1", "one reading has one name");
        names.begin();
        assert_eq!(all(&mut names, A), ["shop_db_2", "web", "cache", "cache2"]);
        // Kept while a process is in it.
        fs::remove_dir_all(root.path().join("var")).unwrap();
        names.begin();
        assert_eq!(all(&mut names, A).len(), 4);
        names.begin();
        names.begin();
        assert_eq!(all(&mut names, A), ["web"]);
    }
}
