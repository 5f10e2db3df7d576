//! The reporter of `watch`: what an interval reads, reports and remembers.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use super::{
    fail_if::{Conditions, Fulfilled},
    made::OwnRows,
    options::{Options, Shape},
    select::Selection,
};
use crate::{
    drift::{
        collect::{self, Earlier, Rules, comm, reading},
        idle::{IdleFindings, IdleTracker},
        sample::{Host, ReportId, Row, StepDown},
        stats::{DriftHistogram, Summary},
        verdict::Verdict,
    },
    kernel::tunables::Cpus,
    output::{Block, FinalSummary, Headline, Outputs, SelfCheck, ShadowCheck, stderr},
    probe::{Mm, Probe, Snapshot},
    proc::{Precision, own_peak_rss},
    select::{Filter, Grouper},
    session::{CpuClock, Mode, OverheadGuard, Session, give_memory_back},
    table::{Units, bytes},
};

/// Reads and reports, interval by interval: the session, what it shows, where to, and what it remembers for the summary.
pub(super) struct Reporter {
    pub(super) options: Options,
    pub(super) session: Session,
    outputs: Outputs,
    pub(super) host: Host,
    pub(super) rules: Rules,
    pub(super) selection: Selection,
    /// Finds the groups of processes (`--by`).
    pub(super) grouper: Option<Grouper>,
    /// What is judged (`--fail-if`).
    pub(super) conditions: Conditions,
    /// What is known from the reports before.
    pub(super) earlier: Earlier,
    map_bytes: u64,
    clock: CpuClock,
    /// When everything was attached.
    since: SystemTime,
    intervals: u64,
    /// Reports that were given up.
    dropped: u64,
    drift: DriftHistogram,
    check: SelfCheck,
    /// Full mode: whether the shadow is right where nothing moves.
    idle: IdleTracker,
    guard: OverheadGuard,
    /// Processes seen so far: counted when they appear, so that a long `watch` needs to remember only the last reading's.
    seen: u64,
    present: Vec<(u32, u64)>,
    /// The last row of each watched process, to be shown once more when it is gone.
    pub(super) last_rows: BTreeMap<u32, Row>,
}

impl Reporter {
    /// Prepares the first report; one pid of `-p` must be there.
    pub(super) fn new(
        options: Options,
        filter: Filter,
        mut session: Session,
        outputs: Outputs,
    ) -> anyhow::Result<Self> {
        let snapshot = session.probe.snapshot()?;
        let since = snapshot.time;
        let mut selection = Selection::new(&options, filter, &snapshot)?;
        if options.holders {
            // The BPF program for that is loaded now: at the first report the rows would have moved on meanwhile.
            session.probe.holders(&[], &|| false)?;
        }
        let mut rules = session.rules(options.source, options.wanted(session.precisions));
        rules.pending_limit = rules.unpublished(options.mode.publish());
        if options.min_drift().is_some() && rules.precisions.of(options.source) == Precision::Unknown {
            let source = options.source.name();
            log::warn!(
                "whether {source} is exact is not known here, and no drift of it: --min-drift selects nothing"
            );
        }
        let conditions = Conditions::new(options.fail_if.clone());
        if let Some(condition) = conditions.of_drift()
            && rules.precisions.of(options.source) == Precision::Unknown
        {
            let (source, text) = (options.source.name(), &condition.text);
            log::warn!(
                "whether {source} is exact is not known here, and no drift of it: --fail-if '{text}' never comes true"
            );
        }
        if selection.look(&snapshot, session.probe.cgroup_version(), &rules, &|| false) {
            selection.tell_unseen();
        }
        let grouper = match options.shape {
            Shape::Processes(_) => None,
            Shape::Groups(groups) => Some(Grouper::new(groups.by)),
        };
        let passive = session.probe.full_mode().is_none();
        let step_down = (passive && options.mode != Mode::Passive).then_some(StepDown::Unavailable);
        Ok(Self {
            host: Host { step_down, ..session.host() },
            map_bytes: session.probe.footprint().bytes,
            guard: OverheadGuard::new(options.max_overhead),
            options,
            session,
            outputs,
            rules,
            selection,
            grouper,
            conditions,
            earlier: Earlier::default(),
            clock: CpuClock::begin(),
            since,
            intervals: 0,
            dropped: 0,
            drift: DriftHistogram::default(),
            check: SelfCheck::default(),
            idle: IdleTracker::default(),
            seen: 0,
            present: Vec::new(),
            last_rows: BTreeMap::new(),
        })
    }

    pub(super) const fn interval(&self) -> Duration {
        self.options.interval
    }

    pub(super) const fn duration(&self) -> Option<Duration> {
        self.options.duration
    }

    /// Whether the wanted number of reports was made, or nobody is left to be watched.
    pub(super) fn is_over(&self) -> bool {
        self.options.count.is_some_and(|count| self.intervals >= count) || self.selection.is_over()
    }

    /// Whether a condition of `--fail-if` came true.
    pub(super) const fn came_true(&self) -> bool {
        self.conditions.came_true()
    }

    /// Whether so many reports were asked for, or so long a time.
    pub(super) const fn asked_for_some(&self) -> bool {
        self.options.count.is_some() || self.options.duration.is_some()
    }

    /// Whether a process was selected at the start or in any report.
    pub(super) const fn found_any(&self) -> bool {
        self.selection.found_any()
    }

    /// Reads and reports one interval. Where `give_up` says so before all is read, that report is dropped as a whole.
    pub(super) fn interval_over(&mut self, give_up: &dyn Fn() -> bool) -> anyhow::Result<()> {
        // CPUs come and go, and the bound with them.
        self.rules.follow(Cpus::read()?, &mut self.session.probe, self.options.mode.publish())?;
        let snapshot = self.session.probe.snapshot()?;
        let gone = self.selection.take_gone(&snapshot);
        let version = self.session.probe.cgroup_version();
        if !self.selection.look(&snapshot, version, &self.rules, give_up) {
            self.drop_report();
            return Ok(());
        }
        let mut headline = self.survey(&snapshot);
        let idle = self.idle.judge(&snapshot);
        let own_rss =
            snapshot.process(std::process::id()).map(|mm| bytes(mm.exact_rss().max(0), self.rules.page_size));
        let mut problems = collect::Problems { retried: snapshot.retried(), ..collect::Problems::default() };
        let (mut events, time) = (Vec::new(), snapshot.time);
        let made = match self.options.shape {
            Shape::Processes(sort) => {
                self.process_rows(snapshot, sort, &gone, &mut events, &mut problems, give_up)?
            }
            Shape::Groups(shape) => {
                events.extend(gone.iter().map(|pid| format!("pid {pid} is gone")));
                self.group_rows(snapshot, shape, &mut headline, &mut problems, give_up)?
            }
        };
        let Some(mut made) = made else {
            self.drop_report();
            return Ok(());
        };
        self.intervals += 1;
        let report = ReportId { interval: self.intervals, time };
        made.rows.stand_in(report);
        let fulfilled = std::mem::take(&mut made.fulfilled);
        let full = self.session.probe.full_mode().is_some();
        let too_costly = full && self.guard.interval_over(&self.session.probe, self.rules.cpus.online.len());
        if too_costly {
            self.say_too_costly(&mut events);
        }
        let shadow = self.shadow_check(&idle)?;
        let check = self.self_check(problems, own_rss.map(i64::unsigned_abs), shadow);
        let block = Block {
            host: &self.host,
            interval: self.intervals,
            time,
            headline: &headline,
            rows: made.rows.borrow(),
            shown: made.shown,
            holders: &made.holders,
            left_out: made.left_out,
            events: &events,
            check: &check,
            since: full.then_some(self.since),
        };
        let written = self.outputs.report(&block);
        // Also where nobody reads the report.
        self.say_what_came_true(fulfilled, report);
        written?;
        if too_costly && !self.came_true() {
            // Behind the report, which is one of full mode.
            self.step_down()?;
        }
        if let (OwnRows::Processes(rows), false) = (made.rows, self.options.pids.is_empty()) {
            // Those before stay: a process that ended while its row was made has none in this report, and is gone in the next.
            self.last_rows.extend(rows.into_iter().map(|row| (row.process.pid, row)));
        }
        Ok(())
    }

    /// The selected processes at this reading; what the summary needs of them is remembered.
    fn survey(&mut self, snapshot: &Snapshot) -> Headline {
        let precision = self.rules.precisions.of(self.rules.source);
        let mut readings = Vec::new();
        let mut verdict = Verdict::new(self.rules.page_size, self.options.near);
        let selected = |mm: &Mm| self.selection.selects(mm);
        for mm in snapshot.mms_of(selected) {
            let Some(reading) = reading(mm, precision) else { continue };
            self.drift.record(reading, || (mm.tgid, comm(mm), snapshot.time));
            verdict.count(mm.tgid, reading, || comm(mm));
            readings.push(reading);
        }
        let summary = if precision == Precision::Unknown {
            Summary::of_exact(snapshot.mms_of(selected).map(Mm::exact_rss))
        } else {
            Summary::of(readings)
        };
        // By rising pid, as the snapshot is: looked up without a table that is built anew for every report.
        let chosen = snapshot.processes().filter(|mm| self.selection.selects(mm));
        let present: Vec<_> = chosen.map(|mm| (mm.tgid, mm.start_boottime_ns)).collect();
        self.seen +=
            present.iter().filter(|process| self.present.binary_search(process).is_err()).count() as u64;
        self.present = present;
        Headline {
            source: self.rules.source,
            precisions: self.rules.precisions,
            bound: self.rules.batching().bound(Precision::Approximate, 1),
            processes: self.present.len() as u64,
            selected_of: self.selection.is_selective().then(|| snapshot.processes().len() as u64),
            summary,
            verdict,
            groups: None,
        }
    }

    /// Counts the report for the conditions, and says which of them came true.
    fn say_what_came_true(&mut self, fulfilled: Fulfilled, report: ReportId) {
        let units = self.options.look.units.unwrap_or(Units::Human);
        for line in self.conditions.count(fulfilled, report, &self.host, units) {
            stderr::deliver(format!("rss-drift: {line}\n").into_bytes());
        }
    }

    /// Counts and tells a report that is not made.
    fn drop_report(&mut self) {
        self.dropped += 1;
        log::warn!("report {} is dropped: a signal came before all of it was read", self.intervals + 1);
    }

    /// What full mode counted of itself so far; what was found on idle mms is of this interval.
    fn shadow_check(&mut self, idle: &IdleFindings) -> anyhow::Result<Option<ShadowCheck>> {
        let Some(counts) = self.session.probe.counts().transpose()? else { return Ok(None) };
        let missed = self.session.probe.missed_events().unwrap_or(0);
        let programs_percent = self.guard.share();
        Ok(Some(ShadowCheck { programs_percent, ..ShadowCheck::new(&counts, missed, idle) }))
    }

    /// Says that full mode ends with this report: among its events, which only tables have, and on standard error.
    fn say_too_costly(&self, events: &mut Vec<String>) {
        let message = format!(
            "the BPF programs took {:.2} % of the host's CPU time, more than --max-overhead {}: passive mode from here on",
            self.guard.share().unwrap_or(0.0),
            self.options.max_overhead
        );
        log::warn!("{message}");
        events.push(message);
    }

    /// Goes on in passive mode.
    fn step_down(&mut self) -> anyhow::Result<()> {
        self.session.probe = Probe::open(&self.session.kernel)?;
        give_memory_back();
        self.host = Host { step_down: Some(StepDown::Overhead), ..self.session.host() };
        self.map_bytes = self.session.probe.footprint().bytes;
        Ok(())
    }

    fn self_check(
        &mut self,
        found: collect::Problems,
        rss_bytes: Option<u64>,
        shadow: Option<ShadowCheck>,
    ) -> SelfCheck {
        let check = SelfCheck {
            retried: found.retried,
            uncertain: found.uncertain,
            disagreements: found.disagreements,
            unreadable: found.unreadable,
            cpu_percent: self.clock.lap().filter(|_| self.intervals > 1),
            rss_bytes,
            peak_rss_bytes: own_peak_rss(),
            map_bytes: Some(self.map_bytes),
            shadow,
        };
        self.check.retried += check.retried;
        self.check.uncertain += check.uncertain;
        self.check.disagreements += check.disagreements;
        self.check.unreadable += check.unreadable;
        self.check.rss_bytes = self.check.rss_bytes.max(rss_bytes);
        self.check.peak_rss_bytes = check.peak_rss_bytes;
        if let Some(shadow) = shadow {
            // Counts are since the start already; what is found on idle mms is of one interval.
            let before = self.check.shadow.unwrap_or_default();
            self.check.shadow = Some(ShadowCheck {
                idle_error: before.idle_error.max(shadow.idle_error),
                repaired: before.repaired + shadow.repaired,
                ..shadow
            });
        }
        check
    }

    /// Whether all outputs work.
    pub(super) fn check_outputs(&mut self) -> anyhow::Result<()> {
        Ok(self.outputs.check()?)
    }

    /// Measuring is over because something failed: the outputs are left, which may still write.
    pub(super) fn abandon(self) -> Outputs {
        self.outputs
    }

    /// Ends every output with the summary of all intervals. Measuring is over: the outputs are left, which may still write.
    pub(super) fn finish(mut self) -> Outputs {
        let (cpu_time, duration, cpu_percent) = self.clock.total();
        self.check.cpu_percent = cpu_percent;
        self.check.map_bytes = Some(self.map_bytes);
        let summary = FinalSummary {
            host: &self.host,
            duration,
            intervals: self.intervals,
            dropped: self.dropped,
            processes: self.seen,
            selected: self.selection.is_selective(),
            drift: self.drift.distribution(),
            largest: self.drift.largest(),
            check: &self.check,
            cpu_time,
            skipped: &self.outputs.skipped(false),
        };
        self.outputs.finish(&summary);
        self.outputs
    }
}
