//! What the scenarios of per-cpu accounting have in common that are not about lives: a small batch, and a state for each mm.

use crate::{
    common::{Scenario, World},
    host::{ANON, APART, Check as _, Config, OWNERS, Quiet, address},
};

/// The mm that scenarios are about.
pub(crate) const MM: u64 = address(0);
/// An mm that no CPU's slot holds.
pub(crate) const OTHER: u64 = address(1);

/// Identities that stand from the beginning on, and what is kept of an mm's processes.
pub(crate) const STANDING: Quiet =
    APART.with(OWNERS).and(&["mm", "id", "index", "deferred", "visited", "seeded", "reader"]);

/// A host for so many CPUs with `MM_ANONPAGES` only.
pub(crate) fn anon(cpus: usize, batch: i32, quiet: Quiet) -> Config {
    Config {
        cpus,
        batch,
        threshold: batch.unsigned_abs(),
        bound: u64::try_from(cpus).expect("a small number") * u64::from(batch.unsigned_abs() - 1),
        ..Config::anon(quiet)
    }
}

/// A scenario that begins when all mms have states, each with 4 pages in the global count. No slot holds one before `begin`.
pub(crate) fn scenario(
    name: &'static str,
    config: Config,
    begin: impl Fn(&World) + Send + Sync + 'static,
) -> Scenario {
    Scenario::new(name, config, move |host| {
        make_states(host);
        begin(host);
    })
}

fn make_states(host: &World) {
    for mm in (0..host.config.mms).map(address) {
        host.kernel_update(0, mm, ANON, 4);
        let record = host.visit(mm);
        assert_eq!(record.shadow, host.mm(mm).truth());
        // What came before the state is not part of its peaks.
        host.mm(mm).peak_exact.poke(4);
        host.mm(mm).peak_drift.poke(0);
        assert_eq!((record.peak_exact, record.peak_drift), (4, 0));
    }
}
