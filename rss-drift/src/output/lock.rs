//! The lock under which a file gets its header: two runs that begin on one new file write one.

use std::{
    fs::File,
    thread,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};

use super::{OutputError, Target};

/// After so long it is said that we wait.
const QUIET: Duration = Duration::from_secs(1);
/// How often it is tried.
const AGAIN: Duration = Duration::from_millis(20);

/// Held until it is dropped. `None` where locks are not supported: then two runs that start at once on one new file may write two headers.
pub(super) type Lock = Option<Flock<File>>;

/// Takes the lock.
///
/// # Errors
/// When another process has held it for so long.
pub(super) fn lock(file: &File, target: &Target, longest: Duration) -> Result<Lock, OutputError> {
    let Ok(mut file) = file.try_clone() else { return Ok(None) };
    let began = Instant::now();
    let mut said = false;
    loop {
        file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(Some(lock)),
            Err((file, Errno::EWOULDBLOCK | Errno::EINTR)) => file,
            Err(_) => return Ok(None),
        };
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

/// Gives it back: it belongs to the open file, which stays open.
pub(super) fn unlock(lock: Lock) {
    // What is not given back ends with the file.
    let _ = lock.map(Flock::unlock);
}
