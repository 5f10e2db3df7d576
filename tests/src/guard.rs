//! Settings of the whole host that a test changes: put back when the test ends, also by a panic, by a signal, and, from
//! the harness's journal, when the test was killed.

use std::{
    env,
    ffi::CString,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, Write as _},
    os::fd::{AsRawFd as _, FromRawFd as _, RawFd},
    ptr,
    sync::{
        Mutex,
        atomic::{AtomicPtr, Ordering},
    },
};

/// In the environment of tests: the descriptor of the journal.
const JOURNAL: &str = "LIVE_TESTS_JOURNAL";

/// The harness's end of the journal.
static HARNESS_JOURNAL: Mutex<Option<File>> = Mutex::new(None);

/// What stood in a file before.
#[derive(Debug)]
struct Saved {
    path: CString,
    value: Vec<u8>,
}

impl Saved {
    /// Puts it back, by system calls alone: a signal handler does this too.
    fn put_back(&self) {
        // SAFETY: the path ends with a zero, the value is as long as it says.
        unsafe {
            let fd = libc::open(self.path.as_ptr(), libc::O_WRONLY | libc::O_TRUNC | libc::O_CLOEXEC);
            if fd >= 0 {
                libc::write(fd, self.value.as_ptr().cast(), self.value.len());
                libc::close(fd);
            }
        }
    }
}

/// Settings that can be changed at a time: one for each CPU of a large guest, and some more.
const MOST: usize = 300;

/// What the signal handler has to put back.
static CHANGED: [AtomicPtr<Saved>; MOST] = [const { AtomicPtr::new(ptr::null_mut()) }; MOST];

/// A changed setting. Dropping it puts the old value back.
#[derive(Debug)]
pub struct Setting {
    slot: usize,
}

impl Setting {
    /// Writes `value` into the file of a setting.
    pub fn change(path: &str, value: &str) -> io::Result<Self> {
        let old = chosen(&fs::read_to_string(path)?);
        note_in_journal(path, &old)?;
        let saved = Saved { path: CString::new(path)?, value: old.into_bytes() };
        let saved = Box::into_raw(Box::new(saved));
        let slot = CHANGED
            .iter()
            .position(|slot| {
                slot.compare_exchange(ptr::null_mut(), saved, Ordering::AcqRel, Ordering::Relaxed).is_ok()
            })
            .expect("a test changes few settings");
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            // SAFETY: the handler makes system calls only.
            unsafe { libc::signal(signal, put_all_back as *const () as libc::sighandler_t) };
        }
        let setting = Self { slot };
        OpenOptions::new().write(true).open(path)?.write_all(value.as_bytes())?;
        Ok(setting)
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        let saved = CHANGED[self.slot].swap(ptr::null_mut(), Ordering::AcqRel);
        if !saved.is_null() {
            // SAFETY: it came from Box::into_raw, and the swap took it from everybody else.
            unsafe { Box::from_raw(saved) }.put_back();
        }
    }
}

extern "C" fn put_all_back(signal: libc::c_int) {
    for slot in &CHANGED {
        let saved = slot.load(Ordering::Acquire);
        if !saved.is_null() {
            // SAFETY: whoever takes it out of the slot is the interrupted thread, which does not run now.
            unsafe { (*saved).put_back() };
        }
    }
    // SAFETY: ends this process at once; nothing of it runs afterwards.
    unsafe { libc::_exit(128 + signal) }
}

/// The value to write back: files like `always [madvise] never` mark the one that holds.
fn chosen(text: &str) -> String {
    let marked = text.split_whitespace().find_map(|word| word.strip_prefix('[')?.strip_suffix(']'));
    marked.unwrap_or_else(|| text.trim_end()).to_owned()
}

/// Opens the journal that tests of this harness write to.
pub fn open_journal() {
    // SAFETY: a new descriptor that nobody else knows; inherited by tests on purpose, hence without MFD_CLOEXEC.
    let file = unsafe { File::from_raw_fd(libc::memfd_create(c"journal".as_ptr(), 0)) };
    // SAFETY: the harness has one thread.
    unsafe { env::set_var(JOURNAL, file.as_raw_fd().to_string()) };
    *HARNESS_JOURNAL.lock().expect("no thread panicked with it") = Some(file);
}

/// Writes down what is about to be changed. A test that runs without the harness has no journal.
fn note_in_journal(path: &str, value: &str) -> io::Result<()> {
    let Some(fd) = env::var(JOURNAL).ok().and_then(|text| text.parse::<RawFd>().ok()) else { return Ok(()) };
    let mut journal = OpenOptions::new().append(true).open(format!("/proc/self/fd/{fd}"))?;
    journal.write_all(format!("{path}\t{value}\n").as_bytes())
}

/// Puts back what a test that is gone has left changed, the last change first.
pub fn restore_what_was_left() {
    let mut journal = HARNESS_JOURNAL.lock().expect("no thread panicked with it");
    let Some(journal) = journal.as_mut() else { return };
    let mut text = String::new();
    journal.rewind().and_then(|()| journal.read_to_string(&mut text)).expect("read the journal");
    for (path, value) in text.lines().rev().filter_map(|line| line.split_once('\t')) {
        let now = fs::read_to_string(path).map(|text| chosen(&text));
        if now.is_ok_and(|now| now != value) {
            eprintln!("live-tests: putting {path} back to {value}");
            fs::write(path, value).expect("put a setting back");
        }
    }
    journal.set_len(0).and_then(|()| journal.rewind()).expect("empty the journal");
}
