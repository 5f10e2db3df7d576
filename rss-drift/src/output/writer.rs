//! A thread for each output: an output whose reader stalls holds up nothing but itself.

use std::{
    collections::VecDeque,
    mem,
    os::fd::{AsFd as _, BorrowedFd},
    path::Path,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use nix::sys::{
    eventfd::{EfdFlags, EventFd},
    signal::SigSet,
};

use super::{OutputError, Target, file::Blocks, in_place::Ticks};

/// From so many bytes in its queue on an output gets no further report: memory is bounded. A report always finds room in an empty
/// queue, however large it is.
const ROOM: usize = 1 << 20;

/// A report on its way to an output.
#[derive(Debug)]
pub(super) struct Unit {
    pub bytes: Vec<u8>,
    /// Rows in it.
    pub rows: u64,
    /// Whether it counts as a report: the summary at the end does not.
    pub counts: bool,
}

/// Opens an output, or hands over an open one.
type Opening = Box<dyn FnOnce() -> Result<Blocks, OutputError> + Send>;

#[derive(Debug)]
pub(super) struct Writer {
    pub target: Target,
    shared: Arc<Shared>,
    /// The output itself, where no thread could be had (`pids.max`, `ulimit -u`): then it is written to by whoever has a report.
    here: Option<Mutex<Option<Blocks>>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Unit>,
    /// Bytes in the queue.
    bytes: usize,
    /// Whether the thread opens the output, or writes a report.
    busy: bool,
    /// Reports that found no room.
    skipped: u64,
    /// Reports that were offered, skipped ones too.
    offered: u64,
    /// Reports that are not written yet.
    pending: u64,
    /// Reports that are written.
    written: u64,
    /// Why nothing is written any more; taken by whoever tells it.
    failure: Option<OutputError>,
    ended: bool,
}

impl State {
    fn is_drained(&self) -> bool {
        self.ended || (self.queue.is_empty() && !self.busy)
    }

    /// Nothing more is written.
    fn end(&mut self, failure: OutputError) {
        self.failure = Some(failure);
        self.ended = true;
        self.queue = VecDeque::new();
        self.bytes = 0;
        self.pending = 0;
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic of the thread leaves the state as it was between two steps.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing more is written, and whoever waits is told.
    fn fail(&self, error: OutputError) {
        self.lock().end(error);
        self.changed.notify_all();
        tell();
    }
}

/// Whether somebody waits until everything is written.
static AWAITED: AtomicBool = AtomicBool::new(false);

/// Readable as soon as an output fails and, where that [is awaited](await_end), when one has written all that it got.
fn change() -> Option<&'static EventFd> {
    static CHANGE: OnceLock<Option<EventFd>> = OnceLock::new();
    let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
    CHANGE.get_or_init(|| EventFd::from_flags(flags).ok()).as_ref()
}

/// Readable when an output has failed. `None`: without descriptors nothing tells.
pub fn any_change() -> Option<BorrowedFd<'static>> {
    change().map(EventFd::as_fd)
}

/// From now on [`any_change`] is readable at the next change only.
pub fn take_change() {
    // Without a change there is nothing to read.
    let _ = change().map(EventFd::read);
}

/// From now on [`any_change`] is readable also when an output has written all that it got.
pub fn await_end() {
    AWAITED.store(true, Ordering::SeqCst);
}

fn tell() {
    // A counter that is full wakes as well.
    let _ = change().map(|change| change.write(1));
}

impl Writer {
    /// Starts the thread of an output that is open.
    pub(super) fn of(blocks: Blocks, target: &Target) -> Self {
        Self::start(target, Box::new(|| Ok(blocks)))
    }

    /// Starts the thread, which opens the output itself: opening a FIFO waits for its reader.
    pub(super) fn start(target: &Target, open: Opening) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::new(State { busy: true, ..State::default() }),
            ..Shared::default()
        });
        let opening = Arc::new(Mutex::new(Some(open)));
        let started = {
            let (shared, opening) = (Arc::clone(&shared), Arc::clone(&opening));
            without_signals(|| {
                thread::Builder::new().name("output".to_owned()).spawn(move || {
                    if let Some(open) = opening.lock().ok().and_then(|mut opening| opening.take()) {
                        write_all(&shared, open);
                    }
                })
            })
        };
        let mut writer = Self { target: target.clone(), shared, here: None };
        if let Err(error) = started {
            // The log itself goes to standard error, whose writer is being made here.
            if *target != Target::Stderr {
                log::info!("no thread for {target}, which may hold up measuring ({error})");
            }
            let open = opening.lock().ok().and_then(|mut opening| opening.take());
            let _ticks = Ticks::begin();
            writer.here = Some(Mutex::new(writer.open_here(open)));
        }
        writer
    }

    fn open_here(&self, open: Option<Opening>) -> Option<Blocks> {
        let mut state = self.shared.lock();
        state.busy = false;
        let opened = open?().and_then(|mut blocks| {
            blocks.set_in_place();
            blocks.begin().map(|()| blocks)
        });
        match opened {
            Ok(blocks) => Some(blocks),
            Err(error) => {
                state.end(error);
                None
            }
        }
    }

    /// Whether the output gets the next report. Where it does not, that report is skipped.
    pub(super) fn has_room(&self) -> bool {
        let mut state = self.shared.lock();
        let room = state.bytes < ROOM;
        if !room && !state.ended {
            state.offered += 1;
            state.skipped += 1;
        }
        room
    }

    /// Hands a report over, for which there [is room](Self::has_room).
    pub(super) fn report(&self, unit: Unit) {
        self.shared.lock().offered += 1;
        self.push(unit);
    }

    /// Hands something over that is no report, such as the summary at the end.
    pub(super) fn push(&self, unit: Unit) {
        if let Some(here) = &self.here {
            let mut blocks = here.lock().unwrap_or_else(PoisonError::into_inner);
            let _ticks = Ticks::begin();
            match blocks.as_mut().map(|blocks| blocks.report(&unit.bytes, unit.rows)) {
                None => {}
                Some(Ok(())) => self.shared.lock().written += u64::from(unit.counts),
                Some(Err(OutputError::GivenUp { torn })) => {
                    let mut state = self.shared.lock();
                    state.skipped += u64::from(unit.counts);
                    // What comes next would stand behind a part of a row.
                    state.ended |= torn;
                    if torn {
                        *blocks = None;
                    }
                }
                Some(Err(error)) => {
                    *blocks = None;
                    self.shared.lock().end(error);
                }
            }
            return;
        }
        let mut state = self.shared.lock();
        if !state.ended {
            state.bytes += unit.bytes.len();
            state.pending += u64::from(unit.counts);
            state.queue.push_back(unit);
            self.shared.changed.notify_all();
        }
    }

    /// Whether all that it got is written, or nothing can be written any more.
    pub(super) fn is_drained(&self) -> bool {
        self.shared.lock().is_drained()
    }

    /// Waits until it is drained, but not longer than this.
    pub(super) fn wait(&self, longest: Duration) {
        let end = Instant::now() + longest;
        let mut state = self.shared.lock();
        while !state.is_drained() {
            let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
                return;
            };
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Why it ended, the first time that this is asked.
    pub(super) fn take_failure(&self) -> Option<OutputError> {
        self.shared.lock().failure.take()
    }

    /// Reports that are written.
    pub(super) fn written(&self) -> u64 {
        self.shared.lock().written
    }

    /// Reports that it missed and reports that were made. `given_up`: what it has not written by now it never will.
    pub(super) fn skipped(&self, given_up: bool) -> (u64, u64) {
        let state = self.shared.lock();
        (state.skipped + if given_up { state.pending } else { 0 }, state.offered)
    }
}

/// Ends an output whose thread panics: nobody waits for it then.
struct OnPanic<'a>(&'a Shared);

impl Drop for OnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.fail(OutputError::Panicked);
        }
    }
}

/// The life of the thread: opens the output and writes what comes, until that fails. It ends with the process.
fn write_all(shared: &Shared, open: Opening) {
    let _on_panic = OnPanic(shared);
    let fail = |error| shared.fail(error);
    let mut blocks = match open().and_then(|mut blocks| blocks.begin().map(|()| blocks)) {
        Ok(blocks) => blocks,
        Err(error) => return fail(error),
    };
    loop {
        let mut state = shared.lock();
        if mem::take(&mut state.busy) && state.queue.is_empty() {
            shared.changed.notify_all();
            if AWAITED.load(Ordering::SeqCst) {
                tell();
            }
        }
        while state.queue.is_empty() {
            state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let Some(unit) = state.queue.pop_front() else { continue };
        state.busy = true;
        state.bytes -= unit.bytes.len();
        drop(state);
        if let Err(error) = blocks.report(&unit.bytes, unit.rows) {
            return fail(error);
        }
        let mut state = shared.lock();
        state.pending -= u64::from(unit.counts);
        state.written += u64::from(unit.counts);
    }
}

/// Starts something that is to leave all signals to the main thread.
fn without_signals<T>(start: impl FnOnce() -> T) -> T {
    let before = SigSet::all().thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_SETMASK);
    let started = start();
    // Setting back what was read can fail no more than reading it.
    let _ = before.map(|before| before.thread_set_mask());
    started
}

/// Whether opening this waits for somebody who reads it.
pub(super) fn waits_for_reader(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    std::fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_panics_ends_its_output() {
        let target = Target::File("/x/y.csv".into());
        let writer = Writer::start(&target, Box::new(|| panic!("on purpose")));
        writer.wait(Duration::from_secs(60));
        assert!(writer.is_drained(), "nobody waits for it");
        assert!(matches!(writer.take_failure(), Some(OutputError::Panicked)));
        assert!(writer.take_failure().is_none());
    }
}
