//! Whole intervals into a file: one write per interval, and after a short write the file is cut back.

use std::{
    fs::{self, File},
    io::{self, IsTerminal as _, Seek as _, SeekFrom},
    os::{
        fd::{AsFd as _, BorrowedFd},
        unix::fs::{FileTypeExt as _, MetadataExt as _},
    },
    path::Path,
    thread,
    time::Duration,
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{
    OutputError, Target,
    content::Content,
    lock::{lock, unlock},
    pipe, place,
};

/// What bytes are written to. A file, or in tests something that fails on demand.
pub(super) trait Medium {
    /// As write(2).
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;
    /// Waits until it may take something again. `again`: it said so before, and then took nothing.
    fn wait(&mut self, again: bool);
    /// Waits until it takes so many pieces, where it can tell.
    fn wait_for_room(&mut self, pieces: usize);
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

    fn wait_for_room(&mut self, pieces: usize) {
        /// Nothing tells us when a reader has taken enough.
        const ASK: u16 = 20;
        while pipe::may_begin(&*self, pieces).is_ok_and(|may_begin| !may_begin) {
            // Only the end of its readers is an event.
            let mut fds = [PollFd::new(self.as_fd(), PollFlags::empty())];
            if poll(&mut fds, PollTimeout::from(ASK)).is_ok_and(|events| events > 0) {
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

/// Device and inode: which file it is, whatever its name.
pub(super) type Identity = (u64, u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A regular file: it can be cut back.
    File(Identity),
    Pipe,
    /// A terminal, a socket, a device.
    Other,
}

/// An output that is written in whole blocks.
#[derive(Debug)]
pub(super) struct Blocks<M = File> {
    target: Target,
    content: Content,
    medium: M,
    kind: Kind,
    /// Whether it has the preamble.
    begun: bool,
    /// Whole rows that this run wrote.
    rows: u64,
    /// How long a lock of another process is waited for.
    lock_timeout: Duration,
}

impl Blocks {
    /// Opens an output. A file that has content is appended to where that agrees with ours; an empty one gets the preamble at once,
    /// all else by [`Blocks::begin`].
    pub(super) fn open(
        target: &Target,
        content: Content,
        lock_timeout: Duration,
    ) -> Result<Self, OutputError> {
        match target {
            Target::Stdout => Self::standard(target, content, io::stdout().as_fd(), lock_timeout),
            Target::Stderr => Self::standard(target, content, io::stderr().as_fd(), lock_timeout),
            Target::File(path) => Self::at(path, target, content, lock_timeout),
        }
    }

    /// Past the standard library's buffer: a block is one write here as well.
    fn standard(
        target: &Target,
        content: Content,
        fd: BorrowedFd<'_>,
        lock_timeout: Duration,
    ) -> Result<Self, OutputError> {
        let owned = fd.try_clone_to_owned();
        let owned = owned.map_err(|source| OutputError::Open { target: target.clone(), source })?;
        Self::new(target, content, owned.into(), lock_timeout)
    }

    fn at(
        path: &Path,
        target: &Target,
        content: Content,
        lock_timeout: Duration,
    ) -> Result<Self, OutputError> {
        let file = place::append(path).map_err(|refused| OutputError::of(refused, target))?;
        let mut blocks = Self::new(target, content, file, lock_timeout)?;
        if blocks.identity().is_none() {
            return Ok(blocks);
        }
        // While another run looks into the file and writes its header, we wait.
        let lock = lock(&blocks.medium, target, lock_timeout)?;
        if blocks.length()? > 0
            && let Some(end) = blocks.content.check(&mut blocks.medium, path)?
        {
            let cut = blocks.length()?.saturating_sub(end);
            blocks
                .medium
                .set_len(end)
                .map_err(|source| OutputError::Open { target: target.clone(), source })?;
            log::warn!(
                "{target}: cut back by {cut} bytes to its last whole row: it ended in NUL bytes, as a crash leaves them"
            );
        }
        blocks.begun = blocks.length()? > 0;
        blocks.begin()?;
        unlock(lock);
        Ok(blocks)
    }

    /// Opens an output that replaces what was there.
    pub(super) fn replacing(target: &Target) -> Result<Self, OutputError> {
        let Target::File(path) = target else {
            return Self::open(target, Content::text(), Duration::ZERO);
        };
        let file = place::replace(path).map_err(|refused| OutputError::of(refused, target))?;
        Self::new(target, Content::text(), file, Duration::ZERO)
    }

    fn new(
        target: &Target,
        content: Content,
        file: File,
        lock_timeout: Duration,
    ) -> Result<Self, OutputError> {
        let metadata =
            file.metadata().map_err(|source| OutputError::Open { target: target.clone(), source })?;
        let kind = if metadata.is_file() {
            Kind::File((metadata.dev(), metadata.ino()))
        } else if metadata.file_type().is_fifo() {
            Kind::Pipe
        } else {
            Kind::Other
        };
        let target = target.clone();
        Ok(Self { target, content, medium: file, kind, begun: false, rows: 0, lock_timeout })
    }

    fn length(&self) -> Result<u64, OutputError> {
        let read = self.medium.metadata();
        Ok(read.map_err(|source| OutputError::Read { target: self.target.clone(), source })?.len())
    }

    /// Writes the bytes of whole rows into the file that has the output's name now. A file that was renamed or deleted (log rotation) is
    /// followed by a new one, and one that was emptied (copytruncate) begins again.
    pub(super) fn report(&mut self, bytes: &[u8], rows: u64) -> Result<(), OutputError> {
        if let (Kind::File(open), Target::File(path)) = (self.kind, &self.target) {
            let named = fs::metadata(path).map(|found| (found.dev(), found.ino()));
            let gone = named.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
            if gone || named.is_ok_and(|named| named != open) {
                *self = Self::open(&self.target, self.content.clone(), self.lock_timeout)?;
            }
        }
        if self.was_emptied()? { self.begin_again(bytes, rows, 0) } else { self.append(bytes, rows) }
    }

    /// Writes whole rows behind what is there. A file that was emptied since somebody looked begins with them instead of the preamble:
    /// they are taken back, and written behind it.
    fn append(&mut self, bytes: &[u8], rows: u64) -> Result<(), OutputError> {
        self.write(bytes, rows)?;
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if length == 0 || !self.begins_again_with_a_preamble() || self.ends()?.0 > length {
            return Ok(());
        }
        self.rows -= rows;
        self.begin_again(bytes, rows, length)
    }

    /// Writes the preamble and whole rows into a file that was emptied, unless another process has begun it by now. It has nothing but
    /// `before`, bytes of ours that have no preamble.
    fn begin_again(&mut self, bytes: &[u8], rows: u64, before: u64) -> Result<(), OutputError> {
        let lock = lock(&self.medium, &self.target, self.lock_timeout)?;
        let end = self.ends()?.1;
        let written = if end == before {
            let cut = self.medium.cut(0);
            cut.map_err(|source| OutputError::Read { target: self.target.clone(), source })?;
            self.write(&[&self.content.preamble, bytes].concat(), rows)
        } else if before == 0 {
            self.write(bytes, rows)
        } else {
            // Another process has written behind our rows, which are there.
            self.rows += rows;
            Ok(())
        };
        unlock(lock);
        written
    }

    /// Whether an emptied file gets the preamble.
    const fn begins_again_with_a_preamble(&self) -> bool {
        matches!(self.kind, Kind::File(_)) && self.begun && !self.content.preamble.is_empty()
    }

    /// Where the last write ended, and where the file ends.
    fn ends(&mut self) -> Result<(u64, u64), OutputError> {
        let ends = self.medium.ends();
        ends.map_err(|source| OutputError::Read { target: self.target.clone(), source })
    }

    /// Whether a file that had our preamble has nothing. The next write goes to where it ends now, also where it is not in `O_APPEND`: a
    /// shell opened standard output.
    fn was_emptied(&mut self) -> Result<bool, OutputError> {
        if !matches!(self.kind, Kind::File(_)) {
            return Ok(false);
        }
        let (ours, end) = self.ends()?;
        if ours > end {
            let failed = |source| OutputError::Read { target: self.target.clone(), source };
            self.medium.seek(SeekFrom::Start(end)).map_err(failed)?;
        }
        Ok(end == 0 && self.begins_again_with_a_preamble())
    }

    /// Which regular file it is; `None` of pipes, terminals and devices.
    pub(super) fn identity(&self) -> Option<Identity> {
        if let Kind::File(identity) = self.kind { Some(identity) } else { None }
    }

    /// The terminal, where it is one: its window may change.
    pub(super) fn terminal(&self) -> Option<File> {
        if self.medium.is_terminal() { self.medium.try_clone().ok() } else { None }
    }
}

impl<M: Medium> Blocks<M> {
    /// Writes the preamble, where it is not there yet.
    pub(super) fn begin(&mut self) -> Result<(), OutputError> {
        if !self.begun {
            let preamble = self.content.preamble.clone();
            self.write(&preamble, 0)?;
            self.begun = true;
        }
        Ok(())
    }

    /// Writes the bytes of whole rows: all of them, or (in a regular file) none.
    pub(super) fn write(&mut self, bytes: &[u8], rows: u64) -> Result<(), OutputError> {
        let mut written = 0;
        if self.kind == Kind::Pipe {
            let ends = pipe::ends_of_pieces(bytes, &self.content);
            // A single piece goes as a whole or not at all by itself, and nothing needs no room.
            if ends.len() > 1 {
                self.medium.wait_for_room(ends.len());
            }
            for end in ends {
                self.write_until(end, bytes, &mut written)?;
            }
        } else {
            self.write_until(bytes.len(), bytes, &mut written)?;
        }
        self.rows += rows;
        Ok(())
    }

    /// Writes up to there.
    fn write_until(&mut self, end: usize, bytes: &[u8], written: &mut usize) -> Result<(), OutputError> {
        let mut full = false;
        while *written < end {
            // After a short write the next one says why it was short, or writes the rest.
            match self.medium.write(&bytes[*written..end]) {
                Ok(0) => return Err(self.failed(io::ErrorKind::WriteZero.into(), *written)),
                Ok(count) => {
                    *written += count;
                    full = false;
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock => {
                        self.medium.wait(full);
                        full = true;
                    }
                    io::ErrorKind::BrokenPipe => return Err(OutputError::ClosedPipe),
                    _ => return Err(self.failed(error, *written)),
                },
            }
        }
        Ok(())
    }

    /// Cuts back what was written of a block, and tells what failed and what is left.
    fn failed(&mut self, source: io::Error, written: usize) -> OutputError {
        let uncut = (written > 0).then(|| self.cut_back(written).err()).flatten();
        OutputError::Write { target: self.target.clone(), source, rows: self.rows, uncut }
    }

    fn cut_back(&mut self, written: usize) -> Result<(), String> {
        if !matches!(self.kind, Kind::File(_)) {
            return Err("it is not a file, and cannot be cut back".to_owned());
        }
        let text = |error: io::Error| format!("cutting it back failed: {error}");
        let (ours, end) = self.medium.ends().map_err(text)?;
        if ours != end {
            return Err("another process has written behind it, and its rows are not ours to cut".to_owned());
        }
        let start = u64::try_from(written).ok().and_then(|written| ours.checked_sub(written));
        let start = start.ok_or_else(|| "its start is not known".to_owned())?;
        self.medium.cut(start).map_err(text)
    }
}

/// A write beyond `RLIMIT_FSIZE` is to fail with an error that we can tell, not to kill us.
pub fn ignore_file_size_signal() {
    // SAFETY: ignoring a signal runs no handler.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
