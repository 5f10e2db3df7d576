//! tracefs: the record of `kmem:rss_stat`, and the event switched on in an instance of its own.

use std::{
    ffi::CString,
    fs,
    io::Read as _,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    sys::wait::waitpid,
    unistd::{ForkResult, Pid, fork, getpid, pipe2},
};

const TRACEFS: &str = "/sys/kernel/tracing";
const EVENT: &str = "events/kmem/rss_stat";

/// Where `mm_id` stands for the BPF program in xtask/bench/ebpf/ (`MM_ID`), as its tracepoint's format says it.
const MM_ID: &str = "field:unsigned int mm_id;\toffset:8;\tsize:4;";

/// Mounts tracefs where it is not: for this process and its children alone.
pub fn ensure_tracefs() -> Result<()> {
    if !Path::new(TRACEFS).join(EVENT).is_dir() {
        unshare(CloneFlags::CLONE_NEWNS).context("cannot have mounts of our own")?;
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
            .context("cannot keep mounts to ourselves: is / no mount point (a chroot)?")?;
        mount(Some("tracefs"), TRACEFS, Some("tracefs"), MsFlags::empty(), none)
            .with_context(|| format!("cannot mount tracefs on {TRACEFS}"))?;
    }
    let path = Path::new(TRACEFS).join(EVENT).join("format");
    let format = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    if !format.contains(MM_ID) {
        bail!(
            "{} has mm_id elsewhere than {MM_ID:?}: see MM_ID in xtask/bench/ebpf/src/main.rs",
            path.display()
        );
    }
    Ok(())
}

/// An instance of ftrace, with buffers of its own: nobody else's tracing is touched.
///
/// It is the kernel's, not a process's: what takes it away is a child that waits for the end of this process, however that
/// comes.
pub struct Instance {
    path: PathBuf,
    caretaker: Pid,
    /// Closed by our end.
    alive: Option<OwnedFd>,
}

impl Instance {
    /// Makes it; the event is off. This process must have one thread.
    pub fn make() -> Result<Self> {
        let path = PathBuf::from(format!("{TRACEFS}/instances/rss-drift-bench-{}", getpid()));
        let in_path = |file: &str| {
            let path = if file.is_empty() { path.clone() } else { path.join(file) };
            CString::new(path.into_os_string().into_encoded_bytes()).context("a path with a zero")
        };
        let (directory, enable) = (in_path("")?, in_path(&format!("{EVENT}/enable"))?);
        let (ended, alive) = pipe2(nix::fcntl::OFlag::O_CLOEXEC).context("cannot make a pipe")?;
        // SAFETY: there is no other thread.
        match unsafe { fork() }.context("cannot fork")? {
            ForkResult::Parent { child } => {
                let instance = Self { path, caretaker: child, alive: Some(alive) };
                fs::create_dir(&instance.path)
                    .with_context(|| format!("cannot make {}", instance.path.display()))?;
                Ok(instance)
            }
            ForkResult::Child => {
                drop(alive);
                // SAFETY: system calls with strings that end with 0.
                unsafe {
                    // Ctrl-C goes to all of the terminal's processes.
                    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT] {
                        libc::signal(signal, libc::SIG_IGN);
                    }
                    let _ = fs::File::from(ended).read(&mut [0]);
                    let fd = libc::open(enable.as_ptr(), libc::O_WRONLY);
                    libc::write(fd, c"0".as_ptr().cast(), 1);
                    libc::close(fd);
                    libc::rmdir(directory.as_ptr());
                    libc::_exit(0)
                }
            }
        }
    }

    /// Switches the event on until what is returned is dropped.
    pub fn switch_on(&self) -> Result<Event> {
        let event = Event(self.path.join(EVENT).join("enable"));
        fs::write(&event.0, "1").with_context(|| format!("cannot write {}", event.0.display()))?;
        Ok(event)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.alive = None;
        let _ = waitpid(self.caretaker, None);
    }
}

/// An event that is on.
pub struct Event(PathBuf);

impl Drop for Event {
    fn drop(&mut self) {
        // The caretaker tries once more.
        let _ = fs::write(&self.0, "0");
    }
}
