//! A task that keeps its CPU: before all others (`SCHED_FIFO`), and never asleep until the next order comes.

use std::io;

use super::{
    regions::Mapped,
    serve::{Answer, reply},
    storm::an_order_waits,
};

/// Writes to the first pages of a region and gives them up, over and over; how often.
pub(super) fn churn(region: Mapped, pages: usize) -> Answer {
    before_all_others(|| {
        let mut rounds = 0;
        while !an_order_waits(0)? {
            region.write(0, pages);
            region.advise(0, pages, libc::MADV_DONTNEED)?;
            rounds += 1;
        }
        Ok(vec![rounds])
    })
}

/// Writes to the first `written` pages of a region, gives up the first `given_up` of them, says so, and keeps the CPU; how often it
/// asked for the next order.
pub(super) fn spin(region: Mapped, written: usize, given_up: usize) -> Answer {
    before_all_others(|| {
        region.write(0, written);
        if given_up > 0 {
            region.advise(0, given_up, libc::MADV_DONTNEED)?;
        }
        reply(&Ok(Vec::new()));
        let mut times = 0;
        while !an_order_waits(0)? {
            times += 1;
        }
        Ok(vec![times])
    })
}

fn before_all_others(work: impl FnOnce() -> Answer) -> Answer {
    schedule(libc::SCHED_FIFO, 1)?;
    let answer = work();
    schedule(libc::SCHED_OTHER, 0)?;
    answer
}

/// Changes how the calling thread is scheduled.
pub(super) fn schedule(policy: libc::c_int, priority: libc::c_int) -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: priority };
    // SAFETY: of the calling thread; the parameters are read.
    if unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
