//! No update is lost and none counts twice, whoever gets its delta.

use crate::{
    common::{Scenario, World},
    host::{ANON, COUNTED, Check as _, Config, PEAKS, Quiet, address},
    percpu::{MM, OTHER, STANDING, anon, scenario},
};

/// Figures, and peaks: nothing that sums depend on.
pub(crate) const QUIET: Quiet = STANDING.with(PEAKS).with(COUNTED).and(&["active", "repaired"]);

pub(crate) fn two_cpus(mms: usize) -> Config {
    Config { mms, ..anon(2, 2, QUIET) }
}

/// After all of it: what was updated is what is read, each event is a hit or a miss, and the churn is no less than the updates were.
pub(crate) fn nothing_is_lost(host: &World, churn: &[u64]) {
    for (mm, &churn) in (0..).map(address).zip(churn) {
        assert_eq!(host.mm(mm).sum(), host.mm(mm).truth(), "the kernel's words");
        let record = host.check_read(mm);
        assert_eq!(record.updates(), host.mm(mm).events.peek());
        assert!(record.churn >= churn, "churn {} of {churn}", record.churn);
    }
}

/// Two CPUs hold an mm, and each makes two updates of it; the first has been made before, too.
pub(crate) fn hold_an_mm(name: &'static str, deltas: [i32; 2]) {
    let churn = deltas.iter().map(|delta: &i32| 3 * u64::from(delta.unsigned_abs())).sum();
    let scenario = scenario(name, two_cpus(1), move |host| {
        host.runs(0, MM, &[deltas[0]]);
        host.runs(1, MM, &[deltas[1]]);
    });
    scenario
        .cpu(0, move |host| host.updates(0, MM, &[deltas[0]; 2]))
        .cpu(1, move |host| host.updates(1, MM, &[deltas[1]; 2]))
        .end(move |host| nothing_is_lost(host, &[churn]))
        .explore();
}

/// Each with a fold.
#[test]
fn two_cpus_hold_an_mm() {
    hold_an_mm("two CPUs raise an mm", [1, 1]);
    hold_an_mm("a CPU raises an mm, another one lowers it", [1, -1]);
}

/// CPU 0 has an update, and CPU 1 holds the mm without one.
fn one_has_run(name: &'static str, mms: usize) -> Scenario {
    scenario(name, two_cpus(mms), |host| {
        host.runs(0, MM, &[1]);
        host.runs(1, MM, &[]);
    })
}

/// Misses of another mm, switches, publications and flushes on both CPUs.
#[test]
fn two_cpus_miss_and_switch() {
    one_has_run("misses and switches", 2)
        .cpu(0, |host| {
            host.update(0, MM, ANON, 1);
            host.update(0, OTHER, ANON, 1);
            host.runs(0, OTHER, &[1]);
        })
        .cpu(1, |host| {
            host.update(1, OTHER, ANON, -1);
            host.update(1, MM, ANON, -1);
            host.switch(1, 0);
            host.update(1, MM, ANON, -1);
        })
        .end(|host| nothing_is_lost(host, &[4, 3]))
        .daily(4);
}

/// A reader refreshes every word while two CPUs change them, one with a fold.
#[test]
fn a_reader_takes_deltas() {
    one_has_run("a reader takes deltas", 1)
        .updates(0, MM, &[1])
        .updates(1, MM, &[-1])
        .reads(0, MM)
        .end(|host| nothing_is_lost(host, &[0]))
        .daily(3);
}
