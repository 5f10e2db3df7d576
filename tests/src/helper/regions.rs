//! A helper's memory: mappings of each kind, and what can be done with their pages.

use std::{
    fs::File,
    io,
    os::fd::{AsRawFd as _, FromRawFd as _},
    ptr,
};

/// Bytes of a huge page.
const HUGE: usize = 2 << 20;

/// What a region is mapped from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Private anonymous memory that wants no huge pages.
    Anon,
    /// Private anonymous memory, aligned for huge pages and asking for them.
    Huge,
    /// A file, privately: written pages become anonymous.
    PrivateFile,
    /// A file, shared.
    SharedFile,
    /// Shared anonymous memory.
    Shmem,
    /// A file without a name (`memfd_create`), shared.
    Memfd,
    /// The same, privately: written pages become anonymous.
    PrivateMemfd,
}

impl Kind {
    const ALL: [Self; 7] = [
        Self::Anon,
        Self::Huge,
        Self::PrivateFile,
        Self::SharedFile,
        Self::Shmem,
        Self::Memfd,
        Self::PrivateMemfd,
    ];

    /// The word in an order.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Anon => "anon",
            Self::Huge => "huge",
            Self::PrivateFile => "private-file",
            Self::SharedFile => "shared-file",
            Self::Shmem => "shmem",
            Self::Memfd => "memfd",
            Self::PrivateMemfd => "private-memfd",
        }
    }

    pub(super) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == word)
    }
}

/// No memory of this process is to come by 512 pages at a time, or to be gathered into such later, until a region asks for
/// it: its pages are counted one by one.
pub(super) fn no_huge_pages() {
    // SAFETY: sets a property of this process; a kernel without huge pages refuses, and has nothing to set.
    unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
}

/// A mapping. It stays until the helper ends or unmaps it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mapped {
    pub(super) start: usize,
    pages: usize,
    page: usize,
}

impl Mapped {
    /// Maps `pages`; of a file the first ones.
    pub(super) fn new(kind: Kind, pages: usize, path: &str) -> io::Result<Self> {
        let page = usize::try_from(crate::truth::page_size()).expect("a page has a positive size");
        let bytes = pages * page;
        let file = match kind {
            Kind::Anon | Kind::Huge | Kind::Shmem => None,
            Kind::PrivateFile | Kind::SharedFile => Some(File::options().read(true).write(true).open(path)?),
            Kind::Memfd | Kind::PrivateMemfd => Some(memfd(bytes as u64)?),
        };
        let shared = matches!(kind, Kind::SharedFile | Kind::Shmem | Kind::Memfd);
        let flags = if shared { libc::MAP_SHARED } else { libc::MAP_PRIVATE };
        let (flags, fd) =
            file.as_ref().map_or((flags | libc::MAP_ANONYMOUS, -1), |file| (flags, file.as_raw_fd()));
        let start = reserve(bytes, page, if kind == Kind::Huge { HUGE } else { page })?;
        // SAFETY: over a part of the reservation, which nothing uses.
        let mapped = unsafe {
            libc::mmap(
                start as *mut _,
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                flags | libc::MAP_FIXED,
                fd,
                0,
            )
        };
        if mapped == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let region = Self { start, pages, page };
        if kind == Kind::Huge {
            // SAFETY: sets a property of this process: see `no_huge_pages`.
            unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 0, 0, 0, 0) };
            region.advise(0, pages, libc::MADV_HUGEPAGE)?;
        } else {
            // A kernel without huge pages does not know the word, and does not need it.
            let _ = region.advise(0, pages, libc::MADV_NOHUGEPAGE);
        }
        Ok(region)
    }

    /// Bytes of so many pages.
    pub(super) const fn bytes(&self, pages: usize) -> usize {
        pages * self.page
    }

    /// Writes one byte to each of these pages.
    pub(super) fn write(&self, first: usize, count: usize) {
        for page in first..(first + count).min(self.pages) {
            // SAFETY: within the mapping, which is writable.
            unsafe { ptr::write_volatile((self.start + page * self.page) as *mut u8, 1) };
        }
    }

    /// Reads one byte of each of these pages.
    pub(super) fn read(&self, first: usize, count: usize) {
        for page in first..(first + count).min(self.pages) {
            // SAFETY: within the mapping, which is readable.
            unsafe { ptr::read_volatile((self.start + page * self.page) as *const u8) };
        }
    }

    /// madvise(2).
    pub(super) fn advise(&self, first: usize, count: usize, advice: libc::c_int) -> io::Result<()> {
        // SAFETY: within a mapping of ours, of which nothing holds a reference.
        check(unsafe { libc::madvise((self.start + first * self.page) as *mut _, count * self.page, advice) })
    }

    /// mlock(2).
    pub(super) fn lock(&self) -> io::Result<()> {
        // SAFETY: locking does not change what memory holds.
        check(unsafe { libc::mlock(self.start as *const _, self.pages * self.page) })
    }

    /// munmap(2).
    pub(super) fn unmap(&self, first: usize, count: usize) -> io::Result<()> {
        // SAFETY: of a mapping of ours, of which nothing holds a reference; no order names these pages again.
        check(unsafe { libc::munmap((self.start + first * self.page) as *mut _, count * self.page) })
    }

    /// mprotect(2): these pages can only be read.
    pub(super) fn protect(&self, first: usize, count: usize) -> io::Result<()> {
        // SAFETY: of a mapping of ours; no order writes to these pages again.
        check(unsafe {
            libc::mprotect((self.start + first * self.page) as *mut _, count * self.page, libc::PROT_READ)
        })
    }
}

/// Reserves addresses with some to spare on both sides that nobody may touch: the kernel merges mappings side by side, and
/// a region is to be told from others in smaps.
fn reserve(bytes: usize, page: usize, alignment: usize) -> io::Result<usize> {
    let room = bytes + alignment + 2 * page;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping at an address of the kernel's choice.
    let start = unsafe { libc::mmap(ptr::null_mut(), room, libc::PROT_NONE, flags, -1, 0) };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    Ok((start as usize + page).next_multiple_of(alignment))
}

pub(super) fn memfd(bytes: u64) -> io::Result<File> {
    // SAFETY: a name that ends with a zero; the descriptor is checked and nobody else's.
    let file = unsafe {
        let fd = libc::memfd_create(c"live-helper".as_ptr(), libc::MFD_CLOEXEC);
        check(fd)?;
        File::from_raw_fd(fd)
    };
    file.set_len(bytes)?;
    Ok(file)
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
