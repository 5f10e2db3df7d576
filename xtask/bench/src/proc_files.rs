//! The same figures from /proc, read as fast as files can be: opened relative to /proc, one read each, into one buffer.

use std::{
    ffi::CStr,
    fs::{self, File},
    io::{Cursor, Write as _},
};

use anyhow::{Context as _, Result};
use nix::{
    errno::Errno,
    fcntl::{OFlag, openat},
    sys::stat::Mode,
    unistd::read,
};

/// The files that print RSS.
const FILES: [&str; 3] = ["stat", "statm", "status"];

/// A reader of /proc with its buffers.
#[derive(Debug)]
pub struct ProcFiles {
    proc: File,
    buffer: Vec<u8>,
}

impl ProcFiles {
    /// Opens /proc.
    pub fn open() -> Result<Self> {
        // Larger than any of the files; the kernel fills it at one read.
        Ok(Self { proc: File::open("/proc").context("cannot open /proc")?, buffer: vec![0; 16384] })
    }

    /// Reads the three files of each of `pids`, and nothing else: the least that can be done.
    pub fn read(&mut self, pids: &[u32]) -> Result<()> {
        for &pid in pids {
            for file in FILES {
                self.file(pid, file)?;
            }
        }
        Ok(())
    }

    /// What a monitor does: lists /proc, reads the three files of every process, takes RSS out of each. The sum of all,
    /// in pages by `stat` and `statm` and in KiB by `status`.
    pub fn list_and_parse(&mut self) -> Result<[u64; 3]> {
        let mut sums = [0; 3];
        for entry in fs::read_dir("/proc").context("cannot list /proc")? {
            let name = entry.context("cannot list /proc")?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
            for ((file, parse), sum) in FILES.into_iter().zip([of_stat, of_statm, of_status]).zip(&mut sums) {
                if let Some(text) = self.file(pid, file)? {
                    *sum += parse(text).unwrap_or(0);
                }
            }
        }
        Ok(sums)
    }

    /// One file; `None` when its process is gone.
    fn file(&mut self, pid: u32, file: &str) -> Result<Option<&[u8]>> {
        let mut path = [0; 32];
        write!(Cursor::new(&mut path[..]), "{pid}/{file}\0").context("the path is too long")?;
        let path = CStr::from_bytes_until_nul(&path).context("the path is too long")?;
        let text = openat(&self.proc, path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
            .and_then(|opened| read(opened, &mut self.buffer));
        match text {
            Ok(length) => Ok(Some(&self.buffer[..length])),
            Err(Errno::ENOENT | Errno::ESRCH) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read /proc/{pid}/{file}")),
        }
    }
}

/// Field 24; the name before it may hold blanks and parentheses.
fn of_stat(text: &[u8]) -> Option<u64> {
    let after_name = text.iter().rposition(|&byte| byte == b')')? + 1;
    number(text[after_name..].split(|&byte| byte == b' ').nth(22)?)
}

/// Field 2.
fn of_statm(text: &[u8]) -> Option<u64> {
    number(text.split(|&byte| byte == b' ').nth(1)?)
}

/// `VmRSS`, in KiB; kernel threads have none.
fn of_status(text: &[u8]) -> Option<u64> {
    let line = text.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"VmRSS:"))?;
    number(line.trim_ascii_start().split(|&byte| byte == b' ').next()?)
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}
