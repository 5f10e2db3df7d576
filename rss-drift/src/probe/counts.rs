//! What the BPF programs count of themselves.

use aya::Ebpf;
use rss_drift_common::shadow::{Counts, Cpu};

use super::{
    error::ProbeError,
    maps::{Value, array, failed},
};

/// Our own counts, summed over the CPUs; hits that the slots still hold included.
pub(super) fn counts(ebpf: &Ebpf) -> Result<Counts, ProbeError> {
    const CPUS: &str = "CPUS";
    let mut sum = Counts::default();
    for cpu in array::<Cpu>(ebpf, CPUS)?.iter() {
        let Value(cpu) = cpu.map_err(failed(CPUS))?;
        sum.add(&cpu.counts);
        sum.hits += cpu.slot.hits;
    }
    Ok(sum)
}
