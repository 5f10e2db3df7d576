//! The code under test as a library: a session, and one idle process, read by it and by [`crate::truth`].

use std::{
    thread,
    time::{Duration, Instant},
};

use rss_drift::{
    drift::{
        behaviour::Precisions,
        collect::{self, Earlier, Rules},
        sample::Row,
    },
    probe::{FullOptions, Mm, Snapshot},
    proc::{Precision, Source, Wanted},
    session::{Mode, Session, Startup},
};
use rss_drift_common::{Pages, record::FLAG_VALID, shadow::SHADOW_VALID};

use crate::truth::{Printed, Walk};

/// How often a process that is not idle is read again: reclaim, khugepaged and late exits of threads end by then.
const ATTEMPTS: u32 = 200;

/// How long a test waits for something that the kernel does in its own time. Emulated CPUs take theirs.
const PATIENCE: Duration = Duration::from_secs(100);

/// Waits until `condition` holds; panics after long enough.
#[track_caller]
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "waited {} s for this: {what}", PATIENCE.as_secs());
        thread::sleep(Duration::from_millis(20));
    }
}

/// A session that measures.
pub struct Meter {
    /// The session.
    pub session: Session,
    rules: Rules,
}

/// One idle process: the same counters before and after everything else was read.
#[derive(Debug)]
pub struct IdleProcess {
    /// What the iterator read.
    pub mm: Mm,
    /// The row that a report would have.
    pub row: Row,
    /// What /proc prints.
    pub printed: Printed,
    /// The page tables.
    pub walk: Walk,
    /// What the shadow says; `None` in passive mode, and where the process has no state.
    pub shadow: Option<Pages>,
}

impl Meter {
    /// Starts a session. This process has one thread.
    pub fn open() -> Self {
        Self::open_as(Mode::Passive)
    }

    /// As [`Self::open`], in full mode where the kernel's accounting has it, else in passive mode.
    pub fn open_fullest() -> Self {
        Self::open_as(Mode::Full(FullOptions::default()))
    }

    /// As [`Self::open`], in this mode.
    pub fn open_as(mode: Mode) -> Self {
        let session = Startup::check(mode).session().expect("measuring works here");
        let rules = session.rules(Source::Stat, Wanted { resident: true, ..Wanted::default() });
        Self { session, rules }
    }

    /// One reading of the host.
    pub fn snapshot(&mut self) -> Snapshot {
        self.session.probe.snapshot().expect("read the iterator")
    }

    /// Reads an idle process, and asserts what is true of every idle process.
    pub fn idle(&mut self, pid: u32) -> IdleProcess {
        for _ in 0..ATTEMPTS {
            if let Some(idle) = self.try_idle(pid) {
                idle.assert_exact(self.session.precisions);
                return idle;
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("process {pid} did not become idle");
    }

    /// One try; `None` when the counters changed meanwhile.
    fn try_idle(&mut self, pid: u32) -> Option<IdleProcess> {
        let before = self.snapshot();
        let mm = *before.process(pid)?;
        let printed = Printed::of(mm.tid).expect("read /proc");
        let walk = Walk::of(mm.tid).expect("read smaps");
        let mut problems = collect::Problems::default();
        let (probe, mut earlier) = (&mut self.session.probe, Earlier::default());
        let rows = collect::rows(probe, before, &[pid], &self.rules, &mut earlier, &mut problems, &|| false);
        let mut rows = rows.expect("read the iterator").expect("nobody gives up");
        let after = self.snapshot();
        let second = after.process(pid)?;
        let same = (mm.mm, mm.exec_id, mm.count, mm.cached)
            == (second.mm, second.exec_id, second.count, second.cached);
        if !(same && mm.has(FLAG_VALID) && second.has(FLAG_VALID)) {
            return None;
        }
        let row = rows.pop().expect("an idle process has a row");
        assert_eq!(problems.disagreements, 0, "while idle, /proc prints what the counters say: {row:?}");
        let shadow = after.shadow(pid);
        if shadow.is_some_and(|shadow| shadow.flags & SHADOW_VALID == 0) {
            return None;
        }
        Some(IdleProcess { mm, row, printed, walk, shadow: shadow.map(|shadow| shadow.shadow) })
    }
}

impl IdleProcess {
    /// Exact RSS in pages.
    pub fn exact(&self) -> i64 {
        self.mm.exact_rss()
    }

    /// What holds for every idle process: the counters are what a walk of the page tables finds, member by member, and
    /// drift is what /proc lacks of it.
    fn assert_exact(&self, precisions: Precisions) {
        let Self { mm, row, printed, walk, shadow } = self;
        assert_eq!(self.exact(), printed.rollup, "exact and smaps_rollup: {self:#?}");
        assert_eq!(walk.rss(), printed.rollup, "smaps and smaps_rollup: {self:#?}");
        assert_eq!(
            mm.exact(),
            walk.members(),
            "file, anon, swap, shmem by the counters and by smaps: {self:#?}"
        );
        if let Some(shadow) = shadow {
            assert_eq!(*shadow, mm.exact(), "the shadow of an idle process: {self:#?}");
        }

        assert_eq!(row.exact, mm.exact(), "the row's figures: {self:#?}");
        assert_eq!(row.moved, Some(0), "an idle process: {row:?}");
        assert_eq!(row.files.stat, Some(printed.stat), "{row:?}");
        assert_eq!(row.files.statm, Some(printed.statm), "{row:?}");
        assert_eq!(row.files.status, Some(printed.status), "{row:?}");
        assert_eq!(row.files.resident, Some(printed.rollup), "{row:?}");
        let drift = printed.rollup - printed.stat;
        assert_eq!(row.drift(), Some(drift), "drift is resident - stat while idle: {row:?}");
        let bound = row.bound.expect("stat has a bound");
        assert!(drift.unsigned_abs() <= bound, "drift {drift} beyond the bound {bound}: {row:?}");

        for (source, figure) in Source::ALL.into_iter().zip([printed.stat, printed.statm, printed.status]) {
            match precisions.of(source) {
                Precision::Exact => assert_eq!(figure, self.exact(), "{source:?} is exact here: {row:?}"),
                Precision::Approximate => {
                    assert_eq!(figure, mm.approximate_rss(), "{source:?} is the global count here: {row:?}");
                }
                Precision::Unknown => {}
            }
        }
    }
}
