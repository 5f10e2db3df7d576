//! Whole intervals into a file: one write per interval, and after a short write the file is cut back.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom},
    os::{
        fd::AsFd as _,
        unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _},
    },
    path::Path,
};

use nix::fcntl::{Flock, FlockArg};

use super::{OutputError, Target};

/// What bytes are written to. A file, or in tests something that fails on demand.
pub(super) trait Medium {
    /// As write(2).
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;
    /// Where the last write ended, and where the medium ends.
    fn ends(&mut self) -> io::Result<(u64, u64)>;
    /// Makes it end here, for the next write too.
    fn cut(&mut self, end: u64) -> io::Result<()>;
}

impl Medium for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::Write::write(self, bytes)
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

/// An output that is written in whole blocks.
#[derive(Debug)]
pub(super) struct Blocks<M = File> {
    target: Target,
    medium: M,
    /// `None` for what cannot be cut back: pipes, terminals, devices.
    identity: Option<Identity>,
    /// Whole rows that this run wrote.
    rows: u64,
}

impl Blocks {
    /// Opens an output that begins with this header, or with anything where there is none.
    pub(super) fn with_header(target: &Target, header: &[u8]) -> Result<Self, OutputError> {
        Self::open(target, header, |first| {
            if header.is_empty() || first == header {
                return Ok(());
            }
            let found = String::from_utf8_lossy(&first[..first.len().min(60)]).into_owned();
            Err(format!("its first line is not the header of our CSV ({:?})", found.trim_end()))
        })
    }

    /// Opens an output. A file that has content is appended to if `accept` agrees with its first line (with its line
    /// break); `preamble` is written into what is empty, and to standard output.
    pub(super) fn open(
        target: &Target,
        preamble: &[u8],
        accept: impl FnOnce(&[u8]) -> Result<(), String>,
    ) -> Result<Self, OutputError> {
        let Target::File(path) = target else {
            let failed = |source| OutputError::Open { target: target.clone(), source };
            let stdout = io::stdout();
            // Past the standard library's line buffer: a block is one write here as well.
            let file = File::from(stdout.as_fd().try_clone_to_owned().map_err(failed)?);
            let mut blocks = Self::new(target, file)?;
            blocks.write(preamble, 0)?;
            return Ok(blocks);
        };
        // While another run looks into the file and writes its header, we wait. Where locks are not supported we go on
        // without: then two runs that start at once on one new file may write two headers.
        let file = open(path).map_err(|source| OutputError::Open { target: target.clone(), source })?;
        let mut blocks = Self::new(target, file)?;
        if blocks.identity.is_none() {
            blocks.write(preamble, 0)?;
            return Ok(blocks);
        }
        let lock =
            blocks.medium.try_clone().ok().and_then(|file| Flock::lock(file, FlockArg::LockExclusive).ok());
        let len = blocks
            .medium
            .metadata()
            .map_err(|source| OutputError::Read { target: target.clone(), source })?
            .len();
        if len == 0 {
            blocks.write(preamble, 0)?;
        } else {
            check(&mut blocks.medium, path, accept)?;
        }
        if let Some(lock) = lock {
            // The lock belongs to the open file, which stays open: it has to be given back by name.
            let _ = lock.unlock();
        }
        Ok(blocks)
    }

    fn new(target: &Target, file: File) -> Result<Self, OutputError> {
        let metadata =
            file.metadata().map_err(|source| OutputError::Open { target: target.clone(), source })?;
        let identity = metadata.is_file().then(|| (metadata.dev(), metadata.ino()));
        Ok(Self { target: target.clone(), medium: file, identity, rows: 0 })
    }

    /// Which regular file it is; `None` of pipes, terminals and devices.
    pub(super) fn identity(&self) -> Option<Identity> {
        self.identity
    }

    /// The open file, to ask whether it is a terminal.
    pub(super) fn file(&self) -> &File {
        &self.medium
    }
}

impl<M: Medium> Blocks<M> {
    /// Writes the bytes of whole rows: all of them, or (in a regular file) none.
    pub(super) fn write(&mut self, bytes: &[u8], rows: u64) -> Result<(), OutputError> {
        let mut written = 0;
        while written < bytes.len() {
            // After a short write the next one says why it was short, or writes the rest.
            match self.medium.write(&bytes[written..]) {
                Ok(0) => return Err(self.failed(io::ErrorKind::WriteZero.into(), written)),
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                    return Err(OutputError::ClosedPipe);
                }
                Err(error) => return Err(self.failed(error, written)),
            }
        }
        self.rows += rows;
        Ok(())
    }

    /// Cuts back what was written of a block, and tells what failed and what is left.
    fn failed(&mut self, source: io::Error, written: usize) -> OutputError {
        let uncut = (written > 0).then(|| self.cut_back(written).err()).flatten();
        OutputError::Write { target: self.target.clone(), source, rows: self.rows, uncut }
    }

    fn cut_back(&mut self, written: usize) -> Result<(), String> {
        if self.identity.is_none() {
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

fn open(path: &Path) -> io::Result<File> {
    let regular = fs::metadata(path).is_ok_and(|found| {
        let kind = found.file_type();
        !(kind.is_fifo() || kind.is_char_device() || kind.is_block_device() || kind.is_socket())
    });
    let mut options = OpenOptions::new();
    options.append(true);
    if regular || !path.exists() {
        // Reading tells what is in it already. A pipe opened for reading as well would never be closed to us.
        options.read(true).create(true).mode(0o644);
    }
    options.open(path)
}

/// Looks into a file that has content: whether its last line is complete, and its first one agreed to.
fn check(
    file: &mut File,
    path: &Path,
    accept: impl FnOnce(&[u8]) -> Result<(), String>,
) -> Result<(), OutputError> {
    /// No first line of ours is as long.
    const LONGEST: u64 = 64 * 1024;
    let failed = |source| OutputError::Read { target: Target::File(path.to_owned()), source };
    let mut first = Vec::new();
    file.rewind().map_err(failed)?;
    BufReader::new(&*file).take(LONGEST).read_until(b'\n', &mut first).map_err(failed)?;
    accept(&first).map_err(|why| OutputError::OtherContent { path: path.to_owned(), why })?;
    let mut last = [0];
    file.seek(SeekFrom::End(-1)).map_err(failed)?;
    file.read_exact(&mut last).map_err(failed)?;
    if last == *b"\n" { Ok(()) } else { Err(OutputError::PartialLine { path: path.to_owned() }) }
}

/// A write beyond `RLIMIT_FSIZE` is to fail with an error that we can tell, not to kill us.
pub fn ignore_file_size_signal() {
    // SAFETY: ignoring a signal runs no handler.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
