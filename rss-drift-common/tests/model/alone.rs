//! A CPU that is alone with an mm does not look at its state: whoever changes what it would see there tells it.

use crate::{
    common::{A, B, C, FIGURES, Scenario, World, config},
    engine,
    host::{ANON, Check as _, Config, SWAP},
    open, peaks,
    percpu::{MM, anon, scenario},
    sums,
    uncertainty::{First, covers},
};
use rss_drift_common::protocol::limbo;

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

/// CPU 0 is alone after these updates.
const ALONE: &[i32] = &[3, -1];
/// It becomes alone with the next one.
const BECOMES_ALONE: &[i32] = &[3];
/// It is alone, and the next page less makes a fold, after which it stays alone.
const BEFORE_A_FOLD: &[i32] = &[4, -3, 1, -1];

/// Peaks: as [`begins`], with the updates that CPU 0 makes next.
fn peaks_with(name: &'static str, cpus: usize, before: &'static [i32], updates: &'static [i32]) -> Scenario {
    begins(name, peaks::config(cpus, BATCH), before, before != BECOMES_ALONE).updates(0, MM, updates)
}

/// Nobody comes: one look at the state a batch is enough.
#[test]
fn it_stays_alone_beyond_a_fold() {
    peaks_with("folds", 1, BEFORE_A_FOLD, &[-1])
        .end(|host| {
            let slot = host.slot_now(0);
            assert_eq!((slot.alone, slot.pending[1]), (MM, 0), "it is alone, nothing is pending");
            host.updates(0, MM, &[1, 1, 1]);
            assert_eq!(host.slot_now(0).pending[1], 3, "all were allowed without a look");
            check_peaks(host);
        })
        .explore();
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
    for (name, before, updates) in [
        ("enters", ALONE, &[1, -1][..]),
        ("enters as it becomes alone", BECOMES_ALONE, &[-1, 1]),
        ("enters at a fold", BEFORE_A_FOLD, &[-1, 1]),
    ] {
        peaks_with(name, 2, before, updates).cpu(1, |host| host.runs(1, MM, &[1])).end(check_peaks).daily(4);
    }
}

/// Another CPU changes the mm without holding it.
#[test]
fn another_cpu_reaches_in() {
    for pages in [1, 3, 5, -5] {
        for (name, before, updates) in [
            ("reaches in", ALONE, &[1, -1][..]),
            ("reaches in at a fold", BEFORE_A_FOLD, &[-1, 1]),
            ("reaches in at a fold, and nothing follows", BEFORE_A_FOLD, &[-1]),
        ] {
            peaks_with(name, 2, before, updates)
                .cpu(1, move |host| host.updates(1, MM, &[pages]))
                .end(check_peaks)
                .daily(4);
        }
    }
    peaks_with("reaches in as it becomes alone", 2, BECOMES_ALONE, &[-1, 1])
        .updates(1, MM, &[3])
        .end(check_peaks)
        .daily(4);
}

/// Another CPU has come and gone: what it left in the totals counts for what follows.
#[test]
fn another_cpu_goes() {
    for (name, before, updates) in
        [("comes and goes", ALONE, &[1, -1, 1][..]), ("comes and goes at a fold", BEFORE_A_FOLD, &[-1, 1, 1])]
    {
        peaks_with(name, 2, before, updates)
            .cpu(1, |host| {
                host.runs(1, MM, &[2]);
                host.switch(1, 0);
            })
            .end(check_peaks)
            .daily(3);
    }
}

/// A reading takes updates while CPU 0 makes them.
#[test]
fn a_reader_comes() {
    for (name, before, updates) in [
        ("a reader", ALONE, &[1, -1][..]),
        ("a reader as it becomes alone", BECOMES_ALONE, &[-1, 1]),
        ("a reader at a fold", BEFORE_A_FOLD, &[-1, 1]),
    ] {
        peaks_with(name, 1, before, updates).reads(0, MM).end(check_peaks).daily(4);
    }
}

/// An update of CPU 0, and one elsewhere, have no event: a reading finds them, and the next updates are beyond the peak.
#[test]
fn a_reader_finds_what_was_missed() {
    for missed in [0, 1] {
        begins("a missed update", peaks::config(2, BATCH), ALONE, true)
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
    let config = Config { instants: true, ..anon(1, BATCH, sums::QUIET) };
    open::beside_a_valid_reading(begins("a valid reading", config, ALONE, true), &[1, -1]);
    let config = Config { instants: true, ..anon(1, BATCH, sums::QUIET) };
    open::beside_a_valid_reading(begins("a valid reading of a fold", config, BEFORE_A_FOLD, true), &[-1, 1]);
}

/// The uncertainty covers what it changes.
#[test]
fn what_it_changes_is_covered() {
    covers("alone", First::Churn, &[&[2, -1]], &[&[1, -1]], 3);
    covers("alone, within a reading", First::Exact, &[&[2, -1]], &[&[1, -1]], 2);
    covers("alone, at a fold", First::Churn, &[BEFORE_A_FOLD], &[&[-1, 1]], 3);
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
            engine::wait_until("the address is used again", || host.now.peek() == 2);
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

/// A's end was not seen, and its address is used again: CPU 0 finds that at an execve, while CPU 1 changes the new mm without holding it.
/// Whatever that leaves, no two CPUs are alone with one mm. Else one of them stays so beyond the mm's end, and its updates go to the next
/// owner of the index.
#[test]
fn a_miss_beside_an_inherited_state() {
    let config = Config { quiet: FIGURES.without(&["active_cpus"]), ..config(3, 3, 3) };
    Scenario::new("a miss beside an inherited state", config, |host| {
        host.begin(0, A, 3);
        host.executes(0, A);
        host.update(0, A, ANON, -3);
        host.go_on_with(0, B);
        host.kernel_new_mm(A);
    })
    .cpu(0, |host| host.executes(0, A))
    .cpu(1, |host| host.updates(1, A, &[1]))
    .end(|host| {
        let Some(index) = host.table.find(A) else { return };
        assert_eq!(host.state_now(index as usize).active_cpus, 0);
        host.go_on_with(0, A);
        host.updates(0, A, &[3, -1]);
        host.go_on_with(1, A);
        host.updates(1, A, &[3, -1]);
        host.updates(0, A, &[1, -1]);
        host.updates(1, A, &[1, -1]);
        let alone = [0, 1].map(|cpu| host.slot_now(cpu).alone);
        assert!(alone.contains(&0), "two are alone");
        // CPU 1 idles, CPU 0 is in an execve, and A ends on CPU 2. Its address is used again, and its index.
        host.go_on_with(1, 0);
        let left = i32::try_from(host.mm(A).truth()[1]).expect("few pages");
        host.current[0].poke(0);
        host.update(2, A, ANON, -left);
        host.end(2, A);
        host.kernel_new_mm(A);
        host.pass(2 * limbo::WAIT);
        limbo::release(&host.program(2));
        host.go_on_with(2, C);
        host.updates(2, C, &[1, 1]);
        host.current[0].poke(A);
        host.updates(0, A, &[1, 1]);
        host.check_shadow(A);
        host.check_shadow(C);
    })
    .explore();
}

/// A reading takes a missed update of swap between what CPU 0 takes the room from and what it notes.
#[test]
fn a_reader_takes_swap() {
    let quiet = sums::QUIET.without(&["active"]);
    let config = Config { members: [false, true, true, false], ..anon(1, BATCH, quiet) };
    scenario("a reader takes swap", config, |host| {
        host.switch(0, MM);
        host.updates(0, MM, &[3]);
        host.update(0, MM, SWAP, 2);
        host.kernel_update(0, MM, SWAP, -1);
    })
    .cpu(0, |host| {
        host.updates(0, MM, &[-1]);
        engine::wait_until("the reader is done", || host.now.peek() == 2);
        host.update(0, MM, SWAP, 1);
        host.update(0, MM, SWAP, 1);
    })
    .reader(|host| {
        host.read(0, MM);
        host.now.add_quietly(1);
    })
    .end(|host| {
        let pending = host.slot_now(0).pending;
        assert!(pending.iter().all(|pages| pages.abs() < BATCH), "{pending:?} is to be published");
    })
    .daily(3);
}
