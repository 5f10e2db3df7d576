//! userfaultfd(2): pages that one process puts into the memory of another.

use std::{
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

use nix::{
    sys::wait::{WaitStatus, waitpid},
    unistd::{ForkResult, fork},
};

use super::regions::Mapped;

/// `include/uapi/linux/userfaultfd.h`, the same in 5.10 to 7.2: its version, its requests, `UFFDIO_REGISTER_MODE_MISSING`.
const VERSION: u64 = 0xaa;
const API: libc::c_ulong = 0xc018_aa3f;
const REGISTER: libc::c_ulong = 0xc020_aa00;
const COPY: libc::c_ulong = 0xc028_aa03;
const MODE_MISSING: u64 = 1;

/// `struct uffdio_api`: api, features, ioctls.
type Api = [u64; 3];
/// `struct uffdio_register`: start, len, mode, ioctls.
type Register = [u64; 4];
/// `struct uffdio_copy`: dst, src, len, mode, copy.
type Copy = [u64; 5];

/// A descriptor for the memory of this process; fails where the kernel has none, or not for us.
pub fn open() -> io::Result<OwnedFd> {
    // SAFETY: a new descriptor that nobody else knows.
    let fd = unsafe {
        match libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC) {
            -1 => return Err(io::Error::last_os_error()),
            fd => OwnedFd::from_raw_fd(i32::try_from(fd).map_err(io::Error::other)?),
        }
    };
    request::<Api>(&fd, API, &mut [VERSION, 0, 0])?;
    Ok(fd)
}

/// A child fills the first pages of a region of ours, and ends. Nothing touches them here.
pub(super) fn fill(region: Mapped, pages: usize) -> io::Result<()> {
    let fd = open()?;
    let content = vec![5_u8; region.bytes(pages)];
    let (start, len) = (region.start as u64, content.len() as u64);
    request::<Register>(&fd, REGISTER, &mut [start, len, MODE_MISSING, 0])?;
    // SAFETY: the child makes system calls only.
    match unsafe { fork() }? {
        ForkResult::Child => {
            let copied = request::<Copy>(&fd, COPY, &mut [start, content.as_ptr() as u64, len, 0, 0]);
            // SAFETY: ends the child without running anything of the parent's.
            unsafe { libc::_exit(copied.map_or_else(|error| error.raw_os_error().unwrap_or(1), |()| 0)) }
        }
        ForkResult::Parent { child } => match waitpid(child, None)? {
            WaitStatus::Exited(_, 0) => Ok(()),
            WaitStatus::Exited(_, error) => Err(io::Error::from_raw_os_error(error)),
            status => Err(io::Error::other(format!("the child that copies ended with {status:?}"))),
        },
    }
}

fn request<T>(fd: &OwnedFd, request: libc::c_ulong, argument: &mut T) -> io::Result<()> {
    // SAFETY: the argument is as large as its request says; what it points to is memory of ours.
    match unsafe { libc::ioctl(fd.as_raw_fd(), request, &raw mut *argument) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
