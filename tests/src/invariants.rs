//! What holds of full mode at every reading, whatever else happens on the host.

use std::{fs, thread, time::Duration};

use rss_drift::{
    drift::idle::{IdleFindings, IdleTracker},
    probe::{EndOfMm, Probe, Snapshot},
    session::Session,
};
use rss_drift_common::shadow::Counts;

/// How often what newborn and dying processes may disturb is looked at again: longer than a state without an event is
/// waited for before it is swept away.
const LOOKS: u32 = 150;

/// What was found so far. Where events were missed (7.x) these explain what had to be repaired, and an mm that ended with
/// a residue each.
#[derive(Debug, Default)]
pub struct Invariants {
    tracker: IdleTracker,
    readings: u64,
    idle: u64,
    repaired: u64,
    /// See [`Invariants::may_be_late`].
    may_be_late: bool,
}

impl Invariants {
    /// From here on something can be left to an mm's end though no event was missed: CPUs go offline, whose slots are given to
    /// the counts without an event (docs/limitations.md), or we attach in the middle of updates, where one CPU can still go
    /// without the event that another has already.
    pub fn may_be_late(&mut self) {
        self.may_be_late = true;
    }

    /// One reading: the shadow of idle mms is exact, nothing was repaired, and every mm that ended came to 0.
    pub fn check(&mut self, probe: &mut Probe) -> (Snapshot, IdleFindings) {
        let snapshot = probe.snapshot().expect("read the iterator");
        let found = self.tracker.judge(&snapshot);
        self.readings += 1;
        self.idle += found.mms;
        self.repaired += found.repaired;
        assert_eq!(found.largest_error, 0, "shadow = exact while idle: {found:?}");
        let (counts, missed) = (counts(probe), probe.missed_events().expect("full mode"));
        assert!(self.repaired == 0 || missed > 0, "only what was missed is repaired: {found:?}");
        assert!(counts.deaths_with_residue <= missed, "every mm ends with 0; {missed} missed: {counts:?}");
        if !self.may_be_late {
            nothing_is_late(probe);
        }
        (snapshot, found)
    }

    /// Ends a test: checks once more that no state is left of an mm that is gone, and prints what was found.
    pub fn end(mut self, session: &mut Session, name: &str) {
        self.check(&mut session.probe);
        no_state_too_many(session);
        // What a reading finds of idle mms is judged by the next one.
        self.check(&mut session.probe);
        self.check(&mut session.probe);
        assert!(self.idle > 0, "something was idle");
        self.report(&session.probe, name);
    }

    /// Prints what was found.
    pub fn report(&self, probe: &Probe, name: &str) {
        let (counts, missed) = (counts(probe), probe.missed_events().expect("full mode"));
        let Self { tracker: _, readings, idle, repaired, may_be_late: _ } = self;
        for (what, figure) in [
            ("readings", *readings),
            ("idle", *idle),
            ("repaired", *repaired),
            ("missed", missed),
            ("late", counts.late),
            ("deaths", counts.deaths),
            ("residues", counts.deaths_with_residue),
            ("swept", counts.swept),
        ] {
            println!("report: {name}_{what}={figure}");
        }
    }
}

/// Nothing was left to the end of an mm but what missed events explain.
pub fn nothing_is_late(probe: &Probe) {
    let (counts, missed) = (counts(probe), probe.missed_events().expect("full mode"));
    assert!(
        counts.late == 0 || missed > 0 || !events_stay_on_their_cpu(),
        "only what was missed is left to the end of an mm: {counts:?}"
    );
}

/// Whether an event comes on the CPU of its update. From 7.x on a task can be preempted in between, and go on elsewhere: the
/// word of the CPU that it left is behind until its next refresh, which may be at the mm's end.
fn events_stay_on_their_cpu() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("read the kernel's release");
    let major = release.split('.').next().and_then(|major| major.parse::<u32>().ok());
    major.expect("a release begins with a number") < 7
}

/// The BPF programs' own counts.
pub fn counts(probe: &Probe) -> Counts {
    probe.counts().expect("full mode").expect("read the counts")
}

/// No state is left of an mm that is gone. Newborn and dying mms may be counted by one side only: not at each look. An mm
/// without a task lives on while an idle CPU runs lazily on it: one per CPU, up to `__mmdrop`. Where ends are not seen, those
/// that a sweep has yet to find stand for some seconds.
pub fn no_state_too_many(session: &mut Session) {
    if matches!(session.probe.full_mode(), Some((_, EndOfMm::Unseen))) {
        return;
    }
    let mut seen = Vec::new();
    for _ in 0..LOOKS {
        let too_many = states_too_many(session);
        if too_many <= 0 {
            return;
        }
        seen.push(too_many);
        thread::sleep(Duration::from_millis(20));
    }
    panic!("states of mms that no task has and no CPU runs on: {seen:?}");
}

/// States beyond the mms that tasks have, and that CPUs can run lazily on.
pub fn states_too_many(session: &mut Session) -> i64 {
    let lazy = match session.probe.full_mode() {
        Some((_, EndOfMm::Mmdrop)) => session.kernel.cpus.online.len(),
        Some(_) => 0,
        // Passive mode.
        None => return 0,
    };
    let snapshot = session.probe.snapshot().expect("read the iterator");
    let visited = snapshot.mms().filter(|mm| snapshot.shadow(mm.tgid).is_some()).count();
    let counts = counts(&session.probe);
    let living = counts.births.wrapping_sub(counts.deaths).cast_signed();
    living - i64::try_from(visited + lazy).expect("a number of processes")
}
