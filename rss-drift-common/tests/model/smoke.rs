//! The host on the engine's words.

use crate::{
    engine::Model,
    host::{ANON, Config, Host, address, smoke},
    steps::Steps,
};
use rss_drift_common::protocol::percpu::events;

#[test]
fn one_cpu_is_exact() {
    for together in [false, true] {
        Model::new("one CPU", move || smoke::one_cpu::<Steps>(together))
            .thread("cpu 0", (0, 0), smoke::one_cpu_is_exact)
            .explore();
    }
}

#[test]
fn one_task_is_exact() {
    Model::new("one task", smoke::one_task::<Steps>)
        .thread("cpu 0", (0, 0), smoke::one_task_is_exact)
        .explore();
}

/// Two CPUs change an mm at once, one of them with a fold: none of it is lost.
#[test]
fn two_cpus_lose_nothing() {
    let members = [false, true, false, false];
    let config = Config { members, batch: 2, ..Config::default() };
    let mm = address(0);
    let model = Model::new("two CPUs", move || {
        let host = Host::<Steps>::new(&config);
        for cpu in 0..2 {
            events::switched(&host.program(cpu), mm);
            host.update(cpu, mm, ANON, 1);
        }
        host
    })
    .thread("cpu 0", (0, 0), move |host: &Host<Steps>| host.update(0, mm, ANON, 1))
    .thread("cpu 1", (1, 0), move |host: &Host<Steps>| host.update(1, mm, ANON, -1))
    .check_end(move |host| {
        let record = host.read(0, mm);
        assert_eq!((record.shadow, record.repaired), (host.mm(mm).truth(), 0));
    });
    assert!(model.explore().complete);
}
