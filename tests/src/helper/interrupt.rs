//! Interruptions: a task before all others takes its CPU at times that nobody can foresee, for a moment each.

use std::{thread, time::Duration};

use super::{hog::schedule, serve::Answer, storm::an_order_waits};

/// Between two interruptions at most, in microseconds.
const PAUSE: u64 = 2000;
/// Longer by so much, modulo [`PAUSE`], is each pause than the one before: coprime, so that all lengths come.
const STEP: u64 = 37;

/// Takes the CPU again and again until the next order comes; how often.
pub(super) fn run() -> Answer {
    schedule(libc::SCHED_FIFO, 1)?;
    let mut times = 0;
    while !an_order_waits(0)? {
        times += 1;
        thread::sleep(Duration::from_micros(times * STEP % PAUSE));
    }
    schedule(libc::SCHED_OTHER, 0)?;
    Ok(vec![times])
}
