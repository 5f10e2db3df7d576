//! Events of several CPUs at once.

use crate::{
    host::{ANON, Check as _, Config},
    search::{Bounds, FIGURES, MM, SLOTS, Scenario, WHOLE, World},
};

/// Nothing is lost, and nothing is left for a reading to correct.
fn check(host: &World) {
    let record = host.read(0, MM);
    assert_eq!((record.shadow, record.repaired), (host.mm(MM).truth(), 0));
    assert_eq!(host.state_now(0).global, host.mm(MM).counts());
    assert_eq!((record.updates(), host.all_counts_now().unsettled), (host.mm(MM).events.peek(), 0));
}

/// The first `cpus` CPUs hold the mm, after an update each.
fn held(name: &'static str, config: Config, cpus: u32) -> Scenario {
    Scenario::new(name, config, move |host| (0..cpus).for_each(|cpu| host.runs(cpu, MM, &[1]))).end(check)
}

/// CPU 0 and CPU 1 update the mm at once.
fn together(name: &'static str, cpus: u32, deltas: [&'static [i32]; 2]) {
    held(name, Config { batch: 2, ..Config::anon(FIGURES) }, cpus)
        .updates(1, MM, deltas[1])
        .updates(0, MM, deltas[0])
        .search(WHOLE);
}

/// One of them folds.
#[test]
fn two_cpus_lose_nothing_with_a_fold() {
    together("two CPUs, one fold", 2, [&[1], &[-1]]);
}

/// Both fold: load and exchange of the count's mirror are two steps, and who exchanges last has to leave the last count.
#[test]
fn two_folds_leave_the_last_count() {
    together("two folds", 2, [&[1], &[1]]);
}

/// The other CPU's slot does not hold the mm.
#[test]
fn a_hit_and_a_miss_lose_nothing() {
    together("a hit and a miss", 1, [&[1], &[-2]]);
}

/// The slots are quiet here: each CPU has its own. The first CPU has folded before: three that wait for one lock would be searched in vain.
#[test]
fn three_folds_leave_the_last_count() {
    let config = Config { cpus: 3, batch: 1, ..Config::anon(SLOTS) };
    Scenario::new("three folds", config, |host| {
        (0..3).for_each(|cpu| host.runs(cpu, MM, &[1]));
        host.kernel_update(0, MM, ANON, 1);
    })
    .updates(1, MM, &[1])
    .updates(2, MM, &[1])
    .cpu(0, |host| host.event(0, MM, ANON))
    .end(check)
    .search(Bounds { daily: Some(2), all: Some(3) });
}
