//! Readers of /proc: what the kernel reports of one process. Pages inside; `None` is unreadable, never 0. And who its users are.

pub mod accounts;
mod cgroups;
mod files;
mod memory;
mod namespace;
mod rollup;
mod source;
mod tools;

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

pub use cgroups::{CgroupVersion, Cgroups, Groups};
pub use files::Buffer;
pub use memory::Memory;
pub use namespace::boottime_offset;
use procfs::{
    FromRead,
    process::{Stat, StatM, Status},
};
pub use rollup::Rollup;
pub use source::{Precision, ProcFigures, Source};
pub use tools::{Origin, TOOLS, Tool};

/// What to read of a process.
#[expect(clippy::struct_excessive_bools, reason = "each is a file")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub stat: bool,
    pub statm: bool,
    pub status: bool,
    /// `smaps_rollup`: a page-table walk, costly for a large process.
    pub resident: bool,
    /// The cgroup's path, unless [`Cgroups`] has it.
    pub cgroup: bool,
}

impl Wanted {
    /// No file at all.
    pub const NOTHING: Self =
        Self { stat: false, statm: false, status: false, resident: false, cgroup: false };

    /// What either of the two reads.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            stat: self.stat || other.stat,
            statm: self.statm || other.statm,
            status: self.status || other.status,
            resident: self.resident || other.resident,
            cgroup: self.cgroup || other.cgroup,
        }
    }

    /// The file of this source alone.
    #[must_use]
    pub const fn only(source: Source) -> Self {
        match source {
            Source::Stat => Self { stat: true, ..Self::NOTHING },
            Source::Statm => Self { statm: true, ..Self::NOTHING },
            Source::Status => Self { status: true, ..Self::NOTHING },
        }
    }

    /// Whether the file of this source is read.
    #[must_use]
    pub const fn has(self, source: Source) -> bool {
        match source {
            Source::Stat => self.stat,
            Source::Statm => self.statm,
            Source::Status => self.status,
        }
    }
}

impl Default for Wanted {
    /// Every file that prints RSS cheaply.
    fn default() -> Self {
        Self { stat: true, statm: true, status: true, ..Self::NOTHING }
    }
}

/// What /proc said of one process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    pub figures: ProcFigures,
    /// Effective user id, from `status`.
    pub uid: Option<u32>,
    /// Path of its cgroup, where it was wanted.
    pub cgroup: Option<String>,
    /// Page faults since it began, minor and major, from `stat`.
    pub faults: Option<u64>,
}

/// The folder of a task in /proc: `/proc/PID`, or that of one thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskFolder(PathBuf);

impl TaskFolder {
    /// The folder of a process.
    #[must_use]
    pub fn process(pid: u32) -> Self {
        Self(format!("/proc/{pid}").into())
    }

    /// The folder of one thread: after the leader's exit the process's own files say 0. Not the one below the process's
    /// folder, which has no `smaps_rollup`: /proc also has, and does not list, a folder as that of a process for every
    /// thread's id (`fs/proc/base.c:proc_pid_lookup`).
    #[must_use]
    pub fn thread(tid: u32) -> Self {
        Self::process(tid)
    }

    /// Reads what is wanted. Each file is read by itself: one that fails leaves the others as they are.
    #[must_use]
    pub fn read(&self, wanted: Wanted, page_size: u64) -> Files {
        self.read_into(&mut Buffer::default(), wanted, page_size)
    }

    /// As [`TaskFolder::read`], for one process after the other.
    #[must_use]
    pub fn read_into(&self, buffer: &mut Buffer, wanted: Wanted, page_size: u64) -> Files {
        let pages = |bytes: u64| i64::try_from(bytes / page_size).ok();
        let kib = |kib: Option<u64>| kib.and_then(|kib| kib.checked_mul(1024)).and_then(pages);
        let status = |bytes: &[u8]| Some(files::Status::parse(bytes));
        let status = buffer.parse(wanted.status, (&self.0, "status"), status).unwrap_or_default();
        let stat = buffer.parse(wanted.stat, (&self.0, "stat"), files::Stat::parse);
        let statm = buffer.parse(wanted.statm, (&self.0, "statm"), files::statm);
        // A group may have a name that is not UTF-8.
        let cgroup = |bytes: &[u8]| cgroups::cgroup_of(&String::from_utf8_lossy(bytes));
        let cgroup = buffer.parse(wanted.cgroup, (&self.0, "cgroup"), cgroup);
        let rollup = wanted.resident.then(|| self.rollup()).flatten();
        let figures = ProcFigures {
            stat: stat.map(|stat| stat.rss),
            statm,
            status: kib(status.vm_rss_kib),
            vm_hwm: kib(status.vm_hwm_kib),
            resident: rollup.and_then(|rollup| rollup.rss).and_then(pages),
            pss: rollup.and_then(|rollup| rollup.pss).and_then(|bytes| i64::try_from(bytes).ok()),
        };
        Files { figures, uid: status.euid, cgroup, faults: stat.map(|stat| stat.faults) }
    }

    /// Its control groups, in every hierarchy.
    #[must_use]
    pub fn groups(&self) -> Option<Groups> {
        let parse = |bytes: &[u8]| Groups::of(&String::from_utf8_lossy(bytes));
        Buffer::default().parse(true, (&self.0, "cgroup"), parse)
    }

    /// Its effective user.
    #[must_use]
    pub fn user(&self) -> Option<u32> {
        Buffer::default().parse(true, (&self.0, "status"), |bytes| files::Status::parse(bytes).euid)
    }

    /// Its arguments, with a blank between two: 128 KiB of them. A process may have changed them, as servers do that show what they are at.
    #[must_use]
    pub fn command_line(&self) -> Option<String> {
        // A process can make its arguments as long as its memory.
        const MOST_BYTES: u64 = 128 << 10;
        let mut bytes = Vec::new();
        File::open(self.0.join("cmdline")).ok()?.take(MOST_BYTES).read_to_end(&mut bytes).ok()?;
        // What is behind the last argument: one zero, or more where a shorter text was written over a longer one.
        let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        bytes.truncate(end);
        bytes.iter_mut().filter(|byte| **byte == 0).for_each(|byte| *byte = b' ');
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn has_memory(&self) -> bool {
        StatM::from_file(self.0.join("statm")).is_ok_and(|statm| statm.resident > 0)
    }

    /// `status`. A name that is not UTF-8 would make the whole file unreadable to the parser.
    fn status(&self) -> Option<Status> {
        let bytes = fs::read(self.0.join("status")).ok()?;
        Status::from_read(String::from_utf8_lossy(&bytes).as_bytes()).ok()
    }

    /// What the process holds beside its RSS, and how the OOM killer rates it.
    #[must_use]
    pub fn memory(&self) -> Memory {
        Memory::read(&self.0)
    }

    /// Sets its `oom_score_adj`. Below what it had before takes `CAP_SYS_RESOURCE`.
    pub fn set_oom_score_adj(&self, adj: i64) -> io::Result<()> {
        fs::write(self.0.join("oom_score_adj"), adj.to_string())
    }

    /// `smaps_rollup`: a walk over the page tables. A process that is not ours to trace refuses it.
    #[must_use]
    pub fn rollup(&self) -> Option<Rollup> {
        Rollup::read(&self.0)
    }
}

/// Why a pid that was asked for cannot be watched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoMemory {
    #[error("there is no process {0}")]
    Gone(u32),
    #[error("process {0} is a kernel thread: it has no memory of its own")]
    KernelThread(u32),
    /// All threads have exited; the memory is gone.
    #[error("process {0} is a zombie: its memory is gone")]
    Zombie(u32),
    #[error("{0} is a thread of process {1}: RSS belongs to the process, ask for {1}")]
    Thread(u32, u32),
    /// It has memory, but the iterator leaves it out.
    #[error(
        "process {0} has memory, but this kernel does not show it to BPF iterators (a security module may hide it): it \
         cannot be measured"
    )]
    Hidden(u32),
    /// It has no memory for a reason that /proc does not tell: in the middle of its exit or of its birth.
    #[error("process {0} has no memory at this moment")]
    None(u32),
}

/// `include/linux/sched.h:PF_KTHREAD`, field 9 of `/proc/PID/stat`.
const PF_KTHREAD: u32 = 0x0020_0000;

/// Why the reader has no record of `pid`.
#[must_use]
pub fn why_no_memory(pid: u32) -> NoMemory {
    let folder = TaskFolder::process(pid);
    match fs::metadata(&folder.0) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return NoMemory::Gone(pid),
        _ => {}
    }
    let Ok(stat) = Stat::from_file(folder.0.join("stat")) else { return NoMemory::Gone(pid) };
    let tgid = folder.status().and_then(|status| u32::try_from(status.tgid).ok());
    match tgid {
        Some(tgid) if tgid != pid => NoMemory::Thread(pid, tgid),
        _ if stat.flags & PF_KTHREAD != 0 => NoMemory::KernelThread(pid),
        _ if stat.state == 'Z' || stat.state == 'X' => NoMemory::Zombie(pid),
        _ if folder.has_memory() => NoMemory::Hidden(pid),
        _ => NoMemory::None(pid),
    }
}

/// How many processes there are, kernel threads among them.
pub fn with_any_pid() -> io::Result<usize> {
    let is_pid = |name: std::ffi::OsString| name.as_encoded_bytes().iter().all(u8::is_ascii_digit);
    Ok(fs::read_dir("/proc")?.filter(|entry| entry.as_ref().is_ok_and(|it| is_pid(it.file_name()))).count())
}

/// A thread's own name (`/proc/TID/comm`; the folder is there for threads too, though it is not listed). `None` when the
/// thread is gone.
#[must_use]
pub fn thread_name(tid: u32) -> Option<String> {
    let bytes = fs::read(format!("/proc/{tid}/comm")).ok()?;
    Some(task_name(bytes.strip_suffix(b"\n").unwrap_or(&bytes)))
}

/// Longest name of a task that the kernel keeps, in bytes (`include/linux/sched.h:TASK_COMM_LEN`, less the zero at its end).
pub const LONGEST_NAME: usize = 15;

/// A name as the kernel keeps it, up to a zero. Of a longer one it keeps so many bytes, and where these end within a character, a mark
/// stands for what is left of that, as for all text that is cut.
#[must_use]
pub fn task_name(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    let name = &bytes[..end];
    let is_begun = |part: &[u8]| {
        std::str::from_utf8(part).is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
    };
    // A character has four bytes at most.
    let begun = (1..=3).find(|&length| name.len() >= length && is_begun(&name[name.len() - length..]));
    match begun {
        Some(length) if name.len() == LONGEST_NAME => {
            String::from_utf8_lossy(&name[..name.len() - length]).into_owned() + "+"
        }
        _ => String::from_utf8_lossy(name).into_owned(),
    }
}

/// Page faults, minor and major, of the threads of a process that live. (The process's own figure has those of the dead ones
/// too.) 0 when it is gone.
#[must_use]
pub fn faults_of_threads(pid: u32) -> u64 {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return 0 };
    let stats = threads.filter_map(|entry| Stat::from_file(entry.ok()?.path().join("stat")).ok());
    stats.map(|stat| stat.minflt.saturating_add(stat.majflt)).sum()
}

/// Every process, by rising pid.
pub fn processes() -> io::Result<Vec<u32>> {
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc")? {
        pids.extend(entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    pids.sort_unstable();
    Ok(pids)
}

/// Every process that has memory by `statm`, by rising pid: what the iterator should show.
pub fn with_memory() -> io::Result<Vec<u32>> {
    let mut pids = processes()?;
    pids.retain(|&pid| TaskFolder::process(pid).has_memory());
    Ok(pids)
}

/// The largest RSS of this process so far, start-up included, in bytes: its `VmHWM`.
#[must_use]
pub fn own_peak_rss() -> Option<u64> {
    TaskFolder("/proc/self".into()).status()?.vmhwm?.checked_mul(1024)
}

/// Reads a small file of /proc or /sys and trims it.
pub fn read_line(path: impl AsRef<Path>) -> io::Result<String> {
    Ok(fs::read_to_string(path)?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_was_cut_within_a_character_says_so() {
        for (bytes, name) in [
            (&b"sh\0\xff\xff"[..], "sh"),
            (
                "\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}".as_bytes(),
                "\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}+",
            ),
            ("twelve-bytes\u{1f980}".as_bytes(), "twelve-bytes+"),
            ("thirteen-byte\u{20ac}".as_bytes(), "thirteen-byte+"),
            ("twelve-bytes\u{20ac}".as_bytes(), "twelve-bytes\u{20ac}"),
            // Bytes that are no characters are not cut ones.
            (b"\xff-of-15-bytes-", "\u{fffd}-of-15-bytes-"),
            (b"of-15-bytes---\xff", "of-15-bytes---\u{fffd}"),
            // Shorter than what the kernel cuts to: its process gave itself half a character.
            (b"short\xc3", "short\u{fffd}"),
        ] {
            assert_eq!(task_name(&bytes[..bytes.len().min(LONGEST_NAME)]), name);
        }
    }

    #[test]
    fn a_cgroup_that_is_not_utf_8_is_read() {
        let folder = std::env::temp_dir().join(format!("rss-drift-cgroup-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("cgroup"), b"0::/a\xff/b\n").unwrap();
        let wanted = Wanted { cgroup: true, ..Wanted::NOTHING };
        let found = TaskFolder(folder.clone()).read(wanted, 4096).cgroup;
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(found.as_deref(), Some("/a\u{fffd}/b"));
    }

    #[test]
    fn what_is_not_there_is_empty() {
        let wanted = Wanted { resident: true, cgroup: true, ..Wanted::default() };
        assert_eq!(TaskFolder::process(u32::MAX).read(wanted, 4096), Files::default());
        assert_eq!(why_no_memory(u32::MAX), NoMemory::Gone(u32::MAX));
    }

    #[test]
    fn this_process_reports_all() {
        let files = TaskFolder::process(std::process::id())
            .read(Wanted { resident: true, cgroup: true, ..Wanted::default() }, 4096);
        let figures = files.figures;
        for figure in [figures.stat, figures.statm, figures.status, figures.vm_hwm, figures.resident] {
            assert!(figure.is_some_and(|pages| pages > 0), "{figures:?}");
        }
        assert!(files.uid.is_some() && files.cgroup.is_some());
    }
}
