//! Options of full mode that several verbs have.

use super::number;
use crate::probe::{FullOptions, Publish};

/// Room, and how exact peaks are.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct FullMode {
    /// Smaller errors of peaks, for an atomic operation per update
    ///
    /// Publishes every update by an atomic operation, instead of one operation per batch. While several CPUs change one process at
    /// once, the error of its peak is then the kernel's batch less a page for each other CPU. Without this option it is three times
    /// that (per-cpu accounting).
    #[arg(long, help_heading = "Mode", hide_short_help = true)]
    precise_peaks: bool,
    /// Memory maps that can be followed at once
    ///
    /// The default is twice the number of those that live now, at least 4096.
    #[arg(long, help_heading = "Limits", hide_short_help = true, value_name = "N", allow_negative_numbers = true, value_parser = number::within(1..=1_u32 << 22))]
    max_mms: Option<u32>,
    /// Memory for the BPF maps, in MiB [default: 64]
    ///
    /// A limit for the maps that grow with the CPUs and the memory maps.
    #[arg(long, help_heading = "Limits", hide_short_help = true, value_name = "MIB", allow_negative_numbers = true, value_parser = number::within(1..=1_u64 << 20))]
    max_memory: Option<u64>,
}

impl FullMode {
    /// As the probe takes them.
    pub(super) fn options(self) -> FullOptions {
        FullOptions {
            max_mms: self.max_mms,
            max_memory: self.max_memory.map(|mib| mib << 20),
            publish: if self.precise_peaks { Publish::EveryUpdate } else { Publish::Batches },
            ..FullOptions::default()
        }
    }
}
