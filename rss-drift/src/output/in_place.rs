//! Outputs that are written to by whoever has a report, as no thread could be had for them: a reader that stalls must not keep a signal
//! from ending the run.
//!
//! The signals that end it are blocked until somebody takes them, so none of them wakes a write. That of a timer does, again and again,
//! and each time it is asked whether there is time left.

use std::time::Duration;

use nix::{
    errno::Errno,
    sys::{
        signal::{SaFlags, SigAction, SigEvent, SigHandler, SigSet, SigevNotify, Signal, sigaction},
        timer::{Expiration, Timer, TimerSetTimeFlags},
    },
    time::ClockId,
    unistd::gettid,
};

/// Its default is to be ignored: one that comes late does nothing.
const TICK: Signal = Signal::SIGURG;
const EVERY: Duration = Duration::from_millis(20);

/// While it lives, no system call of this thread waits longer than a moment, but those that no signal wakes.
#[derive(Debug)]
pub(super) struct Ticks {
    /// `None` where there could be none (`ulimit -i`).
    timer: Option<Timer>,
    action: SigAction,
    mask: SigSet,
}

impl Ticks {
    /// # Errors
    /// Where a signal cannot be handled, and nothing is changed.
    pub(super) fn begin() -> Result<Self, Errno> {
        let mask = SigSet::thread_get_mask()?;
        let handler = SigAction::new(SigHandler::Handler(nothing), SaFlags::empty(), SigSet::empty());
        // SAFETY: the handler does nothing.
        let action = unsafe { sigaction(TICK, &handler) }?;
        let mut ticks = Self { timer: None, action, mask };
        SigSet::from_iter([TICK]).thread_unblock()?;
        ticks.timer = timer().ok();
        Ok(ticks)
    }
}

/// A system call that it interrupts fails with EINTR, where `SA_RESTART` is not set.
extern "C" fn nothing(_: libc::c_int) {}

fn timer() -> Result<Timer, Errno> {
    let notify = SigevNotify::SigevThreadId { signal: TICK, thread_id: gettid().as_raw(), si_value: 0 };
    let mut timer = Timer::new(ClockId::CLOCK_MONOTONIC, SigEvent::new(notify))?;
    timer.set(Expiration::Interval(EVERY.into()), TimerSetTimeFlags::empty())?;
    Ok(timer)
}

impl Drop for Ticks {
    fn drop(&mut self) {
        // Before its signal has another meaning again.
        self.timer = None;
        // Setting back what was read can fail no more than reading it.
        let _ = self.mask.thread_set_mask();
        // SAFETY: what handled the signal before.
        let _ = unsafe { sigaction(TICK, &self.action) };
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, io::Read as _, os::fd::AsFd as _, time::Instant};

    use super::*;

    #[test]
    fn what_waits_is_woken_until_it_is_over() {
        let (read, _write) = nix::unistd::pipe().unwrap();
        let mask = SigSet::thread_get_mask().unwrap();
        let began = Instant::now();
        {
            let _ticks = Ticks::begin().unwrap();
            for _ in 0..3 {
                assert_eq!(nix::unistd::read(read.as_fd(), &mut [0; 1]), Err(Errno::EINTR));
            }
        }
        assert!(began.elapsed() >= 2 * EVERY);
        assert_eq!(SigSet::thread_get_mask().unwrap(), mask);
        // And what is read without it comes.
        let (read, write) = nix::unistd::pipe().unwrap();
        let late = std::thread::spawn(move || {
            std::thread::sleep(3 * EVERY);
            nix::unistd::write(write, b"x")
        });
        assert_eq!(File::from(read).read(&mut [0; 1]).unwrap(), 1);
        late.join().unwrap().unwrap();
    }
}
