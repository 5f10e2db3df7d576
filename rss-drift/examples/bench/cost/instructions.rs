//! The cost of one `kmem:rss_stat` event in instructions, in a virtual machine whose clock counts them.

use std::{path::Path, time::Instant};

use anyhow::{Result, bail};

use super::{
    contenders::{Contender, Contenders},
    workloads::{Pages, pin_to_last},
};
use crate::figures;

/// Those that need no program but this one.
const ALL: [Contender; 5] =
    [Contender::Nothing, Contender::Empty, Contender::Full, Contender::Classic, Contender::Ftrace];

/// Counts instructions per page that is made without a page fault: one event each, and nothing else that full mode hooks.
pub fn run(rounds: usize) -> Result<()> {
    check_clock()?;
    let mut contenders = Contenders::new(Path::new("/proc/self/exe"))?;
    pin_to_last()?;
    let pages = Pages::map()?;
    for contender in ALL {
        let _attached = contenders.start(contender)?;
        let updates = contenders.peers().updates()?;
        for round in 0..=rounds {
            let began = Instant::now();
            pages.populate()?;
            let took = began.elapsed();
            pages.unmap()?;
            if let Some(round) = round.checked_sub(1) {
                let instructions = took.as_secs_f64() * 1e9 / Pages::COUNT as f64;
                figures::print(format_args!("event/{}", contender.name()), round, instructions)?;
            }
        }
        if contender == Contender::Classic {
            // Unmapping has events of its own, one for many pages.
            let events = contenders.peers().updates()? - updates;
            figures::print("event/per-page", 0, events as f64 / ((rounds + 1) * Pages::COUNT) as f64)?;
        }
    }
    Ok(())
}

/// Whether a nanosecond of this clock is one instruction: a loop of a known number of them.
fn check_clock() -> Result<()> {
    const TURNS: u64 = 5_000_000;
    /// A decrement and a branch.
    const PER_TURN: u64 = 2;
    let began = Instant::now();
    // SAFETY: counts a register down and touches nothing else.
    unsafe { core::arch::asm!("2:", "dec {turns}", "jnz 2b", turns = inout(reg) TURNS => _, options(nomem, nostack)) };
    let took = began.elapsed().as_nanos();
    let expected = u128::from(TURNS * PER_TURN);
    figures::print("event/clock", 0, took as f64 / expected as f64)?;
    // The kernel's tick runs in between.
    if took.abs_diff(expected) * 50 > expected {
        bail!("{expected} instructions took {took} ns: this clock does not count instructions (`vm run --icount`)");
    }
    Ok(())
}
