//! A CPU becomes alone with an mm while another one disturbs it: who comes second sees the first.

use crate::{
    host::{ANON, Check as _, Config, Quiet},
    search::{Bounds, MM, SLOTS, Scenario, WHOLE, World},
};
use rss_drift_common::protocol::percpu::life;

/// What the other side does not touch, each scenario but for what it is about.
const OTHERS: Quiet = SLOTS.and(&[
    "count",
    "lock",
    "global",
    "reader",
    "owned",
    "events_seen",
    "events_seen_at",
    "tgid",
    "visited",
    "repaired",
    "settling",
]);

fn scenario(name: &'static str, searched: &[&'static str]) -> Scenario {
    let config = Config { batch: 4, threshold: 4, ..Config::anon(OTHERS.without(searched)) };
    Scenario::new(name, config, |host| {
        host.runs(0, MM, &[2, 1]);
        assert_eq!(host.slot_now(0).alone, 0);
    })
    .updates(0, MM, &[-1])
}

/// Within what the slot may go, nothing is beyond a peak.
fn check(host: &World) {
    let (slot, state) = (host.slot_now(0), host.state_now(0));
    if slot.alone == 0 || slot.width[1] == 0 {
        return;
    }
    assert_eq!((state.active_cpus, state.alone), (1, 1), "alone");
    let seen = i64::from(host.seen[0][0][1].peek());
    let exact = state.rss + i64::from(slot.pending[1]);
    let least = exact + i64::from(slot.low[1]) - seen;
    let most = least + i64::from(slot.width[1]) - 1;
    assert!(most <= state.peak_exact, "{most}: {slot:?} {state:?}");
    let drift = (most - state.approximate).abs().max((least - state.approximate).abs());
    assert!(drift <= state.peak_drift, "{drift}: {slot:?} {state:?}");
}

#[test]
fn another_cpu_enters() {
    scenario("enters", &["active_cpus"]).cpu(1, |host| host.runs(1, MM, &[1])).end(check).search(WHOLE);
}

#[test]
fn another_cpu_reaches_in() {
    scenario("reaches in", &["active_cpus", "rss"])
        .updates(1, MM, &[1])
        .end(check)
        .search(Bounds { daily: Some(2), all: None });
}

/// It finds an update that no event told of.
#[test]
fn a_reader_comes() {
    let scenario = scenario("reads", &["settling"]).cpu(1, |host| {
        host.kernel_update(1, MM, ANON, 1);
        host.read(1, MM);
    });
    scenario.end(check).search(Bounds { daily: Some(1), all: Some(2) });
}

#[test]
fn the_state_is_given_up() {
    scenario("ends", &["id"])
        .cpu(1, |host| life::let_go(&host.program(1), MM))
        .end(|host| {
            let slot = host.slot_now(0);
            assert!(slot.alone == 0 || host.state_now(slot.index as usize).id == slot.id, "{slot:?}");
        })
        .search(WHOLE);
}
