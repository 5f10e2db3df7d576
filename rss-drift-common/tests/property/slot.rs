//! A CPU's slot, one case each.

use crate::{
    cells::Cells,
    host::{ANON, Config, Host, address},
};
use rss_drift_common::{memory::Word as _, protocol::percpu::events};

const A: u64 = address(0);
const B: u64 = address(1);

fn host() -> Host<Cells> {
    Host::new(&Config { cpus: 1, mms: 2, states: 2, threshold: 32, batch: 32, ..Config::default() })
}

#[test]
fn an_idle_cpu_keeps_its_mm_and_shows_its_deltas() {
    let host = host();
    host.go_on_with(0, A);
    host.update(0, A, ANON, 1);
    host.update(0, A, ANON, 5);
    assert_eq!((host.state_now(0).totals[1], host.slot_now(0).pending[1]), (1, 5), "pending");
    host.go_on_with(0, 0);
    assert_eq!((host.state_now(0).totals[1], host.slot_now(0).pending[1]), (6, 0), "published");
    assert_eq!((host.state_now(0).flushes, host.state_now(0).active_cpus), (0, 0), "which is no flush");
    host.go_on_with(0, A);
    host.update(0, A, ANON, 1);
    assert_eq!((host.state_now(0).misses, host.slot_now(0).hits, host.state_now(0).active_cpus), (0, 3, 1));
    host.go_on_with(0, B);
    let state = host.state_now(0);
    assert_eq!((state.flushes, state.hits, state.totals[1], state.active_cpus), (1, 3, 7, 0));
}

#[test]
fn a_switch_without_an_update_has_nothing_to_do() {
    let host = host();
    for mm in [A, B, B, 0, A] {
        host.go_on_with(0, mm);
    }
    let (slot, counts) = (host.slot_now(0), host.all_counts_now());
    assert_eq!((slot.mm, slot.id, slot.busy), (A, 0, 0));
    assert_eq!((counts.flushes, counts.births), (0, 0));
}

#[test]
fn faults_alone_are_flushed() {
    let host = host();
    host.read(0, A);
    host.go_on_with(0, A);
    events::page_fault(&host.program(0), A);
    events::page_fault(&host.program(0), B);
    assert_eq!((host.slot_now(0).faults, host.slot_now(0).id), (1, 0), "nothing was looked up");
    host.go_on_with(0, B);
    let state = host.state_now(0);
    assert_eq!((state.faults, state.hits, state.flushes), (1, 0, 0));
    assert_eq!(host.all_counts_now().faults, 2);
}

#[test]
fn rss_of_what_is_pending_leaves_swap_out() {
    let host = host();
    for (member, pages) in host.cpus[0].slot.pending.iter().zip([1, 20, 300, 4000]) {
        member.set(pages);
    }
    assert_eq!(host.cpus[0].slot.pending_rss(), 4021);
}

/// A CPU that goes to and fro between one process and idle never flushes.
#[test]
fn hits_do_not_run_over() {
    let host = host();
    host.go_on_with(0, A);
    host.update(0, A, ANON, 1);
    host.cpus[0].slot.hits.set(u32::MAX.into());
    host.update(0, A, ANON, 1);
    assert_eq!(host.slot_now(0).hits, u64::from(u32::MAX) + 1);
}

/// An mm ends while the slot is on it, and another one gets its address: no switch comes between. The first one's hits are counted.
#[test]
fn hits_of_an_mm_whose_address_is_used_again_are_counted() {
    let host = host();
    host.go_on_with(0, A);
    host.update(0, A, ANON, 1);
    host.update(0, A, ANON, -1);
    host.go_on_with(0, 0);
    host.end(0, A);
    host.kernel_new_mm(A);
    host.go_on_with(0, A);
    host.update(0, A, ANON, 1);
    host.go_on_with(0, B);
    assert_eq!((host.all_counts_now().hits, host.all_counts_now().misses), (3, 0));
}
