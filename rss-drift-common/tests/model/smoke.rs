//! The host on the engine's words.

use crate::{
    common::Scenario,
    host::{Config, Quiet, address, smoke},
};

#[test]
fn one_cpu_is_exact() {
    for together in [false, true] {
        smoke::one_cpu(together).explore();
    }
}

#[test]
fn one_task_is_exact() {
    smoke::one_task().explore();
}

/// Two CPUs change an mm at once, one of them with a fold: none of it is lost.
#[test]
fn two_cpus_lose_nothing() {
    let config = Config { batch: 2, ..Config::anon(Quiet::default()) };
    let mm = address(0);
    Scenario::new("two CPUs", config, move |host| (0..2).for_each(|cpu| host.runs(cpu, mm, &[1])))
        .updates(0, mm, &[1])
        .updates(1, mm, &[-1])
        .end(move |host| {
            let record = host.read(0, mm);
            assert_eq!((record.shadow, record.repaired), (host.mm(mm).truth(), 0));
        })
        .explore();
}
