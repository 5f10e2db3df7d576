//! No update is lost and none counts twice, whoever gets its delta.

use crate::{
    engine::{Bound, Model},
    host::{ANON, Check as _, Config, Host, Quiet, address},
    percpu::{MM, OTHER, anon, host, read, runs},
    steps::Steps,
};
use rss_drift_common::{protocol::percpu::events, shadow::SHADOW_VALID};

/// Figures, identities that stand from the beginning on, and peaks: nothing that sums depend on.
pub(crate) const QUIET: Quiet = Quiet::of(&[
    "mm",
    "id",
    "index",
    "deferred",
    "cpus",
    "visited",
    "looked",
    "looked_at",
    "tgid",
    "owned",
    "seeded",
    "faults",
    "reader",
    "hits",
    "misses",
    "churn",
    "repaired",
    "live",
    "active",
    "active_max",
    "entered",
    "peak_exact",
    "peak_drift",
    "rss",
    "approximate",
]);

pub(crate) fn two_cpus(mms: usize) -> Config {
    Config { mms, ..anon(2, 2, QUIET) }
}

/// After all of it: what was updated is what is read, each event is a hit or a miss, and the churn is no less than the updates were.
pub(crate) fn nothing_is_lost(host: &Host<Steps>, churn: &[u64]) {
    for (number, &churn) in churn.iter().enumerate() {
        let mm = host.mm(address(number));
        assert_eq!(mm.sum(), mm.truth(), "the kernel's words");
        let record = read(host, address(number));
        assert_eq!((record.shadow, record.flags), (mm.truth(), SHADOW_VALID));
        assert_eq!(record.updates(), mm.events.peek());
        assert!(record.churn >= churn, "churn {} of {churn}", record.churn);
    }
}

/// Two CPUs hold an mm, and each makes two updates of it; the first has been made before, too.
pub(crate) fn hold_an_mm(name: &'static str, deltas: [i32; 2]) {
    let model = Model::new(name, move || {
        let host = host(&two_cpus(1));
        runs(&host, 0, MM, &[deltas[0]]);
        runs(&host, 1, MM, &[deltas[1]]);
        host
    });
    let model = (0..2).zip(deltas).fold(model, |model, (cpu, delta)| {
        model.thread(format!("cpu {cpu}"), (cpu as usize, 0), move |host: &Host<Steps>| {
            host.update(cpu, MM, ANON, delta);
            host.update(cpu, MM, ANON, delta);
        })
    });
    let churn = deltas.iter().map(|delta: &i32| 3 * u64::from(delta.unsigned_abs())).sum();
    assert!(model.check_end(move |host| nothing_is_lost(host, &[churn])).explore().complete);
}

/// Each with a fold.
#[test]
fn two_cpus_hold_an_mm() {
    hold_an_mm("two CPUs raise an mm", [1, 1]);
    hold_an_mm("a CPU raises an mm, another one lowers it", [1, -1]);
}

/// Misses of another mm, switches, publications and flushes on both CPUs.
#[test]
fn two_cpus_miss_and_switch() {
    let model = Model::new("misses and switches", || {
        let host = host(&two_cpus(2));
        runs(&host, 0, MM, &[1]);
        runs(&host, 1, MM, &[]);
        host
    })
    .thread("cpu 0", (0, 0), |host: &Host<Steps>| {
        host.update(0, MM, ANON, 1);
        host.update(0, OTHER, ANON, 1);
        events::switched(&host.program(0), OTHER);
        host.update(0, OTHER, ANON, 1);
    })
    .thread("cpu 1", (1, 0), |host: &Host<Steps>| {
        host.update(1, OTHER, ANON, -1);
        host.update(1, MM, ANON, -1);
        events::switched(&host.program(1), 0);
        host.update(1, MM, ANON, -1);
    })
    .daily(Bound::Switches(4))
    .check_end(|host| nothing_is_lost(host, &[4, 3]));
    model.explore();
}

/// A reader refreshes every word while two CPUs change them, one with a fold.
#[test]
fn a_reader_takes_deltas() {
    let model = Model::new("a reader takes deltas", || {
        let host = host(&two_cpus(1));
        runs(&host, 0, MM, &[1]);
        runs(&host, 1, MM, &[]);
        host
    })
    .thread("cpu 0", (0, 0), |host: &Host<Steps>| host.update(0, MM, ANON, 1))
    .thread("cpu 1", (1, 0), |host: &Host<Steps>| host.update(1, MM, ANON, -1))
    .thread("reader", (2, 0), |host: &Host<Steps>| {
        host.read(0, MM);
    })
    .daily(Bound::Switches(3))
    .check_end(|host| nothing_is_lost(host, &[0]));
    model.explore();
}
