//! Control groups: of version 2 that limit memory, and such as have only a name.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

/// Its name: always the same, so that what a killed test left behind is taken up and removed by the next one.
pub const NAME: &str = "live-tests";

/// Where groups can be made that limit memory.
pub fn root() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/mounts").ok()?;
    // Device, path, kind, and more.
    let mounts = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let path = PathBuf::from(mounts.into_iter().find(|words| words.get(2) == Some(&"cgroup2"))?[1]);
    let controllers = fs::read_to_string(path.join("cgroup.subtree_control")).ok()?;
    controllers.split_whitespace().any(|controller| controller == "memory").then_some(path)
}

/// Where the groups are that rows show, and of which version: that of the memory controller's own hierarchy, else version 2.
pub fn hierarchy() -> Option<(PathBuf, u32)> {
    let mounts = fs::read_to_string("/proc/mounts").ok()?;
    // Device, path, kind, options, and more.
    let find = |kind: &str, option: &str| {
        let mut mounts = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let found = mounts.find(|words| words[2] == kind && words[3].split(',').any(|word| word == option));
        found.map(|words| PathBuf::from(words[1]))
    };
    find("cgroup", "memory")
        .map(|path| (path, 1))
        .or_else(|| Some((find("cgroup2", "rw")?, 2)))
        .filter(|(path, _)| is_writable(path))
}

/// Whether a group can be made there.
fn is_writable(path: &Path) -> bool {
    let probe = Group(path.join("live-probe"));
    fs::create_dir(&probe.0).is_ok()
}

/// A group. Removed when dropped: its processes have to be gone by then.
#[derive(Debug)]
pub struct Group(PathBuf);

impl Group {
    /// Makes a group that holds at most so many bytes of memory.
    pub fn new(bytes: u64) -> io::Result<Self> {
        let root = root().ok_or_else(|| io::Error::other("no control groups that limit memory"))?;
        let path = root.join(NAME);
        match fs::create_dir(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let group = Self(path);
        group.limit(bytes)?;
        Ok(group)
    }

    /// Makes a group of this name, without a limit, where [`hierarchy`] says.
    pub fn named(name: &str) -> io::Result<Self> {
        let (root, _) = hierarchy().ok_or_else(|| io::Error::other("no control groups can be made"))?;
        let path = root.join(name);
        match fs::create_dir(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(Self(path)),
        }
    }

    /// As [`Self::named`], of at most so many bytes of memory and no swap.
    pub fn limited(name: &str, bytes: u64) -> io::Result<Self> {
        let group = Self::named(name)?;
        let write = |file: &str, bytes: u64| fs::write(group.0.join(file), bytes.to_string());
        // Files of swap are not there where it is not accounted for.
        if hierarchy().is_some_and(|(_, version)| version == 1) {
            write("memory.limit_in_bytes", bytes)?;
            let _ = write("memory.memsw.limit_in_bytes", bytes);
            let _ = write("memory.swappiness", 0);
        } else {
            write("memory.max", bytes)?;
            let _ = write("memory.swap.max", 0);
        }
        Ok(group)
    }

    /// What it is charged, of either version.
    pub fn charge(&self) -> u64 {
        let files = ["memory.current", "memory.usage_in_bytes"];
        let found = files.iter().find_map(|file| fs::read_to_string(self.0.join(file)).ok());
        found.and_then(|text| text.trim().parse().ok()).expect("a group that limits memory")
    }

    /// How often the OOM killer killed in it.
    pub fn oom_kills(&self) -> u64 {
        let files = ["memory.events", "memory.oom_control"];
        let found = files.iter().find_map(|file| fs::read_to_string(self.0.join(file)).ok());
        let text = found.expect("a group that limits memory");
        let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        line.and_then(|count| count.parse().ok()).expect("the kernel counts it")
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// From now on it holds at most so many bytes: what is more goes to swap.
    pub fn limit(&self, bytes: u64) -> io::Result<()> {
        fs::write(self.0.join("memory.max"), bytes.to_string())
    }

    /// Bytes of memory that are charged to it, the kernel's own for its processes included.
    pub fn current(&self) -> io::Result<u64> {
        fs::read_to_string(self.0.join("memory.current"))?.trim().parse().map_err(io::Error::other)
    }

    /// A command will run in it from its start.
    pub fn enter(&self, command: &mut Command) -> io::Result<()> {
        let processes = OpenOptions::new().write(true).open(self.0.join("cgroup.procs"))?;
        // SAFETY: between fork and exec only write(2) is called.
        unsafe {
            // The kernel takes 0 for whoever writes it.
            command.pre_exec(move || (&processes).write_all(b"0"));
        }
        Ok(())
    }

    /// Moves a process into it; the memory that it has stays with the group that it had it in.
    pub fn take(&self, pid: u32) -> io::Result<()> {
        fs::write(self.0.join("cgroup.procs"), pid.to_string())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for _ in 0..200 {
            // Busy for as long as the last process of it is not wholly gone.
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        eprintln!("cannot remove {}", self.0.display());
    }
}
