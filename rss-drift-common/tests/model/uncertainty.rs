//! The uncertainty of a row, which is the growth of the churn between two readings, covers every movement between them.

use crate::{
    engine::{Bound, Model},
    host::{ANON, Config, Host, Quiet},
    percpu::{MM, anon, host, runs},
    steps::Steps,
};
use rss_drift_common::{protocol::percpu::events, shadow::SHADOW_VALID};

/// Identities that stand from the beginning on, and figures that churn does not depend on.
const QUIET: Quiet = Quiet::of(&[
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
    "misses",
    "live",
    "active",
    "active_max",
    "entered",
    "peak_exact",
    "peak_drift",
    "rss",
    "approximate",
]);

/// The first of two readings reads the churn first: what comes before its figures is counted as a movement after it.
pub(crate) const CHURN_FIRST: bool = false;
/// The CPUs' slots hold the mm.
pub(crate) const HOLD: bool = true;

/// Two readings, while up to two CPUs make updates.
pub(crate) fn covers(
    name: &'static str,
    exact_first: bool,
    hold: bool,
    pending: [&'static [i32]; 2],
    updates: [&'static [i32]; 2],
    switches: u32,
) {
    let cpus = updates.iter().filter(|updates| !updates.is_empty()).count();
    let config = Config { instants: true, ..anon(cpus, 3, QUIET) };
    let model = Model::new(name, move || {
        let host = host(&config);
        for (cpu, pending) in (0..).zip(pending).take(cpus) {
            if hold {
                runs(&host, cpu, MM, pending);
            }
        }
        host
    });
    let model = updates.into_iter().enumerate().take(cpus).fold(model, |model, (cpu, deltas)| {
        let number = u32::try_from(cpu).expect("a small number");
        model.thread(format!("cpu {cpu}"), (cpu, 0), move |host: &Host<Steps>| {
            for &delta in deltas {
                host.update(number, MM, ANON, delta);
            }
            events::switched(&host.program(number), 0);
        })
    });
    model
        .thread("reader", (cpus, 0), move |host: &Host<Steps>| {
            let early = exact_first.then(|| host.read_exact(MM));
            let before = host.read(0, MM);
            let first = early.unwrap_or_else(|| host.read_exact(MM));
            host.watch(MM);
            let second = host.read_exact(MM);
            let (low, high) = host.mm(MM).range();
            let after = host.read(0, MM);
            let valid = first.valid && second.valid && before.flags & after.flags & SHADOW_VALID != 0;
            let uncertainty = i64::try_from(after.churn - before.churn).expect("churn grows");
            let moved = (second.rss() - first.rss()).abs();
            assert!(!valid || moved <= uncertainty, "moved by {moved}, uncertainty {uncertainty}");
            let moved = (low - first.rss()).abs().max((high - first.rss()).abs());
            assert!(!valid || moved <= uncertainty, "moved by {moved} in between, uncertainty {uncertainty}");
        })
        .daily(Bound::Switches(switches))
        .explore();
}

/// The reader's refresh takes a delta before its event.
#[test]
fn one_cpu_is_covered() {
    covers("one CPU", CHURN_FIRST, HOLD, [&[1], &[]], [&[1], &[]], 3);
}

#[test]
fn a_fold_is_covered() {
    covers("a fold", CHURN_FIRST, HOLD, [&[2], &[]], [&[1], &[]], 2);
}

#[test]
fn two_cpus_are_covered() {
    covers("two CPUs", CHURN_FIRST, HOLD, [&[], &[]], [&[1], &[-1]], 2);
}
