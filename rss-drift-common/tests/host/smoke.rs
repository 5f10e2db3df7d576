//! The same first steps on every kind of words: one CPU, and nothing between its steps.

use super::{ANON, Check as _, Config, FILE, Host, Kind, address};
use rss_drift_common::{
    memory::Word as _,
    protocol::{
        percpu::{events, life},
        pertask,
    },
    shadow::SHADOW_VALID,
};

/// A host for [`one_cpu_is_exact`].
pub(crate) fn one_cpu<K: Kind>(together: bool) -> Host<K> {
    Host::new(&Config { cpus: 1, together, peaks: true, ..Config::default() })
}

/// Updates with and without a fold, a reading, and the end of the mm.
pub(crate) fn one_cpu_is_exact<K: Kind>(host: &Host<K>) {
    let mm = address(0);
    // This one has no event: the state is seeded with it.
    host.kernel_update(0, mm, FILE, 2);
    events::switched(&host.program(0), mm);
    for delta in [5, 1, -2, 3] {
        host.update(0, mm, ANON, delta);
    }
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
    life::end(&host.program(0), mm);
    let counts = host.all_counts_now();
    assert_eq!((counts.births, counts.deaths, counts.rest, counts.unjudged), (1, 1, 0, 0));
    assert_eq!((host.slot_now(0).busy, host.state_now(0).id), (0, 0));
}

/// A host for [`one_task_is_exact`].
pub(crate) fn one_task<K: Kind>() -> Host<K> {
    Host::new(&Config { cpus: 1, tasks: 1, peaks: true, ..Config::default() })
}

/// A task's cache, what it gives to the counts, and a direct update.
pub(crate) fn one_task_is_exact<K: Kind>(host: &Host<K>) {
    let mm = address(0);
    let program = host.task_program(0);
    let updated = |member, count| {
        pertask::events::updated(&program, || Some(host.task(0)), mm, member, count);
    };
    host.tasks[0].mm.set(mm);
    pertask::events::forked(&program, &host.task(0));
    let idle = pertask::Task { address: 1, mm: 0, counts: [0; 4] };
    pertask::events::switched(&program, &idle, &host.task(0));
    host.add_mm_counter_fast(0, mm, ANON, 5, |_| unreachable!("it is the task's own mm"));
    host.add_mm_counter(mm, FILE, 2, |count| updated(FILE, count));
    host.sync_mm_rss(0, updated);
    host.add_mm_counter_fast(0, mm, ANON, -1, |_| unreachable!("it is the task's own mm"));
    pertask::events::page_fault(&program, || Some(host.task(0)));
    let (state, slot, seed) = (host.state_now(0), host.slot_now(0), host.seed_now(0));
    assert_eq!(seed.id, state.id);
    let shadow: [i64; 4] = std::array::from_fn(|member| {
        state.global[member] + state.totals[member] + seed.pages[member] + i64::from(slot.pending[member])
    });
    assert_eq!(shadow, [2, 4, 0, 0]);
    assert_eq!(shadow, host.mm(mm).truth());
    assert_eq!(host.running_now(0).busy, 0);
    assert_eq!(host.peak_now(0, 0).exact, 7);
}
