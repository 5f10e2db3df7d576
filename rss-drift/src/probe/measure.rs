//! A probe that counts for `rss-drift run`. Full mode with [`FullOptions::run`](super::FullOptions::run) only.

use rss_drift_common::run::{Site, SiteCounts};

use super::{
    error::ProbeError,
    handle::Probe,
    run::{
        Chain, Chains, RunTotals, sites,
        totals::{self, alive, begin, follows, pages_left},
    },
};
use crate::kernel::symbols::Symbols;

impl Probe {
    /// Begins to measure the process `command`, which has forked nobody yet, and all that descend from it; what was counted
    /// before is forgotten.
    pub fn begin_run(&mut self, command: u32) -> Result<(), ProbeError> {
        begin(&mut self.ebpf, command)
    }

    /// What was counted since [`Probe::begin_run`].
    pub fn run_totals(&self) -> Result<RunTotals, ProbeError> {
        totals::totals(&self.ebpf, self.accounting)
    }

    /// Has sites be told by these symbols; before [`Probe::begin_run`].
    pub fn prepare_sites(&mut self, symbols: Option<&Symbols>, chains: Chains) -> Result<(), ProbeError> {
        sites::prepare(&mut self.ebpf, symbols, chains)
    }

    /// Updates by where they came from.
    pub fn run_sites(&self) -> Result<Vec<(Site, SiteCounts)>, ProbeError> {
        sites::sites(&self.ebpf)
    }

    /// Misses by their stacks, the most frequent first.
    pub fn run_chains(&self) -> Result<Vec<Chain>, ProbeError> {
        sites::chains(&self.ebpf)
    }

    /// The command and its descendants, as far as they live.
    pub fn run_alive(&self) -> Result<Vec<u32>, ProbeError> {
        alive(&self.ebpf)
    }

    /// Whether a measured mm that still has pages is left: when nobody lives, somebody else holds what a process left behind.
    pub fn run_pages_left(&self) -> Result<bool, ProbeError> {
        pages_left(&self.ebpf, self.accounting)
    }

    /// Says of a process whether it is the command or descends from it, and lives; for another thread.
    pub fn run_follows(&self) -> Result<impl Fn(u32) -> bool + Send + use<>, ProbeError> {
        follows(&self.ebpf)
    }
}
