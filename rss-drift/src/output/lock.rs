//! The lock under which a file gets its header and its rows: two runs that begin on one new file, or on one that was emptied, write one
//! header.

use std::{
    fs::File,
    os::fd::AsRawFd as _,
    thread,
    time::{Duration, Instant},
};

use nix::errno::Errno;

use super::{OutputError, Target};

/// After so long it is said that we wait.
pub(super) const QUIET: Duration = Duration::from_secs(1);
/// How often it is tried.
const AGAIN: Duration = Duration::from_millis(20);
/// The same of a lock that another run has for one write.
const SOON: Duration = Duration::from_millis(1);

/// Held until it is dropped. `None` where locks are not supported: then two runs that start at once on one new file may write two headers.
pub(super) type Lock = Option<Held>;

/// A lock by flock(2). A file system may refuse to give one back (a server of files that is gone): nix's `Flock` panics then.
#[derive(Debug)]
pub(super) struct Held(File);

impl Held {
    fn take(file: &File) -> Result<Self, Errno> {
        let file = file.try_clone().map_err(|_| Errno::EMFILE)?;
        flock(&file, libc::LOCK_EX | libc::LOCK_NB)?;
        Ok(Self(file))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // It belongs to the open file, of which there is another descriptor. What is not given back ends with that.
        let _ = flock(&self.0, libc::LOCK_UN);
    }
}

fn flock(file: &File, operation: libc::c_int) -> Result<(), Errno> {
    // SAFETY: flock(2) takes numbers, and the descriptor is open.
    Errno::result(unsafe { libc::flock(file.as_raw_fd(), operation) }).map(drop)
}

/// Takes the lock.
///
/// # Errors
/// When another process has held it for so long.
pub(super) fn lock(file: &File, target: &Target, longest: Duration) -> Result<Lock, OutputError> {
    let began = Instant::now();
    let mut said = false;
    loop {
        match Held::take(file) {
            Ok(lock) => return Ok(Some(lock)),
            Err(Errno::EWOULDBLOCK | Errno::EINTR) => {}
            Err(_) => return Ok(None),
        }
        let waited = began.elapsed();
        if waited >= longest {
            return Err(OutputError::Locked { target: target.clone(), longest });
        }
        if waited >= QUIET && !said {
            said = true;
            let longest = humantime::format_duration(longest);
            log::warn!(
                "{target}: another process holds a lock on it: waiting up to {longest} (--lock-timeout)"
            );
        }
        thread::sleep(AGAIN.min(longest.saturating_sub(waited)));
    }
}

/// Takes the lock where it is free within so long; `None`: it is another process's.
pub(super) fn hold(file: &File, longest: Duration) -> Option<Lock> {
    let began = Instant::now();
    loop {
        match Held::take(file) {
            Ok(lock) => return Some(Some(lock)),
            Err(Errno::EWOULDBLOCK | Errno::EINTR) if began.elapsed() < longest => thread::sleep(SOON),
            Err(Errno::EWOULDBLOCK | Errno::EINTR) => return None,
            Err(_) => return Some(None),
        }
    }
}

/// Gives it back.
pub(super) fn unlock(lock: Lock) {
    drop(lock);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_cannot_be_given_back_is_no_panic() {
        let file = tempfile::tempfile().unwrap();
        let held = Held::take(&file).unwrap();
        // SAFETY: the descriptor is of this lock alone; a file without locks takes its place, and is closed with it.
        unsafe {
            let path = libc::open(c"/".as_ptr(), libc::O_PATH | libc::O_CLOEXEC);
            assert!(libc::dup2(path, held.0.as_raw_fd()) >= 0 && libc::close(path) == 0);
        }
        assert_eq!(flock(&held.0, libc::LOCK_UN), Err(Errno::EBADF));
        drop(held);
    }
}
