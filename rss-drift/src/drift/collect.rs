//! Rows: the exact figure of one instant paired with what /proc printed next to it.

use std::{borrow::Borrow, time::SystemTime};

use rss_drift_common::{
    Member, member,
    record::{FLAG_LEADER_GONE, FLAG_VALID},
    shadow::SHADOW_VALID,
};

use crate::{
    drift::{
        behaviour::Precisions,
        bounds::Batching,
        movers::{Movers, SMALLEST_GROUP},
        sample::{Note, Process, ReportId, Row, ShadowFigures},
        stats::Reading,
    },
    kernel::{Accounting, tunables::Cpus},
    probe::{Mm, Probe, ProbeError, Publish, Snapshot},
    proc::{Buffer, Cgroups, Files, Precision, ProcFigures, Source, TaskFolder, Wanted, task_name},
};

/// What is known from the reports before.
#[derive(Debug, Default)]
pub struct Earlier {
    /// The paths of control groups.
    pub cgroups: Cgroups,
    pub movers: Movers,
}

/// What rows are made by.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Which file is `reported`.
    pub source: Source,
    /// Which files are exact on this kernel.
    pub precisions: Precisions,
    pub accounting: Accounting,
    pub cpus: Cpus,
    /// Pages that one fault on a file can map at once.
    pub pages_per_fault: u64,
    /// Whether the kernel caches updates at all.
    pub caches: bool,
    pub page_size: u64,
    /// Full mode: the most RSS that the slot of a CPU can hold unpublished, in pages.
    pub pending_limit: u64,
    /// Clock ticks per second in /proc.
    pub ticks_per_second: u64,
    /// What /proc adds to the start of a process in our time namespace, in nanoseconds.
    pub boottime_offset: i64,
    /// What of /proc rows need. Without `stat`, whose precision must be approximate then, its figure is that of the record: the file
    /// would have printed it at that instant, from the very same counters.
    pub wanted: Wanted,
}

impl Rules {
    /// What bounds follow from.
    #[must_use]
    pub const fn batching(&self) -> Batching<'_> {
        Batching {
            accounting: self.accounting,
            cpus: &self.cpus,
            pages_per_fault: self.pages_per_fault,
            caches: self.caches,
        }
    }

    /// The CPUs are these now. The bounds follow, also that of the BPF programs of full mode; by how much peaks may be wrong
    /// never shrinks, as they are of all the time.
    ///
    /// # Errors
    /// As [`Probe::set_bound`].
    pub fn follow(&mut self, cpus: Cpus, probe: &mut Probe, publish: Publish) -> Result<(), ProbeError> {
        self.cpus = cpus;
        self.pending_limit = self.pending_limit.max(self.unpublished(publish));
        probe.set_bound(self.batching().bound(Precision::Approximate, 1))
    }

    /// By how much RSS, in pages, a CPU can mislead another about the peak: what its slot holds unpublished, a page less than
    /// the threshold of each member. On per-task accounting that was measured, and comes with the peak.
    ///
    /// On per-cpu accounting a fold that another CPU saw in the global count, because it folded itself just then, but not yet in
    /// the slot of who made it, counts twice what that slot held: a page less than the batch. Where slots hold pages unpublished
    /// that is within it: what the kernel's slot has of a member less what ours holds back of it is less than a batch.
    #[must_use]
    pub fn unpublished(&self, publish: Publish) -> u64 {
        let of_a_member = self.cpus.batch() - 1;
        match (self.accounting, publish) {
            (Accounting::PerCpu, Publish::EveryUpdate) => of_a_member,
            (Accounting::PerCpu, Publish::Batches) => Member::RSS.len() as u64 * of_a_member,
            (Accounting::PerTask, _) => 0,
        }
    }
}

/// Our own errors, counted while rows are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    /// Readings of a process that a fold disturbed and that were repeated.
    pub retried: u64,
    /// Rows whose counters never stood still while they were read.
    pub uncertain: u64,
    /// Figures of /proc that lie outside of what the iterator saw right before and right after: our error, or a
    /// movement up and down in between.
    pub disagreements: u64,
    /// Processes that were there before and after, of which a /proc file could not be read.
    pub unreadable: u64,
}

/// A group of processes, each with its record of the reading before and what /proc says of it; the caller takes the reading
/// after.
#[derive(Debug)]
struct Group<'a>(Vec<(&'a Mm, Files, Wanted)>);

impl<'a> Group<'a> {
    /// Reads /proc for each of `before`; the paths of control groups that are known are not read. `None` where that is given up between two
    /// of them.
    fn read(
        before: impl Iterator<Item = (&'a Mm, Wanted)>,
        rules: &Rules,
        groups: &mut Cgroups,
        give_up: &dyn Fn() -> bool,
    ) -> Option<Self> {
        let mut buffer = Buffer::default();
        let read = |(mm, wanted): (&'a Mm, Wanted)| {
            if give_up() {
                return None;
            }
            let known = wanted.cgroup.then(|| groups.path(mm.cgroup_id)).flatten();
            let missing = Wanted { cgroup: wanted.cgroup && known.is_none(), ..wanted };
            let files = folder(mm).read_into(&mut buffer, missing, rules.page_size);
            if let Some(path) = &files.cgroup {
                groups.check(mm.cgroup_id, path);
            }
            Some((mm, Files { cgroup: known.or(files.cgroup), ..files }, wanted))
        };
        before.map(read).collect::<Option<_>>().map(Self)
    }

    /// Pairs what was read with the reading `after`. A process that is gone by then, or that has another mm, has no
    /// row: nobody knows to which of the two /proc's answer belongs.
    fn rows(
        self,
        after: &Snapshot,
        rules: &Rules,
        groups: &mut Cgroups,
        problems: &mut Problems,
    ) -> Vec<Row> {
        let mut rows = Vec::with_capacity(self.0.len());
        for (before, files, wanted) in self.0 {
            let Some(second) = after.process(before.tgid).filter(|second| same_mm(before, second)) else {
                continue;
            };
            problems.unreadable += u64::from(
                Source::ALL.iter().any(|&source| wanted.has(source) && files.figures.of(source).is_none()),
            );
            let stayed = (before.task, before.cgroup_id) == (second.task, second.cgroup_id);
            if let Some(path) = files.cgroup.as_deref().filter(|_| stayed) {
                groups.learn(second.cgroup_id, path);
            }
            rows.push(row(before, second, files, after, rules, problems));
        }
        rows
    }
}

/// Rows for `pids`, group by group between two readings, of which `before` is the first. Of many those that move come first.
///
/// Where `stat` is not wanted, that of the first processes is read all the same, so that each report checks the records against /proc. Where
/// nothing is wanted, the rows behind that group are those of the last reading, in which reported and exact are of one instant.
///
/// That may take seconds: `give_up` is asked before each process, and where it says so there are no rows (`None`).
pub fn rows(
    probe: &mut Probe,
    mut before: Snapshot,
    pids: &[u32],
    rules: &Rules,
    Earlier { cgroups, movers }: &mut Earlier,
    problems: &mut Problems,
    give_up: &dyn Fn() -> bool,
) -> Result<Option<Vec<Row>>, ProbeError> {
    if rules.wanted.cgroup {
        cgroups.begin_report(probe.cgroup_version());
    }
    let missed_events = probe.missed_events();
    let counts_faults = probe.counts_faults();
    let read = if rules.wanted == Wanted::NOTHING { pids.len().min(SMALLEST_GROUP) } else { pids.len() };
    let (read, recorded) = pids.split_at(read);
    // Walks of page tables cost more than a reading of all tasks: larger groups would save nothing.
    let plan = if rules.wanted.resident {
        read.chunks(SMALLEST_GROUP).map(<[u32]>::to_vec).collect()
    } else {
        movers.groups(&before, read)
    };
    let mut rows = Vec::with_capacity(pids.len());
    for (place, group) in plan.iter().enumerate() {
        let checked = rules.wanted.and(Wanted::only(Source::Stat));
        let wanted = |at: usize| if place == 0 && at < SMALLEST_GROUP { checked } else { rules.wanted };
        let group = group.iter().filter_map(|&pid| before.process(pid)).enumerate();
        let group = group.map(|(at, mm)| (mm, wanted(at)));
        let Some(group) = Group::read(group, rules, cgroups, give_up) else { return Ok(None) };
        let after = probe.snapshot()?;
        problems.retried += after.retried();
        let first = rows.len();
        rows.extend(group.rows(&after, rules, cgroups, problems));
        for row in &mut rows[first..] {
            row.shadow = shadow_figures(row.process.pid, &before, &after, rules, counts_faults);
            row.missed_events = missed_events;
        }
        before = after;
    }
    movers.remember(&before, read.len());
    for mm in recorded.iter().filter_map(|&pid| before.process(pid)) {
        let mut row = recorded_row(mm, &before, rules, problems);
        row.shadow = shadow_figures(mm.tgid, &before, &before, rules, counts_faults);
        row.missed_events = missed_events;
        rows.push(row);
    }
    Ok(Some(rows))
}

/// What full mode knows of a process at the reading `after`. A shadow that a flush disturbed is no figure.
fn shadow_figures(
    pid: u32,
    before: &Snapshot,
    after: &Snapshot,
    rules: &Rules,
    counts_faults: bool,
) -> Option<ShadowFigures> {
    let shadow = after.shadow(pid).filter(|shadow| shadow.flags & SHADOW_VALID != 0)?;
    let earlier = before.shadow(pid).filter(|it| it.id == shadow.id && it.flags & SHADOW_VALID != 0);
    let first = earlier.zip(before.process(pid));
    let others = shadow.active_max.saturating_sub(1).max(0).unsigned_abs();
    Some(ShadowFigures {
        shadow: member::rss(&shadow.shadow),
        uncertainty: first.map(|(earlier, mm)| shadow.moved_since(mm.exact_rss(), earlier)),
        peak_exact: shadow.peak_exact,
        peak_drift: match rules.precisions.stat {
            Precision::Exact => Some(0),
            Precision::Approximate => Some(shadow.peak_drift),
            Precision::Unknown => None,
        },
        peak_error: others * rules.pending_limit + shadow.peak_error,
        hits: shadow.hits,
        misses: shadow.misses,
        flushes: shadow.flushes,
        faults: counts_faults.then_some(shadow.faults),
    })
}

/// Whether two readings are of the same memory of the same process.
#[must_use]
pub fn same_mm(first: &Mm, second: &Mm) -> bool {
    (first.mm, first.start_boottime_ns, first.exec_id)
        == (second.mm, second.start_boottime_ns, second.exec_id)
}

/// Where /proc has the figures of this mm.
#[must_use]
pub fn folder(mm: &Mm) -> TaskFolder {
    if mm.has(FLAG_LEADER_GONE) { TaskFolder::thread(mm.tid) } else { TaskFolder::process(mm.tgid) }
}

fn row(
    first: &Mm,
    second: &Mm,
    files: Files,
    after: &Snapshot,
    rules: &Rules,
    problems: &mut Problems,
) -> Row {
    let mut figures = files.figures;
    if !rules.wanted.stat && figures.stat.is_none() {
        figures.stat = Some(second.approximate_rss());
    }
    // The reading whose approximate figure is nearer to that of /proc: where they are equal, drift is of one instant.
    let off = |of: &Mm| figures.stat.map_or(0, |stat| stat.abs_diff(of.approximate_rss()));
    let chosen = if off(first) < off(second) { first } else { second };
    let mut notes = notes(second, after);
    if !chosen.has(FLAG_VALID) {
        notes.push(Note::Uncertain);
        problems.uncertain += 1;
    }
    problems.disagreements += disagreements(first, second, &figures, rules.precisions);
    let moved = Some(second.exact_rss().abs_diff(first.exact_rss()));
    let mut row = Row { time: after.time, files: figures, moved, notes, ..of_record(chosen, rules) };
    row.process.uid = files.uid;
    row.process.cgroup = files.cgroup;
    row.process.faults = files.faults;
    row.process.mm_pid = after.first_user(second);
    row
}

/// A row of the record alone.
fn recorded_row(mm: &Mm, reading: &Snapshot, rules: &Rules, problems: &mut Problems) -> Row {
    let mut notes = notes(mm, reading);
    if !mm.has(FLAG_VALID) {
        notes.push(Note::Uncertain);
        problems.uncertain += 1;
    }
    let files = ProcFigures { stat: Some(mm.approximate_rss()), ..ProcFigures::default() };
    let mut row = Row { time: reading.time, files, moved: Some(0), notes, ..of_record(mm, rules) };
    row.process.mm_pid = reading.first_user(mm);
    row
}

/// What has to be said of a process whatever its counters are.
fn notes(mm: &Mm, reading: &Snapshot) -> Vec<Note> {
    let mut notes = Vec::new();
    if mm.has(FLAG_LEADER_GONE) {
        notes.push(Note::DeadLeader);
    }
    if reading.is_shared(mm) {
        notes.push(Note::SharedMm);
    }
    notes
}

/// A row whose figures of /proc are those that its files would print by their precision: enough to rank by, without reading
/// a file. What only /proc knows is empty.
#[derive(Debug)]
pub struct Prediction(Row);

impl Prediction {
    /// Of a process, by what the iterator says of it.
    #[must_use]
    pub fn new(mm: &Mm, rules: &Rules) -> Self {
        let figure = |source| Some(reported(mm, rules.precisions.of(source)));
        let [stat, statm, status] = [Source::Stat, Source::Statm, Source::Status].map(figure);
        Self(Row {
            files: ProcFigures { stat, statm, status, ..ProcFigures::default() },
            ..of_record(mm, rules)
        })
    }
}

impl Borrow<Row> for Prediction {
    fn borrow(&self) -> &Row {
        &self.0
    }
}

/// What the iterator alone says of a process: what only /proc knows is empty.
fn of_record(mm: &Mm, rules: &Rules) -> Row {
    Row {
        report: ReportId::NONE,
        time: SystemTime::UNIX_EPOCH,
        process: Process {
            pid: mm.tgid,
            start_ticks: start_ticks(mm.start_boottime_ns, rules.boottime_offset, rules.ticks_per_second),
            mm_generation: mm.exec_id,
            comm: comm(mm),
            uid: None,
            cgroup: None,
            mm_pid: None,
            threads: mm.threads,
            faults: None,
        },
        source: rules.source,
        precision: rules.precisions.of(rules.source),
        exact: mm.exact(),
        global: mm.count,
        files: ProcFigures::default(),
        moved: None,
        shadow: None,
        missed_events: None,
        bound: Some(rules.batching().bound(rules.precisions.of(rules.source), mm.tasks)),
        notes: Vec::new(),
    }
}

/// How many of the figures lie outside of what the two readings around them allow.
fn disagreements(first: &Mm, second: &Mm, figures: &ProcFigures, precisions: Precisions) -> u64 {
    let between = |figure: i64, one: i64, other: i64| (one.min(other)..=one.max(other)).contains(&figure);
    Source::ALL
        .into_iter()
        .filter(|&source| {
            figures.of(source).is_some_and(|figure| match precisions.of(source) {
                Precision::Exact => !between(figure, first.exact_rss(), second.exact_rss()),
                Precision::Approximate => !between(figure, first.approximate_rss(), second.approximate_rss()),
                Precision::Unknown => false,
            })
        })
        .count() as u64
}

/// Start of a process as `/proc/PID/stat` prints it (`fs/proc/array.c:do_task_stat`, `timens_add_boottime_ns`, `nsec_to_clock_t`): a
/// process that began before the namespace's clock did wraps there too.
fn start_ticks(start_boottime_ns: u64, offset: i64, ticks_per_second: u64) -> u64 {
    start_boottime_ns.wrapping_add_signed(offset) / (1_000_000_000 / ticks_per_second.clamp(1, 1_000_000_000))
}

/// The leader's name.
#[must_use]
pub fn comm(mm: &Mm) -> String {
    task_name(&mm.comm)
}

/// What a file of this precision reports, in pages, without a look at it; of one whose precision is not known a guess.
fn reported(mm: &Mm, precision: Precision) -> i64 {
    match precision {
        Precision::Exact => mm.exact_rss(),
        Precision::Approximate | Precision::Unknown => mm.approximate_rss(),
    }
}

/// Exact and what a source of this precision reports, in pages and from one instant, without a look at /proc. `None` where the
/// precision is not known.
#[must_use]
pub fn reading(mm: &Mm, precision: Precision) -> Option<Reading> {
    let reported = (precision != Precision::Unknown).then(|| reported(mm, precision))?;
    Some(Reading { exact: mm.exact_rss(), reported })
}
