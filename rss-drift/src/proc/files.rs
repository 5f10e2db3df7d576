//! The files of /proc that print RSS, read for the few figures that rows need.
//!
//! A report of a thousand processes reads three thousand files. A parser of every field costs as much again as the kernel's work to write
//! them, so this one takes what is needed, each file by one read(2).

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

/// Bytes that one read(2) asks for: more than any of the files has, unless its process is in hundreds of groups.
const USUAL: usize = 4096;

/// A buffer for one file after the other, and for their paths: with thousands of files memory that is taken for each would show.
#[derive(Debug)]
pub struct Buffer {
    bytes: Vec<u8>,
    path: PathBuf,
}

impl Default for Buffer {
    fn default() -> Self {
        Self { bytes: vec![0; USUAL], path: PathBuf::new() }
    }
}

impl Buffer {
    /// What `parse` makes of the file below `folder`; `None` if it is not wanted or cannot be read.
    pub(super) fn parse<T>(
        &mut self,
        wanted: bool,
        (folder, name): (&Path, &str),
        parse: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Option<T> {
        if !wanted {
            return None;
        }
        self.path.as_mut_os_string().clear();
        self.path.push(folder);
        self.path.push(name);
        parse(self.read()?)
    }

    /// The whole file; `None` if it cannot be read.
    ///
    /// Each of these files is one record of a `seq_file`: the kernel writes it at the first read(2), as far as there is room
    /// (`fs/seq_file.c:seq_read_iter`). So what came short of the room is all.
    fn read(&mut self) -> Option<&[u8]> {
        let mut file = File::open(&self.path).ok()?;
        let mut filled = 0;
        loop {
            filled += file.read(self.bytes.get_mut(filled..)?).ok()?;
            if filled < self.bytes.len() {
                return self.bytes.get(..filled);
            }
            self.bytes.resize(self.bytes.len() * 2, 0);
        }
    }
}

/// What `stat` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    /// Fields 10 and 12: minor and major faults.
    pub(super) faults: u64,
    /// Field 24, in pages.
    pub(super) rss: i64,
}

impl Stat {
    /// Field 2 is the name in parentheses, which may hold any byte, these too: what follows the last one counts.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.iter().rposition(|&byte| byte == b')')?;
        // From field 3 on.
        let mut fields = std::str::from_utf8(bytes.get(end + 1..)?).ok()?.split_ascii_whitespace();
        let minor: u64 = fields.nth(10 - 3)?.parse().ok()?;
        let major: u64 = fields.nth(12 - 10 - 1)?.parse().ok()?;
        let rss = fields.nth(24 - 12 - 1)?.parse().ok()?;
        Some(Self { faults: minor.saturating_add(major), rss })
    }
}

/// Field 2 of `statm`, in pages.
pub(super) fn statm(bytes: &[u8]) -> Option<i64> {
    std::str::from_utf8(bytes).ok()?.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// What `status` says; a process without memory has no line of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Status {
    /// The second of `Uid`: the effective one.
    pub(super) euid: Option<u32>,
    pub(super) vm_hwm_kib: Option<u64>,
    pub(super) vm_rss_kib: Option<u64>,
}

impl Status {
    pub(super) fn parse(bytes: &[u8]) -> Self {
        let mut status = Self::default();
        // The name in the first line has its newlines escaped (`fs/proc/array.c:proc_task_name`).
        for line in bytes.split(|&byte| byte == b'\n') {
            if let Some(ids) = line.strip_prefix(b"Uid:") {
                status.euid = number(ids, 1);
            } else if let Some(size) = line.strip_prefix(b"VmHWM:") {
                status.vm_hwm_kib = number(size, 0);
            } else if let Some(size) = line.strip_prefix(b"VmRSS:") {
                status.vm_rss_kib = number(size, 0);
                // The last of the three.
                break;
            }
        }
        status
    }
}

/// The number at this place of a line's rest.
fn number<T: std::str::FromStr>(rest: &[u8], place: usize) -> Option<T> {
    std::str::from_utf8(rest).ok()?.split_ascii_whitespace().nth(place)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, process};

    use procfs::{FromRead as _, process as other};

    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let line = b"7 (a) R 1 (\xff\n) S 1 7 7 0 -1 4194560 11 12 13 14 15 16 17 18 20 0 1 0 99 1000 -3 0\n";
        assert_eq!(Stat::parse(line), Some(Stat { faults: 24, rss: -3 }));
        let status = b"Name:\tVmRSS: 9\\n\xff\nUmask:\t0022\nUid:\t1\t2\t3\t4\nVmPeak:\t5 kB\nVmHWM:\t6 kB\nVmRSS:\t7 kB\n";
        assert_eq!(Status::parse(status), Status { euid: Some(2), vm_hwm_kib: Some(6), vm_rss_kib: Some(7) });
    }

    #[test]
    fn what_is_cut_off_is_nothing() {
        assert_eq!(Stat::parse(b""), None);
        assert_eq!(Stat::parse(b"7 (a) S 1 2 3"), None);
        assert_eq!(statm(b"12"), None);
        assert_eq!(statm(b"12 x"), None);
        assert_eq!(Status::parse(b"Name:\tkthreadd\n"), Status::default());
        assert_eq!(Status::parse(b"Uid:\t1\nVmRSS:\tmuch"), Status::default());
    }

    #[test]
    fn another_parser_says_the_same() {
        // Of every process there is: names, ids and sizes of all kinds. What moves between two readings is not compared.
        let mut compared = 0;
        for process in other::all_processes().unwrap().flatten() {
            let file = |name: &str| std::fs::read(format!("/proc/{}/{name}", process.pid)).ok();
            let (Some(stat), Some(statm_file), Some(status)) = (file("stat"), file("statm"), file("status"))
            else {
                continue;
            };
            let expected = other::Stat::from_read(&stat[..]).unwrap();
            let found = Stat::parse(&stat).unwrap();
            assert_eq!(found.faults, expected.minflt + expected.majflt);
            assert_eq!(found.rss.unsigned_abs(), expected.rss);
            let expected = other::StatM::from_read(&statm_file[..]).unwrap();
            assert_eq!(statm(&statm_file).unwrap().unsigned_abs(), expected.resident);
            let expected = other::Status::from_read(String::from_utf8_lossy(&status).as_bytes()).unwrap();
            let found = Status::parse(&status);
            assert_eq!(found.euid, Some(expected.euid));
            assert_eq!((found.vm_hwm_kib, found.vm_rss_kib), (expected.vmhwm, expected.vmrss));
            compared += 1;
        }
        assert!(compared > 0);
    }

    #[test]
    fn a_file_of_any_length_is_read_whole() {
        let mut buffer = Buffer::default();
        let mut read = |path: &Path| {
            let (folder, name) = (path.parent().unwrap(), path.file_name().unwrap().to_str().unwrap());
            buffer.parse(true, (folder, name), |bytes| Some(bytes.to_vec()))
        };
        for length in [0, 1, USUAL - 1, USUAL, USUAL + 1, 5 * USUAL] {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(&vec![b'x'; length]).unwrap();
            assert_eq!(read(file.path()).unwrap(), vec![b'x'; length]);
        }
        assert_eq!(read(Path::new("/nonexistent")), None);
        let own = format!("/proc/{}/stat", process::id());
        assert!(read(Path::new(&own)).unwrap().ends_with(b"\n"));
    }
}
