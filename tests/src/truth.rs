//! What the kernel says of a process by other ways than its RSS counters: a walk of the page tables (`smaps`), mapping by
//! mapping, and the figures of /proc, parsed here and not by the code under test. In pages.

use std::{
    fs::{self, File},
    io,
    ops::Range,
    os::unix::fs::FileExt as _,
};

use rss_drift_common::{MEMBERS, Member, Pages};

/// One mapping of `/proc/PID/smaps`.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// Addresses.
    pub range: Range<u64>,
    /// Resident pages.
    pub rss: i64,
    /// The same, each divided by how often it is mapped.
    pub pss: i64,
    /// Those of them that are anonymous.
    pub anonymous: i64,
    /// Those of them that are in huge pages.
    pub huge: i64,
    /// Swapped out: entries in the page tables, of which smaps shows more for shared memory, whose file may be in swap.
    pub swap: i64,
    /// What its other resident pages count as: file or shmem.
    pub backing: Member,
}

/// All mappings of a process.
#[derive(Clone, Debug)]
pub struct Walk(pub Vec<Mapping>);

impl Walk {
    /// Walks the page tables of a process, or of a thread where the leader has exited: /proc has a hidden folder for
    /// every thread's id.
    pub fn of(tid: u32) -> io::Result<Self> {
        let text = fs::read_to_string(format!("/proc/{tid}/smaps"))?;
        let mut mappings: Vec<Mapping> = Vec::new();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let (Some(first), second) = (words.next(), words.next()) else { continue };
            if let Some(range) = range(first) {
                let inode = words.nth(2);
                let backing = if inode == Some("0") { Member::File } else { backing(tid, &range) };
                mappings.push(Mapping { range, rss: 0, pss: 0, anonymous: 0, huge: 0, swap: 0, backing });
                continue;
            }
            let Some(mapping) = mappings.last_mut() else { continue };
            let field = match first {
                "Rss:" => &mut mapping.rss,
                "Pss:" => &mut mapping.pss,
                "Anonymous:" => &mut mapping.anonymous,
                "AnonHugePages:" => &mut mapping.huge,
                "Swap:" => &mut mapping.swap,
                _ => continue,
            };
            *field = kib_as_pages(second).ok_or_else(|| malformed(line))?;
        }
        for mapping in &mut mappings {
            if mapping.backing == Member::Shmem && mapping.swap > 0 {
                mapping.swap = swap_entries(tid, &mapping.range)?;
            }
        }
        Ok(Self(mappings))
    }

    /// Resident pages.
    pub fn rss(&self) -> i64 {
        self.0.iter().map(|mapping| mapping.rss).sum()
    }

    /// Pages per member, as the kernel counts them (`include/linux/mm.h:mm_counter`): an anonymous page counts as one
    /// wherever it is mapped; of the others those of shmem are told from those of files. Swapped pages of shmem belong to
    /// its file, not to a process, but for private copies of them.
    pub fn members(&self) -> Pages {
        let mut members = [0; MEMBERS];
        for mapping in &self.0 {
            members[Member::Anon.index()] += mapping.anonymous;
            members[mapping.backing.index()] += mapping.rss - mapping.anonymous;
            members[Member::Swap.index()] += mapping.swap;
        }
        members
    }

    /// The sum of a figure over the mappings within these addresses: the kernel splits mappings as it likes. One that
    /// reaches beyond would make the sum one of something else.
    pub fn within(&self, addresses: &Range<u64>, figure: impl Fn(&Mapping) -> i64) -> i64 {
        let touches =
            |mapping: &&Mapping| mapping.range.start < addresses.end && addresses.start < mapping.range.end;
        let inside = |range: &Range<u64>| addresses.start <= range.start && range.end <= addresses.end;
        self.0
            .iter()
            .filter(touches)
            .inspect(|mapping| assert!(inside(&mapping.range), "{mapping:?} reaches beyond {addresses:x?}"))
            .map(figure)
            .sum()
    }
}

/// What /proc prints of RSS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Printed {
    /// Field 24 of `stat`.
    pub stat: i64,
    /// Field 2 of `statm`.
    pub statm: i64,
    /// `VmRSS` of `status`.
    pub status: i64,
    /// `Rss` of `smaps_rollup`.
    pub rollup: i64,
}

impl Printed {
    /// Reads all four files of a process, or of a thread by its id.
    pub fn of(tid: u32) -> io::Result<Self> {
        let read = |name: &str| {
            fs::read(format!("/proc/{tid}/{name}")).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        };
        let statm = read("statm")?;
        Ok(Self {
            stat: stat_field(&read("stat")?, 24).ok_or_else(|| malformed("stat"))?,
            statm: statm
                .split(' ')
                .nth(1)
                .and_then(|word| word.parse().ok())
                .ok_or_else(|| malformed("statm"))?,
            status: kib_line(&read("status")?, "VmRSS:").ok_or_else(|| malformed("status"))?,
            rollup: kib_line(&read("smaps_rollup")?, "Rss:").ok_or_else(|| malformed("smaps_rollup"))?,
        })
    }
}

/// A field of a `stat` file by its number in proc(5), from the third on: names may hold anything, also `) 1 2`.
pub fn stat_field(stat: &str, number: usize) -> Option<i64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split_whitespace().nth(number - 3)?.parse().ok()
}

fn kib_line(text: &str, name: &str) -> Option<i64> {
    kib_as_pages(text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next())
}

fn kib_as_pages(word: Option<&str>) -> Option<i64> {
    Some(word?.parse::<i64>().ok()? / (page_size() / 1024))
}

/// Bytes per page.
pub fn page_size() -> i64 {
    // SAFETY: sysconf has no preconditions.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    assert!(bytes >= 1024, "sysconf(_SC_PAGESIZE) is {bytes}");
    bytes
}

/// The addresses that begin a mapping's first line.
fn range(word: &str) -> Option<Range<u64>> {
    let (start, end) = word.split_once('-')?;
    Some(u64::from_str_radix(start, 16).ok()?..u64::from_str_radix(end, 16).ok()?)
}

/// Whether a file's pages count as shmem: those of tmpfs do, and shared anonymous memory, memfd and System V's segments
/// are files of a tmpfs that the kernel has for itself.
fn backing(tid: u32, range: &Range<u64>) -> Member {
    let path = format!("/proc/{tid}/map_files/{:x}-{:x}", range.start, range.end);
    match nix::sys::statfs::statfs(path.as_str()) {
        Ok(found) if found.filesystem_type() == nix::sys::statfs::TMPFS_MAGIC => Member::Shmem,
        _ => Member::File,
    }
}

/// Pages of a mapping whose page table entry is one of swap, by `/proc/PID/pagemap`
/// (`Documentation/admin-guide/mm/pagemap.rst`).
fn swap_entries(tid: u32, range: &Range<u64>) -> io::Result<i64> {
    const SWAPPED: u64 = 1 << 62;
    let page = page_size().unsigned_abs();
    let mut bytes = vec![0; usize::try_from((range.end - range.start) / page * 8).map_err(io::Error::other)?];
    File::open(format!("/proc/{tid}/pagemap"))?.read_exact_at(&mut bytes, range.start / page * 8)?;
    let (entries, _) = bytes.as_chunks::<8>();
    Ok(entries.iter().map(|entry| i64::from(u64::from_ne_bytes(*entry) & SWAPPED != 0)).sum())
}

fn malformed(what: &str) -> io::Error {
    io::Error::other(format!("not understood: {what}"))
}
