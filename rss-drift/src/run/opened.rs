//! How often files of /proc that say RSS were opened: fanotify(7) tells of each opening on the file system, and costs where
//! those files are opened and nowhere else.
//!
//! The kernel makes one event of openings of a file by a process that follow each other before the first was taken
//! (`fs/notify/fanotify/fanotify.c:fanotify_merge`, 5.10 to 7.2): some milliseconds.

use std::{
    fs, io,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
};

use nix::{
    errno::Errno,
    fcntl::AT_FDCWD,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        eventfd::{EfdFlags, EventFd},
        fanotify::{EventFFlags, Fanotify, InitFlags, MarkFlags, MaskFlags},
    },
};

/// The files, each with the figure that it counts for.
const FILES: [(&str, usize); 5] =
    [("stat", 0), ("statm", 1), ("status", 2), ("smaps", 3), ("smaps_rollup", 3)];

/// How often they were opened, of processes that are measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Openings {
    /// `stat`, of a process or a thread.
    pub stat: u64,
    pub statm: u64,
    pub status: u64,
    /// `smaps` and `smaps_rollup`.
    pub smaps: u64,
    /// Openings of any file of /proc of which the kernel could not tell any more which it was.
    pub unnamed: u64,
    /// How often the kernel's queue was full, and lost openings.
    pub overflows: u64,
}

impl Openings {
    /// Those that are known.
    pub(super) const fn sum(&self) -> u64 {
        self.stat + self.statm + self.status + self.smaps
    }
}

/// Counts until it is asked.
#[derive(Debug)]
pub(super) struct Opened {
    counter: Arc<Counter>,
    thread: Option<JoinHandle<()>>,
}

impl Opened {
    /// Begins. `measured` says of a process whether it is; openings by rss-drift do not count.
    ///
    /// # Errors
    /// Where the kernel has no fanotify, or /proc must not be watched (it needs `CAP_SYS_ADMIN`).
    pub(super) fn begin(measured: impl Fn(u32) -> bool + Send + 'static) -> io::Result<Self> {
        // The kernel bounds the queue (16,384 events unless fs.fanotify.max_queued_events says otherwise): it holds kernel memory, and
        // nobody takes events while rss-drift is stopped.
        let flags = InitFlags::FAN_CLASS_NOTIF | InitFlags::FAN_NONBLOCK | InitFlags::FAN_CLOEXEC;
        let group = Fanotify::init(flags, EventFFlags::O_RDONLY | EventFFlags::O_CLOEXEC)?;
        let mark = MarkFlags::FAN_MARK_ADD | MarkFlags::FAN_MARK_FILESYSTEM;
        group.mark(mark, MaskFlags::FAN_OPEN, AT_FDCWD, Some("/proc"))?;
        let counter = Arc::new(Counter {
            group,
            stop: EventFd::from_flags(EfdFlags::EFD_CLOEXEC)?,
            counts: Default::default(),
            unnamed: AtomicU64::new(0),
            overflows: AtomicU64::new(0),
        });
        let thread = thread::Builder::new().name("opened".to_owned()).spawn({
            let counter = Arc::clone(&counter);
            move || counter.count(&measured)
        })?;
        Ok(Self { counter, thread: Some(thread) })
    }

    /// What was counted, to the last opening before this call.
    pub(super) fn end(mut self) -> Openings {
        self.stop();
        let [stat, statm, status, smaps] = [0, 1, 2, 3].map(|file| self.counter.counts[file].load(Relaxed));
        let [unnamed, overflows] =
            [&self.counter.unnamed, &self.counter.overflows].map(|count| count.load(Relaxed));
        Openings { stat, statm, status, smaps, unnamed, overflows }
    }

    fn stop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        // A counter that is full wakes as well, and a thread that has panicked has said so.
        let _ = self.counter.stop.write(1);
        let _ = thread.join();
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.stop();
    }
}

#[derive(Debug)]
struct Counter {
    group: Fanotify,
    stop: EventFd,
    counts: [AtomicU64; 4],
    unnamed: AtomicU64,
    overflows: AtomicU64,
}

impl Counter {
    fn count(&self, measured: &impl Fn(u32) -> bool) {
        loop {
            let mut fds =
                [self.group.as_fd(), self.stop.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
            let polled = poll(&mut fds, PollTimeout::NONE);
            let stop = fds[1].any().unwrap_or(true);
            self.take_all(measured);
            if stop || polled.is_err_and(|errno| errno != Errno::EINTR) {
                break;
            }
        }
    }

    /// Takes every event that is there.
    fn take_all(&self, measured: &impl Fn(u32) -> bool) {
        loop {
            let events = match self.group.read_events() {
                Ok(events) => events,
                Err(Errno::EAGAIN | Errno::EINTR) => return,
                Err(_) => {
                    // The file of one event could not be opened for us: that event is gone.
                    self.unnamed.fetch_add(1, Relaxed);
                    continue;
                }
            };
            for event in &events {
                if event.mask().contains(MaskFlags::FAN_Q_OVERFLOW) {
                    self.overflows.fetch_add(1, Relaxed);
                    continue;
                }
                if u32::try_from(event.pid()).ok() == Some(std::process::id()) {
                    continue;
                }
                match event.fd().map(path) {
                    Some(Ok(path)) => {
                        if let Some((_, file)) = file_of(&path).filter(|&(pid, _)| measured(pid)) {
                            self.counts[file].fetch_add(1, Relaxed);
                        }
                    }
                    Some(Err(_)) | None => {
                        self.unnamed.fetch_add(1, Relaxed);
                    }
                }
            }
        }
    }
}

/// The path of an open file.
fn path(fd: BorrowedFd<'_>) -> io::Result<std::path::PathBuf> {
    fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

/// The process whose file it is, and which of [`FILES`] by its figure.
fn file_of(path: &Path) -> Option<(u32, usize)> {
    // The kernel says so behind the name of a file whose process has ended.
    let path = path.to_str()?;
    let path = path.strip_suffix(" (deleted)").unwrap_or(path);
    let mut names = path.rsplit('/');
    let name = names.next()?;
    let &(_, file) = FILES.iter().find(|(of, _)| *of == name)?;
    let pid = names.next()?.parse().ok()?;
    // That of a thread is in its process's folder.
    match names.next()? {
        "task" => Some((names.next()?.parse().ok()?, file)),
        _ => Some((pid, file)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_file_it_is() {
        let of = |path: &str| file_of(Path::new(path));
        assert_eq!(of("/proc/12/stat"), Some((12, 0)));
        assert_eq!(of("/proc/12/task/34/statm"), Some((12, 1)));
        assert_eq!(of("/other/mount/12/status (deleted)"), Some((12, 2)));
        assert_eq!((of("/proc/1/smaps"), of("/proc/1/smaps_rollup")), (Some((1, 3)), Some((1, 3))));
        for path in ["/proc/stat", "/proc/12/maps", "/proc/12/net/stat", "/proc/12/task", "stat", "/"] {
            assert_eq!(of(path), None, "{path}");
        }
    }
}
