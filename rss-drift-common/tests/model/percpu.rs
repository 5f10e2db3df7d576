//! What the scenarios of per-cpu accounting have in common: one member, a small batch, and a state for the mm.

use crate::{
    host::{Check as _, Config, Host, Quiet, address},
    steps::Steps,
};
use rss_drift_common::{protocol::percpu::events, shadow::ShadowRecord};

/// The mm that scenarios are about.
pub(crate) const MM: u64 = address(0);
/// An mm that no CPU's slot holds.
pub(crate) const OTHER: u64 = address(1);

/// A host for so many CPUs with `MM_ANONPAGES` only.
pub(crate) fn anon(cpus: usize, batch: i32, quiet: Quiet) -> Config {
    Config {
        cpus,
        members: [false, true, false, false],
        batch,
        threshold: batch.unsigned_abs(),
        bound: u64::try_from(cpus).expect("a small number") * u64::from(batch.unsigned_abs() - 1),
        quiet,
        ..Config::default()
    }
}

/// A host whose mms have states, each with 4 pages in the global count. No slot holds one.
pub(crate) fn host(config: &Config) -> Host<Steps> {
    let host = Host::<Steps>::new(config);
    for mm in (0..config.mms).map(address) {
        host.kernel_update(0, mm, 1, 4);
        let record = read(&host, mm);
        assert_eq!(record.shadow, host.mm(mm).truth());
        // What came before the state is not part of its peaks.
        host.mm(mm).peak_exact.poke(4);
        host.mm(mm).peak_drift.poke(0);
        assert_eq!((record.peak_exact, record.peak_drift), (4, 0));
    }
    host
}

/// The reader visits a task that has this mm, while nothing else runs.
pub(crate) fn read(host: &Host<Steps>, mm: u64) -> ShadowRecord {
    host.visited.poke(mm);
    let record = host.read(0, mm);
    host.visited.poke(MM);
    record
}

/// A CPU goes on with an mm, and has made these updates of it.
pub(crate) fn runs(host: &Host<Steps>, cpu: u32, mm: u64, updates: &[i32]) {
    events::switched(&host.program(cpu), mm);
    for &delta in updates {
        host.update(cpu, mm, 1, delta);
    }
}
