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

/// The names of containers by their ids.
#[derive(Debug)]
pub(super) struct Names {
    /// `/`, but in tests.
    root: PathBuf,
    known: HashMap<String, Known>,
}

/// A name, and who wrote it: users have files of their own containers, and could name those of others there.
#[derive(Debug, PartialEq, Eq)]
struct Name {
    text: String,
    owner: u32,
}

impl Name {
    /// Whether its owner may name the container whose group has this path: root, and each user in the slice that is the user's.
    fn holds_for(&self, path: &str) -> bool {
        let slice = format!("user-{}.slice", self.owner);
        self.is_of_root() || path.split('/').any(|group| group == slice)
    }

    const fn is_of_root(&self) -> bool {
        self.owner == 0
    }
}

#[derive(Debug)]
struct Known {
    names: Vec<Name>,
    /// Whether a process of this reading is in it.
    used: bool,
}

impl Names {
    pub(super) fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), known: HashMap::new() }
    }

    /// A reading begins. Containers that no process of the last one was in are forgotten.
    pub(super) fn begin(&mut self) {
        self.known.retain(|_, known| std::mem::take(&mut known.used));
    }

    /// Whether this container, in the group with this path, is asked for: by its name, or by the beginning of its id.
    pub(super) fn is(&mut self, id: &str, path: &str, asked: &Pattern) -> bool {
        let begins = asked.exact().filter(|text| is_beginning(text)).map(str::to_ascii_lowercase);
        begins.is_some_and(|beginning| id.starts_with(&beginning))
            || self.known(id).iter().any(|name| asked.matches(&name.text) && name.holds_for(path))
    }

    /// What the container with this id, in the group with this path, is called; `None` where no file has a name for it.
    pub(super) fn name(&mut self, id: &str, path: &str) -> Option<String> {
        self.known(id).iter().find(|name| name.holds_for(path)).map(|name| name.text.clone())
    }

    /// The names that root gave a container; none where no file of root's has it.
    pub(super) fn of(&mut self, id: &str) -> Vec<String> {
        self.known(id).iter().filter(|name| name.is_of_root()).map(|name| name.text.clone()).collect()
    }

    fn known(&mut self, id: &str) -> &[Name] {
        let root = &self.root;
        let first = || Known { names: names(root, id), used: true };
        let known = self.known.entry(id.to_owned()).or_insert_with(first);
        known.used = true;
        &known.names
    }
}

/// What the files below `root` call a container.
fn names(root: &Path, id: &str) -> Vec<Name> {
    let mut names = Vec::new();
    let docker = root.join("var/lib/docker/containers").join(id).join("config.v2.json");
    if let Some((config, owner)) = json(&docker)
        && let Some(name) = config["Name"].as_str()
    {
        names.push(Name { text: name.trim_start_matches('/').to_owned(), owner });
    }
    for folder in folders(&root.join("run/containerd/io.containerd.runtime.v2.task")) {
        names.extend(annotated(&folder.join(id).join("config.json")));
    }
    for store in stores(root) {
        for file in ["containers.json", "volatile-containers.json"] {
            let Some((Value::Array(containers), owner)) = json(&store.join(file)) else { continue };
            let of_it = containers.iter().filter(|container| container["id"].as_str() == Some(id));
            let listed = of_it.filter_map(|container| container["names"].as_array()).flatten();
            names.extend(listed.filter_map(|name| Some(Name { text: name.as_str()?.to_owned(), owner })));
        }
        names.extend(annotated(&store.join(id).join("userdata/config.json")));
    }
    names
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

/// The names in an OCI specification.
fn annotated(file: &Path) -> Vec<Name> {
    let Some((specification, owner)) = json(file) else { return Vec::new() };
    let annotations = &specification["annotations"];
    let name = |key: &&str| Some(Name { text: annotations[*key].as_str()?.to_owned(), owner });
    NAMES.iter().filter_map(name).collect()
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
        let mut is = |text: &str| names.is(A, "/", &Pattern::glob(text).unwrap());
        assert!(is("abcd") && is("ABCD5678") && is(A));
        assert!(!is("abc") && !is("bcd5") && !is(&format!("{A}0")) && !is(B));
    }

    #[test]
    fn a_user_names_the_containers_of_that_user() {
        let name = |owner| Name { text: "db".to_owned(), owner };
        assert!(name(0).holds_for("/docker/x") && name(1000).holds_for("/user.slice/user-1000.slice/x"));
        assert!(!name(1000).holds_for("/docker/x") && !name(1000).holds_for("/user.slice/user-1.slice/x"));
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
        let all = |names: &mut Names, id: &str| {
            names.known(id).iter().map(|name| name.text.clone()).collect::<Vec<_>>()
        };
        assert_eq!(all(&mut names, A), ["shop_db_1", "web", "cache", "cache2"]);
        assert_eq!(all(&mut names, B), ["other", "rootless"]);
        assert!(
            names.is(A, "/", &Pattern::glob("shop_*").unwrap())
                && !names.is(A, "/", &Pattern::glob("db").unwrap())
        );
        // Kept while a process is in it.
        fs::remove_dir_all(root.path().join("var")).unwrap();
        names.begin();
        assert_eq!(all(&mut names, A).len(), 4);
        names.begin();
        names.begin();
        assert_eq!(all(&mut names, A), ["web"]);
    }
}
