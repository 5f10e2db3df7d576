//! Full mode where the end of an mm is not seen as it is best seen: without fentry, without the tracepoint `exit_mmap` too,
//! and an mm for which that has no event. What a kernel has is hidden from our start-up by an option.

use std::{
    thread,
    time::{Duration, Instant},
};

use nix::{
    sched::{CpuSet, sched_setaffinity},
    sys::{
        signal::Signal,
        wait::{WaitStatus, waitpid},
    },
    unistd::{ForkResult, Pid, fork},
};
use rss_drift::{
    drift::idle::IdleTracker,
    probe::{EndOfMm, FullOptions, Hidden},
};

use super::shadow::{assert_right, counts, open, shadow, stale};
use crate::{
    harness::{Outcome, allowed_cpus},
    helper::{Helper, Kind},
    measure::{Meter, wait_until},
};

/// A kernel or a security module that has no fentry.
pub(super) const NO_FENTRY: Hidden = Hidden { fentry: true, exit_mmap: false, cast: false };

/// 5.10 without fentry.
const NO_END: Hidden = Hidden { exit_mmap: true, ..NO_FENTRY };

fn open_without(hidden: Hidden) -> Meter {
    open(FullOptions { hidden, ..FullOptions::default() })
}

pub(super) fn end(meter: &Meter) -> EndOfMm {
    meter.session.probe.full_mode().expect("full mode").1
}

/// An mm without a single mapping has no `exit_mmap` event up to 6.18: where that is how ends are seen, a sweep finds it.
pub fn an_mm_that_ends_unseen() -> Outcome {
    const CHILDREN: usize = 20;
    let mut meter = open(FullOptions::default());
    meter.snapshot();
    for _ in 0..CHILDREN {
        // SAFETY: the child makes one system call, which takes its code away.
        match unsafe { fork() }.expect("fork") {
            // SAFETY: as above; nothing runs behind it.
            ForkResult::Child => unsafe {
                libc::syscall(libc::SYS_munmap, 0, 0x7fff_ffff_f000_u64);
                libc::_exit(1)
            },
            ForkResult::Parent { child } => {
                let status = waitpid(child, None).expect("wait for a child");
                assert!(
                    matches!(status, WaitStatus::Signaled(_, Signal::SIGSEGV, _)),
                    "all of its memory was taken away: {status:?}"
                );
            }
        }
    }
    let before = counts(&meter);
    // Two readings without a visit, one that looks; a second later one that finds nothing new, or that a CPU gave up what its
    // slot held of it, and then one more second later; `stale` makes two readings of its own.
    for _ in 0..3 {
        meter.snapshot();
    }
    for _ in 0..2 {
        thread::sleep(Duration::from_millis(1100));
        meter.snapshot();
    }
    assert_eq!(stale(&mut meter), 0, "{before:?}, then {:?}", counts(&meter));
    println!("report: swept={}", counts(&meter).swept);
    assert_right(&mut meter, &mut IdleTracker::default());
    Outcome::Passed
}

/// Where fentry is refused the tracepoint `exit_mmap` tells the ends, or a sweep finds them: as right, and nothing stays.
pub fn without_fentry() -> Outcome {
    let mut meter = open_without(NO_FENTRY);
    assert_ne!(end(&meter), EndOfMm::Mmdrop);
    let lives = beside_a_storm(&mut meter);
    if end(&meter) == EndOfMm::ExitMmap {
        let deaths = counts(&meter).deaths;
        assert!(deaths >= lives, "{deaths} deaths of {lives} lives");
    }
    nothing_stays(&mut meter);
    Outcome::Passed
}

/// Without any event at the end of an mm: as right, and nothing stays.
pub fn without_an_end() -> Outcome {
    let mut meter = open_without(NO_END);
    assert_eq!(end(&meter), EndOfMm::Unseen);
    beside_a_storm(&mut meter);
    nothing_stays(&mut meter);
    let counts = counts(&meter);
    assert!(counts.swept + counts.inherited > 0, "nothing else ends a state here: {counts:?}");
    println!("report: ends_swept={}", counts.swept);
    println!("report: ends_inherited={}", counts.inherited);
    Outcome::Passed
}

/// Processes that have one memory are one mm: what is visited twice hides no state of an mm that ended unseen.
pub fn an_end_beside_a_shared_memory() -> Outcome {
    const SHARERS: usize = 3;
    let mut meter = open_without(NO_END);
    let mut helper = Helper::start();
    let region = helper.map(Kind::Anon, 100);
    for _ in 0..SHARERS {
        helper.share_memory(&region, 10);
    }
    meter.snapshot();
    // Fewer than there are visits too many.
    drop(Helper::start());
    nothing_stays(&mut meter);
    assert!(counts(&meter).swept > 0, "nothing else ends a state here: {:?}", counts(&meter));
    Outcome::Passed
}

/// A new mm at the address of one whose end nobody saw has figures of its own.
pub fn an_address_after_an_unseen_end() -> Outcome {
    const PAGES: u64 = 3000;
    const TRIES: u32 = 200;
    let mut meter = open_without(NO_END);
    // All on one CPU, as each has free ones of its own: what is freed last is given out first.
    let mut set = CpuSet::new();
    set.set(allowed_cpus()[0])
        .and_then(|()| sched_setaffinity(Pid::from_raw(0), &set))
        .expect("stay on a CPU");
    for _ in 0..TRIES {
        let mut old = Helper::start();
        let region = old.map(Kind::Anon, PAGES);
        old.write(&region, 0..PAGES);
        let mm = meter.idle(old.pid()).mm.mm;
        let peak = shadow(&mut meter, old.pid()).peak_exact;
        assert!(peak.cast_unsigned() >= PAGES, "a peak of {peak} pages");
        // It counts as one that has a task from now on.
        let id = shadow(&mut meter, old.pid()).id;
        thread::sleep(Duration::from_millis(1100));
        drop(old);
        for _ in 0..8 {
            let new = Helper::start();
            let idle = meter.idle(new.pid());
            if idle.mm.mm != mm {
                continue;
            }
            let record = shadow(&mut meter, new.pid());
            assert_ne!(record.id, id, "a state of its own: {record:?}");
            assert!(record.peak_exact < peak, "the peak of another: {record:?}");
            assert!(record.updates() < PAGES, "the updates of another: {record:?}");
            assert_right(&mut meter, &mut IdleTracker::default());
            println!("report: inherited={}", counts(&meter).inherited);
            return Outcome::Passed;
        }
    }
    panic!("no address was used again in {TRIES} tries");
}

/// Right at every reading beside short lives; how many they were.
pub(super) fn beside_a_storm(meter: &mut Meter) -> u64 {
    let mut storm = Helper::start_as("live-storm");
    let mut tracker = IdleTracker::default();
    storm.begin_storm(200);
    for _ in 0..10 {
        assert_right(meter, &mut tracker);
        thread::sleep(Duration::from_millis(100));
    }
    let lives = storm.end_storm();
    drop(storm);
    assert_right(meter, &mut tracker);
    lives
}

/// No state is left of an mm that ended, after a while.
pub(super) fn nothing_stays(meter: &mut Meter) {
    let began = Instant::now();
    wait_until("states of mms that ended are swept away", || stale(meter) <= 0);
    println!("nothing stays after {:.1} s: {:?}", began.elapsed().as_secs_f64(), counts(meter));
    assert_right(meter, &mut IdleTracker::default());
}
