//! A CPU that is alone with an mm does not look at its state: whoever changes what it would see there tells it.

use crate::{
    common::{A, B, Scenario, World, config},
    host::{Check as _, Config},
    peaks,
    percpu::{MM, scenario},
    sums,
    uncertainty::{First, covers},
};
use rss_drift_common::shadow::{SHADOW_UNSETTLED, SHADOW_VALID};

/// The kernel's batch.
const BATCH: i32 = 4;

/// CPU 0 has made these updates of the mm.
fn begins(name: &'static str, config: Config, before: &'static [i32], alone: bool) -> Scenario {
    scenario(name, config, move |host| {
        host.runs(0, MM, before);
        let expected = if alone { MM } else { 0 };
        assert_eq!(host.slot_now(0).alone, expected, "whether CPU 0 is alone");
    })
}

/// Peaks: as [`begins`], with the updates that CPU 0 makes next. It may be alone from the beginning on, or become so.
fn peaks_with(name: &'static str, cpus: usize, updates: &'static [i32], alone: bool) -> Scenario {
    let before: &[i32] = if alone { &[3, -1] } else { &[3] };
    begins(name, peaks::config(cpus, BATCH), before, alone).updates(0, MM, updates)
}

/// The peaks are off by no more than another CPU's slot can hold back: of one member, as there is only one.
fn check_peaks(host: &World) {
    let (state, mm) = (host.state_now(0), host.mm(MM));
    let error = (state.active_max - 1).max(0) * i64::from(BATCH - 1);
    let exact = (state.peak_exact, mm.peak_exact.peek());
    let drift = (state.peak_drift, mm.peak_drift.peek());
    assert!((exact.0 - exact.1).abs() <= error, "RSS {exact:?}, error {error}");
    assert!((drift.0 - drift.1).abs() <= error, "drift {drift:?}, error {error}");
    host.check_read(MM);
}

/// Another CPU runs the mm.
#[test]
fn another_cpu_enters() {
    peaks_with("enters", 2, &[1, -1], true).cpu(1, |host| host.runs(1, MM, &[1])).end(check_peaks).daily(4);
    peaks_with("enters as it becomes alone", 2, &[-1, 1], false)
        .cpu(1, |host| host.runs(1, MM, &[1]))
        .end(check_peaks)
        .daily(4);
}

/// Another CPU changes the mm without holding it.
#[test]
fn another_cpu_reaches_in() {
    for pages in [1, 3, 5, -5] {
        peaks_with("reaches in", 2, &[1, -1], true)
            .cpu(1, move |host| host.updates(1, MM, &[pages]))
            .end(check_peaks)
            .daily(4);
    }
    peaks_with("reaches in as it becomes alone", 2, &[-1, 1], false)
        .updates(1, MM, &[3])
        .end(check_peaks)
        .daily(4);
}

/// Another CPU has come and gone: what it left in the totals counts for what follows.
#[test]
fn another_cpu_goes() {
    peaks_with("comes and goes", 2, &[1, -1, 1], true)
        .cpu(1, |host| {
            host.runs(1, MM, &[2]);
            host.switch(1, 0);
        })
        .end(check_peaks)
        .daily(3);
}

/// A reading takes updates while CPU 0 makes them.
#[test]
fn a_reader_comes() {
    for (name, updates, alone) in
        [("a reader", &[1, -1][..], true), ("a reader as it becomes alone", &[-1, 1], false)]
    {
        peaks_with(name, 1, updates, alone).reads(0, MM).end(check_peaks).daily(4);
    }
}

/// An update of CPU 0, and one elsewhere, have no event: a reading finds them, and the next updates are beyond the peak.
#[test]
fn a_reader_finds_what_was_missed() {
    for missed in [0, 1] {
        begins("a missed update", peaks::config(2, BATCH), &[3, -1], true)
            .cpu(0, move |host| {
                host.kernel_update(missed, MM, 1, 1);
                host.read(0, MM);
                host.updates(0, MM, &[1, -1]);
            })
            .end(|host| {
                assert_eq!(host.state_now(0).active_max, 1);
                check_peaks(host);
            })
            .explore();
    }
}

/// What a reading calls valid is a sum that the mm had.
#[test]
fn a_valid_shadow_is_true() {
    let config = Config { instants: true, ..crate::percpu::anon(1, BATCH, sums::QUIET) };
    begins("a valid reading", config, &[3, -1], true)
        .cpu(0, move |host| {
            host.updates(0, MM, &[1, -1]);
            host.switch(0, 0);
        })
        .reader(|host| {
            host.watch(MM);
            let record = host.read(0, MM);
            let settled = record.flags & (SHADOW_VALID | SHADOW_UNSETTLED) == SHADOW_VALID;
            assert!(!settled || host.mm(MM).had(record.shadow[1]), "valid, and wrong: {record:?}");
        })
        .daily(5);
}

/// The uncertainty covers what it changes.
#[test]
fn what_it_changes_is_covered() {
    covers("alone", First::Churn, &[&[2, -1]], &[&[1, -1]], 3);
    covers("alone, within a reading", First::Exact, &[&[2, -1]], &[&[1, -1]], 2);
}

/// CPU 0 is alone with A while that ends on CPU 1 (its task has left it in an execve), and the address is used again at once. No switch
/// comes between.
#[test]
fn its_mm_ends_elsewhere() {
    for pages in [0, 1] {
        Scenario::new("ends elsewhere", config(2, 2, 3), |host| {
            host.begin(0, A, 3);
            host.update(0, A, 1, -1);
            assert_eq!(host.slot_now(0).alone, A);
        })
        .cpu(1, move |host| {
            host.exit(1, A, 2);
            host.kernel_new_mm(A);
            host.now.add_quietly(1);
            if pages != 0 {
                host.update(1, A, 1, pages);
            }
        })
        .cpu(0, |host| {
            // The next mm at the address is of the task here.
            crate::engine::wait_until("the address is used again", || host.now.peek() == 2);
            host.updates(0, A, &[1, 1]);
            host.begin(0, B, 1);
        })
        .end(|host| {
            host.check_no_residue();
            host.check_shadow(A);
            host.check_shadow(B);
            host.check_events(0);
            host.check_indexes();
        })
        .daily(3);
    }
}
