//! What the BPF programs count of themselves.

use aya::Ebpf;
use rss_drift_common::shadow::{Counts, Cpu};

use super::{error::ProbeError, tables};

/// Our own counts, summed over the CPUs; hits that the slots still hold included.
pub(super) fn counts(ebpf: &Ebpf) -> Result<Counts, ProbeError> {
    let mut sum = Counts::default();
    for cpu in tables::read::<Cpu>(ebpf, tables::CPUS)? {
        sum.add(&cpu.counts);
        sum.hits += cpu.slot.hits;
    }
    Ok(sum)
}
