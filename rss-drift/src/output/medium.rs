//! What an output's bytes are written to.

use std::{
    fs::File,
    io::{self, Seek as _, SeekFrom},
    os::fd::AsFd as _,
    thread,
    time::Duration,
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::pipe;

/// What bytes are written to. A file, or in tests something that fails on demand.
pub(super) trait Medium {
    /// As write(2).
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;
    /// Waits until it may take something again. `again`: it said so before, and then took nothing.
    fn wait(&mut self, again: bool);
    /// Waits until it takes so many pieces, where it can tell, or until it is given up.
    fn wait_for_room(&mut self, pieces: usize, is_given_up: &dyn Fn() -> bool);
    /// Where the last write ended, and where the medium ends.
    fn ends(&mut self) -> io::Result<(u64, u64)>;
    /// Makes it end here, for the next write too.
    fn cut(&mut self, end: u64) -> io::Result<()>;
}

impl Medium for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::Write::write(self, bytes)
    }

    fn wait(&mut self, again: bool) {
        /// A terminal may have room for one byte and take none of a line break, which it makes two of.
        const PAUSE: Duration = Duration::from_millis(10);
        if again {
            thread::sleep(PAUSE);
        }
        // Whatever it ends with: the next write says what is wrong.
        let _ = poll(&mut [PollFd::new(self.as_fd(), PollFlags::POLLOUT)], PollTimeout::NONE);
    }

    fn wait_for_room(&mut self, pieces: usize, is_given_up: &dyn Fn() -> bool) {
        /// Nothing tells us when a reader has taken enough.
        const ASK: u16 = 20;
        while pipe::may_begin(&*self, pieces).is_ok_and(|may_begin| !may_begin) {
            // Only the end of its readers is an event.
            let mut fds = [PollFd::new(self.as_fd(), PollFlags::empty())];
            if poll(&mut fds, PollTimeout::from(ASK)).is_ok_and(|events| events > 0) || is_given_up() {
                break;
            }
        }
    }

    fn ends(&mut self) -> io::Result<(u64, u64)> {
        // In O_APPEND, too, a write leaves the position at its own end.
        Ok((self.stream_position()?, self.metadata()?.len()))
    }

    fn cut(&mut self, end: u64) -> io::Result<()> {
        self.set_len(end)?;
        self.seek(SeekFrom::Start(end)).map(drop)
    }
}
