//! A pseudo-terminal of a given width.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _},
    os::{
        fd::{AsRawFd as _, FromRawFd as _},
        unix::fs::OpenOptionsExt as _,
    },
    path::Path,
};

use crate::scratch::Scratch;

/// `TIOCGPTPEER` (`include/uapi/asm-generic/ioctls.h`, since 4.13): opens the other end without a path.
const TIOCGPTPEER: libc::c_ulong = 0x5441;

/// Both ends of a terminal.
#[derive(Debug)]
pub struct Terminal {
    /// What a program writes to.
    pub inside: File,
    outside: File,
    /// Where a private devpts is mounted, if one had to be.
    _scratch: Option<Scratch>,
}

impl Terminal {
    /// A new terminal of this many columns. A system without a devpts gets one in a private mount.
    pub fn open(columns: u16) -> io::Result<Self> {
        if let Ok(terminal) = Self::open_at(Path::new("/dev/ptmx"), columns, None) {
            return Ok(terminal);
        }
        let mut scratch = Scratch::new();
        scratch.mount("devpts", "newinstance,ptmxmode=0666")?;
        let path = scratch.file("ptmx");
        Self::open_at(&path, columns, Some(scratch))
    }

    fn open_at(path: &Path, columns: u16, scratch: Option<Scratch>) -> io::Result<Self> {
        let outside = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOCTTY).open(path)?;
        let unlocked: libc::c_int = 0;
        let size = libc::winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: each ioctl gets what it asks for: an int, flags, a winsize; the new descriptor is nobody else's.
        let inside = unsafe {
            check(libc::ioctl(outside.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlocked))?;
            let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
            let inside = check(libc::ioctl(outside.as_raw_fd(), TIOCGPTPEER, flags))?;
            check(libc::ioctl(outside.as_raw_fd(), libc::TIOCSWINSZ, &raw const size))?;
            File::from_raw_fd(inside)
        };
        Ok(Self { inside, outside, _scratch: scratch })
    }

    /// All that is written until the last program closes its end.
    pub fn read_to_end(self) -> io::Result<String> {
        let Self { inside, mut outside, _scratch } = self;
        drop(inside);
        let mut bytes = Vec::new();
        match outside.read_to_end(&mut bytes) {
            // A terminal without another end says EIO, not the end of a file.
            Err(error) if error.raw_os_error() != Some(libc::EIO) => return Err(error),
            _ => {}
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
