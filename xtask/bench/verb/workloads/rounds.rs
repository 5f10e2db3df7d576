//! Timed rounds: in each, a workload is done with nothing, with passive mode and with full mode beside it.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use super::{
    attach::{Beside, Mode},
    group::Stop,
    workload::{Round, Workload},
};

/// All rounds of a workload, by mode.
#[derive(Debug, Default)]
pub(crate) struct Rounds([Vec<Round>; 3]);

impl Rounds {
    /// So many rounds or more, for so long or longer, each of which begins with another mode.
    pub(crate) fn run(
        workload: &mut dyn Workload,
        least: u32,
        time: Duration,
        program: &Path,
        stop: &Stop,
    ) -> Result<Self> {
        let mut rounds = Self::default();
        let began = Instant::now();
        while rounds.count() < least as usize || began.elapsed() < time {
            let number = rounds.count();
            let first = number % Mode::ALL.len();
            for mode in Mode::ALL.into_iter().cycle().skip(first).take(Mode::ALL.len()) {
                stop.check()?;
                let beside = Beside::start(mode, program, stop)?;
                let round = workload.round(stop)?;
                beside.map_or(Ok(()), Beside::end)?;
                eprintln!(
                    "{}: round {}, {} beside it: {}",
                    workload.name(),
                    number + 1,
                    mode.name(),
                    workload.show(round.seconds)
                );
                rounds.0[mode as usize].push(round);
            }
        }
        Ok(rounds)
    }

    /// How many there were.
    pub(crate) fn count(&self) -> usize {
        self.0.iter().map(Vec::len).min().unwrap_or(0)
    }

    /// The seconds of each round with this mode.
    pub(crate) fn seconds(&self, mode: Mode) -> Vec<f64> {
        self.0[mode as usize].iter().map(|round| round.seconds).collect()
    }

    /// The latencies of each round with this mode; `None` where the workload has none.
    pub(crate) fn latencies(&self, mode: Mode) -> Option<Vec<f64>> {
        self.0[mode as usize].iter().map(|round| round.latency).collect()
    }

    /// By how many percent each round was slower with this mode than with nothing.
    pub(crate) fn slowdowns(&self, mode: Mode) -> Result<Vec<f64>> {
        let pairs = self.0[mode as usize].iter().zip(&self.0[Mode::Nothing as usize]);
        pairs
            .map(|(with, without)| {
                let ratio = (without.seconds > 0.0).then(|| with.seconds / without.seconds);
                Ok((ratio.context("a round took no time at all")? - 1.0) * 100.0)
            })
            .collect()
    }
}

#[cfg(test)]
impl Rounds {
    /// Rounds that took so many seconds with nothing, passive and full mode.
    pub(crate) fn of(seconds: &[[f64; 3]]) -> Self {
        let of = |mode: Mode| {
            let rounds = seconds.iter().map(|round| Round { seconds: round[mode as usize], latency: None });
            rounds.collect()
        };
        Self(Mode::ALL.map(of))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slowdowns_are_of_the_same_round() {
        // Everything took twice as long in the second round.
        let rounds = Rounds::of(&[[1.0, 1.25, 1.5], [2.0, 2.5, 3.0]]);
        assert_eq!(rounds.slowdowns(Mode::Passive).unwrap(), [25.0, 25.0]);
        assert_eq!(rounds.slowdowns(Mode::Full).unwrap(), [50.0, 50.0]);
        assert!(Rounds::of(&[[0.0, 1.0, 1.0]]).slowdowns(Mode::Full).is_err());
    }
}
