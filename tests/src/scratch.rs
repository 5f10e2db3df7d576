//! Places for files that go away with the test, and filesystems of the test's own.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    sys::statfs::{TMPFS_MAGIC, statfs},
};

/// An empty directory; removed with all that is in it when dropped.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    mounted: bool,
}

impl Scratch {
    /// A directory where temporary files go; made where a small system has none.
    pub fn new() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("live-tests.{}.{number}", process::id()));
        fs::create_dir_all(&path).unwrap_or_else(|error| panic!("make {}: {error}", path.display()));
        Self { path, mounted: false }
    }

    /// A directory whose files' pages are pages of files, not of shmem: on a tmpfs it gets a ramfs of its own.
    pub fn for_files() -> Self {
        let mut scratch = Self::new();
        if statfs(&scratch.path).expect("statfs of a directory").filesystem_type() == TMPFS_MAGIC {
            scratch.mount("ramfs", "").expect("mount a ramfs: every kernel has it");
        }
        scratch
    }

    /// A directory that holds `kib` and then is full.
    pub fn of_size(kib: u32) -> io::Result<Self> {
        let mut scratch = Self::new();
        scratch.mount("tmpfs", &format!("size={kib}k"))?;
        Ok(scratch)
    }

    /// Mounts over the directory, visible to this process and its children only.
    pub fn mount(&mut self, kind: &str, options: &str) -> io::Result<()> {
        make_mounts_private()?;
        mount(Some("none"), &self.path, Some(kind), MsFlags::empty(), Some(options))?;
        self.mounted = true;
        Ok(())
    }

    /// The path of a file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.mounted {
            // A file in it may still be mapped by a helper: then it goes when the helper does.
            let _ = nix::mount::umount2(&self.path, nix::mount::MntFlags::MNT_DETACH);
        }
        if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("cannot remove {}: {error}", self.path.display());
        }
    }
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("a path of ours is UTF-8")
}

/// Hides what is below a directory from this process and its children: an empty tmpfs is over it.
pub fn hide(path: &str) -> io::Result<()> {
    make_mounts_private()?;
    mount(Some("none"), path, Some("tmpfs"), MsFlags::empty(), None::<&str>)?;
    Ok(())
}

/// Shows one directory in the place of another one, to this process and its children.
pub fn cover(path: &Path, with: &Path) -> io::Result<()> {
    make_mounts_private()?;
    mount(Some(with), path, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
    Ok(())
}

/// From here on this process's mounts are its own.
fn make_mounts_private() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
    Ok(())
}

/// Whether the kernel makes namespaces for us. Tried in a child: the caller stays where it is.
pub fn namespaces_can_be_made() -> bool {
    // SAFETY: the child makes system calls only.
    match unsafe { nix::unistd::fork() }.expect("fork") {
        nix::unistd::ForkResult::Child => {
            let made = unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID).is_ok();
            // SAFETY: ends the child without running anything of the parent's.
            unsafe { libc::_exit(i32::from(!made)) }
        }
        nix::unistd::ForkResult::Parent { child } => nix::sys::wait::waitpid(child, None)
            .is_ok_and(|status| status == nix::sys::wait::WaitStatus::Exited(child, 0)),
    }
}
