//! Signals, taken one after the other where we wait anyway.

use std::{
    cell::Cell,
    io, mem,
    os::fd::AsFd as _,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{SigSet, SigmaskHow, Signal, sigprocmask},
        signalfd::{SfdFlags, SignalFd},
    },
};

use super::inherited::is_ignored;
use crate::output::{any_change, await_end, patience, take_change};

// A signal is to end us within a second: what is in hand, the outputs and standard error ([`patience::hurry`]) have that together.

/// How long what is in hand may go on after a signal: most reports are complete by then.
const IN_HAND: Duration = Duration::from_millis(300);
/// How long outputs are waited for after a signal or a failure.
const AFTER_SIGNAL: Duration = Duration::from_millis(300);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A child has ended, or stopped, or goes on.
    Child,
    /// An output has failed, or has written all that it got.
    Output,
    /// A signal. `by_terminal`: the terminal sent it to the command as well.
    Signal {
        signal: Signal,
        /// Whether it came from the kernel, and not from a process.
        by_terminal: bool,
    },
}

impl Event {
    /// The signal that ends us, if it is one.
    fn that_ends(self) -> Option<Signal> {
        match self {
            Self::Signal { signal: Signal::SIGUSR1 | Signal::SIGUSR2, .. } | Self::Child | Self::Output => {
                None
            }
            Self::Signal { signal, .. } => Some(signal),
        }
    }
}

/// Keeps a signal for [`Signals`], whose default action would end us before.
pub fn hold(signal: Signal) -> io::Result<()> {
    Ok(sigprocmask(SigmaskHow::SIG_BLOCK, Some(&SigSet::from_iter([signal])), None)?)
}

/// Our signals, blocked.
#[derive(Debug)]
pub struct Signals {
    fd: SignalFd,
}

impl Signals {
    /// Blocks these, and SIGCHLD. A signal that is ignored stays ignored: whoever started us with `nohup`, or in the background of a
    /// script, does not want us to heed it.
    pub fn block(signals: &[Signal]) -> io::Result<Self> {
        // The kernel keeps a blocked signal for us even where it is ignored.
        let mut set: SigSet = signals.iter().copied().filter(|&signal| !is_ignored(signal)).collect();
        set.add(Signal::SIGCHLD);
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None)?;
        let fd = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        patience::heed(|| any_waits(&[Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]));
        Ok(Self { fd })
    }

    /// Waits for the next one, or for an output; `None`: nothing came.
    pub fn wait(&mut self, longest: Duration) -> io::Result<Option<Event>> {
        // Rounded up: the last millisecond is not to be waited for in a loop.
        let longest = longest.saturating_add(Duration::from_micros(999));
        let timeout = PollTimeout::try_from(longest).unwrap_or(PollTimeout::MAX);
        let fds = [Some(self.fd.as_fd()), any_change()].into_iter().flatten();
        let mut fds: Vec<_> = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        match poll(&mut fds, timeout) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let changed = fds.get(1).is_some_and(|fd| fd.any().unwrap_or(false));
        let Some(info) = self.fd.read_signal()? else {
            if changed {
                take_change();
            }
            return Ok(changed.then_some(Event::Output));
        };
        let signal = i32::try_from(info.ssi_signo).ok().and_then(|number| Signal::try_from(number).ok());
        Ok(signal.map(|signal| match signal {
            Signal::SIGCHLD => Event::Child,
            signal => Event::Signal { signal, by_terminal: info.ssi_code == SI_KERNEL },
        }))
    }
}

impl Signals {
    /// Waits until outputs have taken everything: a slow reader is waited for as long as it takes, but after a signal or a failure
    /// (`hurried`: one has come already) not longer than a moment. Returns the signal that came meanwhile.
    pub fn wait_for_outputs(
        &mut self,
        hurried: bool,
        mut are_drained: impl FnMut() -> bool,
    ) -> io::Result<Option<Signal>> {
        /// Where nothing tells that an output is done.
        const ASK: Duration = Duration::from_millis(50);
        await_end();
        let hurry = || Instant::now() + AFTER_SIGNAL.min(patience::left());
        let mut end = hurried.then(hurry);
        let mut came = None;
        while !are_drained() {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                break;
            }
            let wait = if any_change().is_some() { Duration::MAX } else { ASK };
            let event = self.wait(left.map_or(wait, |left| left.min(wait)))?;
            if let Some(signal) = event.and_then(Event::that_ends) {
                patience::hurry();
                came = came.or(Some(signal));
                end = end.or_else(|| Some(hurry()));
            }
        }
        // One that ended a write of this thread waits still.
        while came.is_none()
            && let Some(event) = self.wait(Duration::ZERO)?
        {
            came = event.that_ends();
            if came.is_some() {
                patience::hurry();
            }
        }
        Ok(came)
    }
}

/// Asked while something long is made: whether it is given up, because a signal came that ends the run and there was time to complete it
/// since. The signal stays to be taken.
#[derive(Debug)]
pub struct Grace {
    signals: &'static [Signal],
    /// When one of them was there for the first time.
    came: Cell<Option<Instant>>,
    /// When the kernel was asked last.
    asked: Cell<Option<Instant>>,
}

impl Grace {
    /// For these signals, which are blocked.
    #[must_use]
    pub const fn new(signals: &'static [Signal]) -> Self {
        Self { signals, came: Cell::new(None), asked: Cell::new(None) }
    }

    /// Whether it is given up now.
    #[must_use]
    pub fn is_over(&self) -> bool {
        /// Between two processes of a report this is asked thousands of times, and the kernel's answer costs more than the time of day.
        const ASK: Duration = Duration::from_millis(5);
        let now = Instant::now();
        let is_due = self.asked.get().is_none_or(|asked| now.duration_since(asked) >= ASK);
        if self.came.get().is_none() && is_due {
            self.asked.set(Some(now));
            if any_waits(self.signals) {
                self.came.set(Some(now));
            }
        }
        self.came.get().is_some_and(|came| now.duration_since(came) >= IN_HAND)
    }
}

/// Whether one of these signals, which are blocked, waits to be taken.
fn any_waits(signals: &[Signal]) -> bool {
    // SAFETY: a set of signals is an array of integers: zeroes are a value. The calls write and read this set alone.
    unsafe {
        let mut waiting: libc::sigset_t = mem::zeroed();
        libc::sigpending(&raw mut waiting) == 0
            // One that came blocked and ignored waits for ever, and nobody takes it.
            && signals.iter().any(|&signal| {
                libc::sigismember(&raw const waiting, signal as i32) == 1 && !is_ignored(signal)
            })
    }
}

/// `include/uapi/asm-generic/siginfo.h`: sent by the kernel, as a terminal's signals are.
const SI_KERNEL: i32 = 0x80;
