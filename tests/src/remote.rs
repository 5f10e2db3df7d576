//! What the kernel lets one process do to another's memory.

use std::io;

use crate::{helper::Region, truth::page_size};

/// The first `pages` of the region, as the kernel's calls want them.
fn vector(region: &Region, pages: u64) -> libc::iovec {
    let bytes = usize::try_from(pages * page_size().unsigned_abs()).expect("a small region");
    libc::iovec { iov_base: region.start as *mut _, iov_len: bytes }
}

/// `process_madvise(2)` of the whole region.
pub fn advise(pid: u32, region: &Region, advice: libc::c_int) -> io::Result<()> {
    use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
    let check = |result: libc::c_long| if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) };
    // SAFETY: a new descriptor that nobody else knows.
    let pidfd = unsafe {
        let fd = check(libc::syscall(libc::SYS_pidfd_open, pid, 0))?;
        OwnedFd::from_raw_fd(i32::try_from(fd).map_err(io::Error::other)?)
    };
    let vector = vector(region, region.pages);
    // SAFETY: one vector, as the count says; the advice does not change what memory holds.
    let advised = check(unsafe {
        libc::syscall(libc::SYS_process_madvise, pidfd.as_raw_fd(), &raw const vector, 1, advice, 0)
    })?;
    assert_eq!(advised.cast_unsigned(), vector.iov_len as u64, "all of it");
    Ok(())
}

/// `process_vm_writev(2)` into the first `pages` of the region.
pub fn write_into(pid: u32, region: &Region, pages: u64) -> io::Result<()> {
    let to = vector(region, pages);
    let content = vec![3_u8; to.iov_len];
    let from = libc::iovec { iov_base: content.as_ptr().cast_mut().cast(), iov_len: content.len() };
    // SAFETY: one vector each; the kernel reads from ours and writes to the helper's memory.
    let written =
        unsafe { libc::process_vm_writev(pid.cast_signed(), &raw const from, 1, &raw const to, 1, 0) };
    match usize::try_from(written) {
        Ok(written) => {
            assert_eq!(written, content.len(), "all of it");
            Ok(())
        }
        Err(_) => Err(io::Error::last_os_error()),
    }
}
