//! A map that is full: an index that is given back is found.

use crate::{
    common::{A, B, C, Scenario, World, config},
    host::address,
};
use rss_drift_common::protocol::lifecycle::{self, Claim, Claimant};

/// A fourth mm.
const D: u64 = address(3);

fn claim(host: &World, cpu: u32, mm: u64) {
    let _ = lifecycle::claim(&host.program(cpu), mm, Claimant::Event);
}

/// Two CPUs claim states while two others give indexes back: in the end whoever asks gets what is free.
#[test]
fn an_index_that_is_given_back_is_found() {
    Scenario::new("give back and take", config(4, 4, 2), |host| {
        claim(host, 0, A);
        claim(host, 0, B);
    })
    .cpu(0, |host| host.end(0, A))
    .cpu(1, |host| lifecycle::free(&host.program(1), taken(host, B)))
    .cpu(2, |host| claim(host, 2, C))
    .cpu(3, |host| claim(host, 3, D))
    .end(|host| {
        let program = host.program(0);
        let used = [C, D].into_iter().filter(|&mm| host.table.find(mm).is_some()).count();
        for number in used..2 {
            let mm = 0x1_0000 * (number as u64 + 1);
            assert!(
                matches!(lifecycle::claim(&program, mm, Claimant::Event), Claim::New(_)),
                "an index is free"
            );
        }
        assert!(
            matches!(lifecycle::claim(&program, 0x8_0000, Claimant::Event), Claim::Refused),
            "none is free"
        );
    })
    .explore();
}

/// The index of an mm, whose entry goes.
fn taken(host: &World, mm: u64) -> u32 {
    lifecycle::take_away(&host.program(1), mm).expect("it has a state").index
}
