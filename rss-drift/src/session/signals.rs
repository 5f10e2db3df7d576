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

use super::inherited::is_ignored;

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
        Ok(Self { fd })
    }

    /// Waits for the next one; `None`: none came.
    pub fn wait(&mut self, longest: Duration) -> io::Result<Option<Event>> {
        // Rounded up: the last millisecond is not to be waited for in a loop.
        let longest = longest.saturating_add(Duration::from_micros(999));
        let timeout = PollTimeout::try_from(longest).unwrap_or(PollTimeout::MAX);
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
