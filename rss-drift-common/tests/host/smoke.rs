//! The same first steps on every kind of words: one CPU, and nothing between its steps.

use super::{ANON, Check as _, Config, FILE, Host, Kind, Scenario, address, on};
use rss_drift_common::{memory::Word as _, shadow::SHADOW_VALID};

/// Updates with and without a fold, a reading, and the end of the mm. `together`: as [`Config::together`].
pub(crate) fn one_cpu<K: Kind>(together: bool) -> Scenario<K> {
    let config = Config { cpus: 1, together, peaks: true, ..Config::default() };
    Scenario::new("one CPU", config, |_| {}).cpu(0, |host: &Host<K>| {
        let mm = address(0);
        // This one has no event: the state is seeded with it.
        host.kernel_update(0, mm, FILE, 2);
        host.runs(0, mm, &[5, 1, -2, 3]);
        // And this one the reading finds.
        host.kernel_update(0, mm, FILE, 1);
        let record = host.read(0, mm);
        assert_eq!(record.shadow, [3, 7, 0, 0]);
        assert_eq!(record.shadow, host.mm(mm).truth());
        assert_eq!(record.shadow, host.mm(mm).sum());
        assert_eq!(record.flags, SHADOW_VALID);
        assert_eq!((record.hits, record.repaired), (4, 1));
        assert_eq!((record.peak_exact, host.mm(mm).peak_exact.peek()), (10, 10));
        host.update(0, mm, ANON, -7);
        host.update(0, mm, FILE, -3);
        host.end(0, mm);
        let counts = host.all_counts_now();
        assert_eq!((counts.births, counts.deaths, counts.residue, counts.unjudged), (1, 1, 0, 0));
        assert_eq!((host.slot_now(0).busy, host.state_now(0).id), (0, 0));
    })
}

/// A task's cache, what it gives to the counts, and a direct update.
pub(crate) fn one_task<K: Kind>() -> Scenario<K> {
    let config = Config { cpus: 1, tasks: 1, peaks: true, ..Config::default() };
    Scenario::new("one task", config, |_| {}).cpu(0, |host: &Host<K>| {
        let mm = address(0);
        host.tasks[0].mm.set(mm);
        host.fork(on(0));
        host.begin_on(on(0));
        host.cache(on(0), ANON, 5);
        host.direct(on(0), mm, FILE, 2);
        host.sync(on(0));
        host.cache(on(0), ANON, -1);
        host.entry(on(0));
        let (state, slot, seed) = (host.state_now(0), host.slot_now(0), host.seed_now(0));
        assert_eq!(seed.id, state.id);
        let shadow: [i64; 4] = std::array::from_fn(|member| {
            state.global[member] + state.totals[member] + seed.pages[member] + i64::from(slot.pending[member])
        });
        assert_eq!(shadow, [2, 4, 0, 0]);
        assert_eq!(shadow, host.mm(mm).truth());
        assert_eq!(host.running_now(0).busy, 0);
        assert_eq!(host.peak_now(0, 0).exact, 7);
    })
}
