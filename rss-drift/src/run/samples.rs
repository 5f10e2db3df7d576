//! Samples that are taken while the command runs: its drift, and whether our shadow is right.

use super::names::Names;
use crate::{
    drift::{
        collect::{Rules, comm, reading},
        idle::{IdleFindings, IdleTracker},
        stats::DriftHistogram,
    },
    probe::{Probe, ProbeError},
    proc::Precision,
};

/// What the samples so far have found.
#[derive(Debug, Default)]
pub(super) struct Samples {
    /// |drift| of the approximate reader, of every measured process in every sample.
    pub drift: DriftHistogram,
    /// Readings of a process.
    pub readings: u64,
    /// Of these, how many drifted by the threshold or more.
    pub above: u64,
    /// The largest bound of the approximate reader, in pages.
    pub bound: u64,
    /// What those call themselves that the report will name.
    pub names: Names,
    /// What was found on idle mms, over the whole host.
    pub idle: IdleFindings,
    tracker: IdleTracker,
}

impl Samples {
    /// Takes a sample while the process `command` and its descendants run: the RSS of all measured processes together. `threshold` and
    /// that are in pages.
    pub(super) fn take(
        &mut self,
        probe: &mut Probe,
        rules: &Rules,
        command: u32,
        threshold: u64,
    ) -> Result<u64, ProbeError> {
        let snapshot = probe.snapshot()?;
        let mut rss = 0;
        for mm in snapshot.measured() {
            let Some(reading) = reading(mm, Precision::Approximate) else { continue };
            self.readings += 1;
            if let Some(shadow) = snapshot.shadow(mm.tgid) {
                self.names.see(command, mm, shadow);
            }
            rss += mm.exact_rss().max(0).unsigned_abs();
            self.above += u64::from(reading.drift().unsigned_abs() >= threshold);
            self.bound = self.bound.max(rules.batching().bound(Precision::Approximate, mm.tasks));
            self.drift.record(reading, || (mm.tgid, comm(mm), snapshot.time));
        }
        let found = self.tracker.judge(&snapshot);
        self.idle.mms += found.mms;
        self.idle.largest_error = self.idle.largest_error.max(found.largest_error);
        self.idle.repaired += found.repaired;
        Ok(rss)
    }
}
