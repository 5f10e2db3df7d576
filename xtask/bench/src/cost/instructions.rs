//! The cost of one `kmem:rss_stat` event in instructions, in a virtual machine whose clock counts them.

use std::{
    arch::asm,
    path::Path,
    thread,
    time::{Duration, Instant},
};

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
    wait_for_quiet()?;
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

/// Waits until a nanosecond of this clock is one instruction of ours. What other CPUs do counts too: after a boot they are
/// not idle at once.
pub fn wait_for_quiet() -> Result<()> {
    const TRIES: u32 = 100;
    let mut ratio = 0.0;
    for _ in 0..TRIES {
        ratio = nanoseconds_per_instruction();
        // The kernel's tick runs in between.
        if (ratio - 1.0).abs() < 0.02 {
            return figures::print("event/clock", 0, ratio);
        }
        thread::sleep(Duration::from_millis(100));
    }
    bail!(
        "an instruction takes {ratio} ns: this clock does not count instructions (`vm run --icount`), or another CPU is never \
         idle"
    )
}

/// By a loop of a known number of instructions.
fn nanoseconds_per_instruction() -> f64 {
    const TURNS: u32 = 5_000_000;
    /// A decrement and a branch.
    const PER_TURN: f64 = 2.0;
    let began = Instant::now();
    // SAFETY: counts a register down and touches nothing else.
    unsafe {
        asm!("2:", "dec {turns:e}", "jnz 2b", turns = inout(reg) TURNS => _, options(nomem, nostack));
    }
    began.elapsed().as_secs_f64() * 1e9 / (f64::from(TURNS) * PER_TURN)
}
