//! Signals, taken one after the other where we wait anyway.

use std::{io, os::fd::AsFd as _, time::Duration};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{SigSet, SigmaskHow, Signal, sigprocmask},
        signalfd::{SfdFlags, SignalFd},
    },
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A child has ended, or stopped, or goes on.
    Child,
    /// A signal. `by_terminal`: the terminal sent it to the command as well.
    Signal {
        signal: Signal,
        /// Whether it came from the kernel, and not from a process.
        by_terminal: bool,
    },
}

/// Our signals, blocked.
#[derive(Debug)]
pub struct Signals {
    fd: SignalFd,
    before: SigSet,
}

impl Signals {
    /// Blocks these, and SIGCHLD.
    pub fn block(signals: &[Signal]) -> io::Result<Self> {
        let mut set: SigSet = signals.iter().copied().collect();
        set.add(Signal::SIGCHLD);
        let mut before = SigSet::empty();
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), Some(&mut before))?;
        let fd = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        Ok(Self { fd, before })
    }

    /// What was blocked before.
    #[must_use]
    pub const fn before(&self) -> &SigSet {
        &self.before
    }

    /// Waits for the next one; `None`: none came.
    pub fn wait(&mut self, longest: Duration) -> io::Result<Option<Event>> {
        // Rounded up: the last millisecond is not to be waited for in a loop.
        let timeout = PollTimeout::try_from(longest + Duration::from_micros(999)).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(self.fd.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let Some(info) = self.fd.read_signal()? else { return Ok(None) };
        let signal = i32::try_from(info.ssi_signo).ok().and_then(|number| Signal::try_from(number).ok());
        Ok(signal.map(|signal| match signal {
            Signal::SIGCHLD => Event::Child,
            signal => Event::Signal { signal, by_terminal: info.ssi_code == SI_KERNEL },
        }))
    }
}

/// `include/uapi/asm-generic/siginfo.h`: sent by the kernel, as a terminal's signals are.
const SI_KERNEL: i32 = 0x80;
