//! Whole intervals into a file: one write per interval, and after a short write the file is cut back.

use std::{
    fs::{self, File},
    io::{self, IsTerminal as _, Read as _, Seek as _, SeekFrom},
    os::{
        fd::{AsFd as _, AsRawFd as _, BorrowedFd},
        unix::fs::{FileTypeExt as _, MetadataExt as _},
    },
    path::Path,
    time::Duration,
};

use super::{
    OutputError, Target,
    content::Content,
    lock::{Lock, QUIET, hold, lock, unlock},
    medium::Medium,
    patience, pipe, place,
};

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
    /// Whether whoever has a report writes it, and not a thread that nobody waits for.
    in_place: bool,
    /// Whether another process had the lock of the file for too long at the last write.
    is_locked: bool,
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
        Ok(Self {
            target,
            content,
            medium: file,
            kind,
            begun: false,
            rows: 0,
            lock_timeout,
            in_place: false,
            is_locked: false,
        })
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
                let new = Self::open(&self.target, self.content.clone(), self.lock_timeout)?;
                *self = Self { in_place: self.in_place, ..new };
            }
        }
        let held = self.hold();
        if self.was_emptied()? {
            self.begin_again(held, b"", bytes, rows)
        } else {
            self.append(held, bytes, rows)
        }
    }

    /// Takes the lock of a file that may be emptied. All runs write under it: else one would write its rows into an emptied file while
    /// another puts the preamble there.
    fn hold(&mut self) -> Option<Lock> {
        if !self.begins_again_with_a_preamble() {
            return None;
        }
        // Whoever may read the file can hold it: rows are written all the same, and it is waited for once.
        let held = hold(&self.medium, if self.is_locked { Duration::ZERO } else { QUIET });
        self.is_locked = held.is_none();
        held
    }

    /// Writes whole rows behind what is there. A file that was emptied since somebody looked begins with them instead of the preamble.
    fn append(&mut self, held: Option<Lock>, bytes: &[u8], rows: u64) -> Result<(), OutputError> {
        self.write(bytes, rows)?;
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if length == 0 || !self.begins_again_with_a_preamble() || self.ends()?.0 > length {
            return Ok(());
        }
        self.begin_again(held, bytes, b"", 0)
    }

    /// Puts the preamble in front of what an emptied file has by now, where nobody has done so, and writes whole rows behind. `ours` is
    /// what this run has written already.
    fn begin_again(
        &mut self,
        held: Option<Lock>,
        ours: &[u8],
        bytes: &[u8],
        rows: u64,
    ) -> Result<(), OutputError> {
        let held = held.map_or_else(|| lock(&self.medium, &self.target, self.lock_timeout), Ok)?;
        let content = self.content_again().unwrap_or_else(|| ours.to_vec());
        let is_all = u64::try_from(content.len()).is_ok_and(|length| length == self.length().unwrap_or(0));
        let written = if is_all && !content.starts_with(&self.content.preamble) {
            let cut = self.medium.cut(0);
            cut.map_err(|source| OutputError::Read { target: self.target.clone(), source })?;
            self.write(&[&self.content.preamble, &content, bytes].concat(), rows)
        } else {
            self.write(bytes, rows)
        };
        unlock(held);
        written
    }

    /// What an emptied file has by now; `None` where that cannot be read, or is more than anybody has written since.
    fn content_again(&self) -> Option<Vec<u8>> {
        const MOST_BYTES: u64 = 64 << 20;
        // Another descriptor: ours may be for writing only, and its place in the file is behind our last write.
        let file = File::open(format!("/proc/self/fd/{}", self.medium.as_raw_fd())).ok()?;
        let mut content = Vec::new();
        file.take(MOST_BYTES).read_to_end(&mut content).ok()?;
        Some(content)
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
                let may_give_up = self.may_give_up();
                let is_given_up = || may_give_up && patience::is_over();
                self.medium.wait_for_room(ends.len(), &is_given_up);
                if is_given_up() {
                    // Some of it may find room, and a report is dropped as a whole.
                    return Err(OutputError::GivenUp { torn: false });
                }
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

    /// From now on whoever has a report writes it.
    pub(super) const fn set_in_place(&mut self) {
        self.in_place = true;
    }

    /// Whether a signal that ends us ends a write that waits for a reader. A file has none: it takes everything, or fails.
    const fn may_give_up(&self) -> bool {
        self.in_place && !matches!(self.kind, Kind::File(_))
    }

    /// Writes up to there.
    fn write_until(&mut self, end: usize, bytes: &[u8], written: &mut usize) -> Result<(), OutputError> {
        let mut full = false;
        let begin = *written;
        while *written < end {
            // After a short write the next one says why it was short, or writes the rest.
            match self.medium.write(&bytes[*written..end]) {
                Ok(0) => return Err(self.failed(io::ErrorKind::WriteZero.into(), *written)),
                Ok(count) => {
                    *written += count;
                    full = false;
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
                        if self.may_give_up() && patience::is_over() =>
                    {
                        return Err(OutputError::GivenUp { torn: *written > begin });
                    }
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
