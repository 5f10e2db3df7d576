//! `io_uring(7)`: a worker of the kernel's changes the memory of a process.

use std::{
    fs::{self, File},
    io,
    os::fd::AsRawFd as _,
};

use io_uring::{
    IoUring, opcode,
    squeue::{Entry, Flags},
    types::Fd,
};

use super::{regions::Mapped, serve::Answer};

/// What a worker calls itself (`io_uring/io-wq.c`; in 5.10 that is newer than the rest of the kernel).
const WORKER: &str = "iou-wrk";

/// A ring; fails where the kernel has none, or not for us.
pub fn open() -> io::Result<IoUring> {
    IoUring::new(2)
}

/// A worker reads zeroes into the first pages of a region. How many faults this thread had meanwhile, and the workers.
pub(super) fn fill(region: Mapped, pages: usize, file: &File) -> Answer {
    let bytes = u32::try_from(region.bytes(pages)).map_err(io::Error::other)?;
    let read = opcode::Read::new(Fd(file.as_raw_fd()), region.start as *mut u8, bytes).offset(0);
    // SAFETY: the region lives, and nothing holds a reference to it.
    unsafe { by_a_worker(read.build(), bytes) }
}

/// A worker gives up the first pages of a region (`MADV_DONTNEED`). As [`fill`].
pub(super) fn give_up(region: Mapped, pages: usize) -> Answer {
    let bytes = u32::try_from(region.bytes(pages)).map_err(io::Error::other)?;
    let advise = opcode::Madvise::new(region.start as *const _, bytes.into(), libc::MADV_DONTNEED);
    // SAFETY: as above.
    unsafe { by_a_worker(advise.build(), 0) }
}

/// One request that is not tried in the caller's context, done.
///
/// # Safety
/// What the entry names must live.
unsafe fn by_a_worker(entry: Entry, expected: u32) -> Answer {
    let mut ring = open()?;
    let entry = entry.flags(Flags::ASYNC);
    // SAFETY: by the caller; the request is done when this function returns, or the process ends with it.
    unsafe { ring.submission().push(&entry) }.map_err(io::Error::other)?;
    let before = faults()?;
    ring.submit_and_wait(1)?;
    let faults = faults()? - before;
    let done = ring.completion().next().ok_or_else(|| io::Error::other("no completion"))?.result();
    if done < 0 {
        return Err(io::Error::from_raw_os_error(-done));
    }
    if done.cast_unsigned() != expected {
        return Err(io::Error::other(format!("{done} instead of {expected}")));
    }
    Ok(vec![faults, workers()?])
}

/// Page faults of the calling thread.
fn faults() -> io::Result<u64> {
    // SAFETY: a struct of numbers, which the call fills.
    let (result, usage) = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        (libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage), usage)
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((usage.ru_minflt + usage.ru_majflt).cast_unsigned())
}

/// Threads of this process that are workers.
fn workers() -> io::Result<u64> {
    let mut workers = 0;
    for task in fs::read_dir("/proc/self/task")? {
        // It may end meanwhile.
        let name = fs::read_to_string(task?.path().join("comm")).unwrap_or_default();
        workers += u64::from(name.starts_with(WORKER));
    }
    Ok(workers)
}
