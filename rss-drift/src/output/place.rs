//! Opening a file by its name: as the umask says, and not where another user's link leads.

use std::{
    collections::VecDeque,
    ffi::OsString,
    fs::{self, File, Metadata, OpenOptions},
    io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Component, Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2},
    sys::{
        stat::Mode,
        statfs::{PROC_SUPER_MAGIC, statfs},
    },
    unistd::geteuid,
};

use super::patience;

/// Links that are followed at most, as the kernel has it (`include/linux/namei.h:MAXSYMLINKS`).
const MOST_LINKS: u32 = 40;

/// Why a file was not opened.
#[derive(Debug)]
pub(super) enum Refused {
    Failed(io::Error),
    /// A link of this user, in a folder where everybody may make one: it may lead anywhere.
    ForeignLink {
        link: PathBuf,
        user: u32,
    },
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

/// Opens a file to append to it and to read it; makes it where there is none. A pipe or a device is opened for writing only: a pipe that we
/// read ourselves would never be closed to us.
pub(super) fn append(path: &Path) -> Result<File, Refused> {
    let special = fs::metadata(path).is_ok_and(|found| {
        let kind = found.file_type();
        kind.is_fifo() || kind.is_char_device() || kind.is_block_device() || kind.is_socket()
    });
    let flags = if special { OFlag::O_WRONLY } else { OFlag::O_RDWR | OFlag::O_CREAT };
    open(path, flags | OFlag::O_APPEND)
}

/// Opens a file to write it anew; makes it where there is none.
pub(super) fn replace(path: &Path) -> Result<File, Refused> {
    open(path, OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC)
}

/// Opens a file that is there, and changes nothing.
pub(super) fn existing(path: &Path) -> Result<File, Refused> {
    open(path, OFlag::O_WRONLY | OFlag::O_NONBLOCK)
}

/// Whether the links of a path may be followed.
pub(super) fn check(path: &Path) -> Result<(), Refused> {
    resolve(path).map(drop)
}

fn open(path: &Path, flags: OFlag) -> Result<File, Refused> {
    let Place { path: resolved, magic } = resolve(path)?;
    let flags = flags | OFlag::O_CLOEXEC;
    let mode = if flags.contains(OFlag::O_CREAT) { Mode::from_bits_truncate(0o666) } else { Mode::empty() };
    if !magic {
        // Whoever puts a link there in the meantime gets an error.
        let how = OpenHow::new().flags(flags).mode(mode).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
        loop {
            match openat2(AT_FDCWD, &resolved, how) {
                Ok(file) => return Ok(file.into()),
                // A FIFO that nobody opens, which is waited for in place.
                Err(Errno::EINTR) if !patience::is_over() => {}
                // A filter of system calls may know nothing of it.
                Err(Errno::ENOSYS | Errno::EPERM) => break,
                Err(errno) => return Err(io::Error::from(errno).into()),
            }
        }
    }
    let mut options = OpenOptions::new();
    options.write(true).read(flags.contains(OFlag::O_RDWR)).create(flags.contains(OFlag::O_CREAT));
    options.append(flags.contains(OFlag::O_APPEND)).truncate(flags.contains(OFlag::O_TRUNC));
    let nofollow = if magic { OFlag::empty() } else { OFlag::O_NOFOLLOW };
    options.custom_flags(((flags & OFlag::O_NONBLOCK) | nofollow).bits());
    Ok(options.open(&resolved)?)
}

/// A path without links.
#[derive(Debug)]
struct Place {
    path: PathBuf,
    /// Whether it leads through a link of /proc, which has no path.
    magic: bool,
}

/// Follows the links of a path, as far as they may be followed.
fn resolve(path: &Path) -> Result<Place, Refused> {
    let mut rest: VecDeque<OsString> = parts(path);
    let mut place = Place { path: PathBuf::new(), magic: false };
    let mut links = 0;
    while let Some(part) = rest.pop_front() {
        let at = place.path.join(&part);
        let found = fs::symlink_metadata(&at);
        let Some(link) = found.ok().filter(Metadata::is_symlink) else {
            place.path = at;
            continue;
        };
        let folder = if place.path.as_os_str().is_empty() { Path::new(".") } else { &place.path };
        if statfs(folder).is_ok_and(|found| found.filesystem_type() == PROC_SUPER_MAGIC) {
            place = Place { path: at, magic: true };
            continue;
        }
        if is_foreign(&link, &fs::metadata(folder)?) {
            return Err(Refused::ForeignLink { link: at, user: link.uid() });
        }
        links += 1;
        if links > MOST_LINKS {
            return Err(io::Error::from(Errno::ELOOP).into());
        }
        for part in parts(&fs::read_link(&at)?).into_iter().rev() {
            rest.push_front(part);
        }
    }
    Ok(place)
}

/// The names in a path; joined to a path, the root takes its place.
fn parts(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter(|part| *part != Component::CurDir)
        .map(|part| part.as_os_str().to_owned())
        .collect()
}

/// Whether a link is of a user who is neither we nor the owner of its folder, and everybody may make one there: what the kernel
/// refuses with `fs.protected_symlinks` (`fs/namei.c:may_follow_link`).
fn is_foreign(link: &Metadata, folder: &Metadata) -> bool {
    const STICKY_FOR_ALL: u32 = libc::S_ISVTX | libc::S_IWOTH;
    let for_all = folder.mode() & STICKY_FOR_ALL == STICKY_FOR_ALL;
    for_all && link.uid() != geteuid().as_raw() && link.uid() != folder.uid()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed_to_where_they_lead() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path().canonicalize().unwrap();
        fs::create_dir(directory.join("a")).unwrap();
        symlink("a", directory.join("relative")).unwrap();
        symlink(directory.join("relative/../a"), directory.join("absolute")).unwrap();
        let place = resolve(&directory.join("absolute/./x")).unwrap();
        assert_eq!((place.path.canonicalize().is_ok(), place.magic), (false, false));
        assert_eq!(place.path.parent().unwrap().canonicalize().unwrap(), directory.join("a"));
        drop(append(&directory.join("absolute/x")).unwrap_or_else(|error| panic!("{error:?}")));
        assert!(directory.join("a/x").is_file());
        symlink("loop", directory.join("loop")).unwrap();
        let error = resolve(&directory.join("loop")).unwrap_err();
        assert!(matches!(error, Refused::Failed(error) if error.raw_os_error() == Some(libc::ELOOP)));
    }

    #[test]
    fn what_has_no_path_is_opened() {
        let (_read, write) = nix::unistd::pipe().unwrap();
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&write));
        assert!(resolve(Path::new(&path)).unwrap().magic);
        append(Path::new(&path)).unwrap_or_else(|error| panic!("{error:?}"));
    }
}
