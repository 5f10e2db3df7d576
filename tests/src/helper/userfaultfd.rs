//! userfaultfd(2): pages that one process puts into the memory of another.

use std::{
    fs::File,
    io::{self, Read as _},
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    ptr,
};

use nix::{
    sys::wait::{WaitStatus, waitpid},
    unistd::{ForkResult, fork},
};

use super::regions::Mapped;
use crate::truth::page_size;

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

/// A page that nobody can write to before it is opened: who does waits, also the kernel in the middle of a system call. It
/// opens by itself when this is dropped.
pub struct Gate {
    fd: OwnedFd,
    /// Of this process, and left to it.
    address: u64,
}

impl Gate {
    /// A page of its own, shut.
    pub fn new() -> io::Result<Self> {
        let fd = open()?;
        let (protection, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: new memory that nobody else knows.
        let page = unsafe { libc::mmap(ptr::null_mut(), Self::bytes(), protection, flags, -1, 0) };
        if page == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let gate = Self { fd, address: page as u64 };
        request::<Register>(&gate.fd, REGISTER, &mut [gate.address, Self::bytes() as u64, MODE_MISSING, 0])?;
        Ok(gate)
    }

    fn bytes() -> usize {
        usize::try_from(page_size()).expect("a page has a positive size")
    }

    /// Reads from the beginning of a file into the page: waits until that is open.
    pub fn read(address: u64, file: &File) -> io::Result<usize> {
        // SAFETY: the page of a gate, which is never unmapped.
        match unsafe { libc::pread(file.as_raw_fd(), address as *mut _, Self::bytes(), 0) } {
            -1 => Err(io::Error::last_os_error()),
            read => usize::try_from(read).map_err(io::Error::other),
        }
    }

    /// Its address.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// Waits until somebody waits for it.
    pub fn wait_for_somebody(&self) -> io::Result<()> {
        // `struct uffd_msg`; the only one that can come is `UFFD_EVENT_PAGEFAULT`.
        let mut message = [0_u8; 32];
        File::from(self.fd.try_clone()?).read_exact(&mut message)
    }

    /// Lets everybody go on.
    pub fn open(&self) -> io::Result<()> {
        let content = vec![0_u8; Self::bytes()];
        let (from, bytes) = (content.as_ptr() as u64, content.len() as u64);
        request::<Copy>(&self.fd, COPY, &mut [self.address, from, bytes, 0, 0])
    }
}

fn request<T>(fd: &OwnedFd, request: libc::c_ulong, argument: &mut T) -> io::Result<()> {
    // SAFETY: the argument is as large as its request says; what it points to is memory of ours.
    match unsafe { libc::ioctl(fd.as_raw_fd(), request, &raw mut *argument) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
