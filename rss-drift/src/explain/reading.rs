//! What is read of the process, and what follows from it.

use std::time::SystemTime;

use anyhow::{Context as _, anyhow};
use rss_drift_common::Member;

use crate::{
    drift::{
        badness::Counted,
        collect::{self, Earlier},
        holders::{self, RowHolders},
        sample::{Host, Note, ReportId, Row},
    },
    kernel::room::{GroupMemory, of_group},
    probe::{Mm, Snapshot},
    proc::{Memory, NoMemory, Origin, Precision, Rollup, Source, Wanted, thread_name, why_no_memory},
    session::Session,
    table::bytes,
};

/// All that is known of the process.
#[derive(Clone, Debug)]
pub(super) struct Explanation {
    pub host: Host,
    pub row: Row,
    /// Every reader's figure.
    pub readers: Vec<Reader>,
    /// Who holds what the global count lacks.
    pub holders: Option<RowHolders>,
    pub rollup: Option<Rollup>,
    pub memory: Memory,
    pub group: Option<GroupMemory>,
    /// Since when peaks were followed (`--duration`).
    pub since: Option<SystemTime>,
    /// Whether its memory was another one behind all of this than in `row`.
    pub moved_later: bool,
}

/// What readers of one kind show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reader {
    pub origin: Origin,
    /// In bytes; `None`: unreadable.
    pub figure: Option<i64>,
    pub precision: Option<Precision>,
    /// Exact - figure, in bytes: of those that show RSS of now. `None` where that is not known.
    pub difference: Option<i64>,
}

/// The process of a reading.
///
/// # Errors
/// Why it has no memory.
pub(super) fn find(snapshot: &Snapshot, pid: u32) -> Result<&Mm, NoMemory> {
    snapshot.process(pid).ok_or_else(|| why_no_memory(pid))
}

impl Explanation {
    /// Reads the process now.
    pub(super) fn take(session: &mut Session, pid: u32, since: Option<SystemTime>) -> anyhow::Result<Self> {
        let wanted = Wanted { resident: true, cgroup: true, ..Wanted::default() };
        let mut rules = session.rules(Source::Stat, wanted);
        rules.pending_limit = rules.unpublished(crate::probe::Publish::default());
        let snapshot = session.probe.snapshot()?;
        // The one report that this is.
        let report = ReportId { interval: 1, time: snapshot.time };
        let folder = collect::folder(find(&snapshot, pid)?);
        let mut problems = collect::Problems::default();
        let (probe, earlier) = (&mut session.probe, &mut Earlier::default());
        let rows = collect::rows(probe, snapshot, &[pid], &rules, earlier, &mut problems, &|| false)?;
        let mut row = rows.and_then(|mut rows| rows.pop()).ok_or_else(|| {
            anyhow!("process {pid} ended, or executed another program, while it was read: try again")
        })?;
        row.report = report;
        let lists = probe.holders(&[pid], &|| false).context("cannot read who holds its pages")?;
        let lists = lists.unwrap_or_default();
        let holders = holders::of_rows(std::slice::from_ref(&row), &lists, thread_name).into_iter().next();
        let mut explanation = Self {
            host: session.host(),
            row,
            readers: Vec::new(),
            holders,
            rollup: folder.rollup(),
            memory: folder.memory(),
            group: of_group(pid),
            since,
            moved_later: false,
        };
        let after = session.probe.snapshot()?;
        explanation.moved_later = !after.process(pid).is_some_and(|mm| explanation.is_as_it_was(mm));
        explanation.readers = Origin::ALL
            .into_iter()
            .map(|origin| explanation.reader(origin, |source| rules.precisions.of(source)))
            .collect();
        Ok(explanation)
    }

    /// Whether the counters are what they were, and two walks of the page tables found as much.
    fn is_as_it_was(&self, mm: &Mm) -> bool {
        let walked = self.rollup.and_then(|of| i64::try_from(of.rss?).ok());
        let before = self.row.files.resident.map(|pages| bytes(pages, self.host.page_size));
        mm.exact() == self.row.exact && walked.zip(before).is_none_or(|(walked, before)| walked == before)
    }

    fn reader(&self, origin: Origin, precision: impl Fn(Source) -> Precision) -> Reader {
        let size = |pages: Option<i64>| pages.map(|pages| bytes(pages, self.host.page_size));
        let files = &self.row.files;
        let figure = match origin {
            Origin::File(source) => size(files.of(source)),
            Origin::OomKiller => self.badness(),
            Origin::Peak => size(files.vm_hwm),
            Origin::PageTables => size(files.resident),
            Origin::ControlGroup => self.group.as_ref().map(|group| bytes(group.usage, 1)),
        };
        let precision = origin.precision(precision);
        let exact = self.exact();
        let difference = match origin {
            Origin::File(_) => {
                figure.zip(precision).and_then(|(figure, precision)| precision.drift(exact, figure))
            }
            Origin::PageTables => figure.map(|figure| exact.saturating_sub(figure)),
            Origin::OomKiller | Origin::Peak | Origin::ControlGroup => None,
        };
        Reader { origin, figure, precision, difference }
    }

    /// Exact RSS in bytes.
    pub(super) fn exact(&self) -> i64 {
        bytes(self.row.exact_rss(), self.host.page_size)
    }

    /// Exact bytes of a member.
    pub(super) fn member(&self, member: Member) -> i64 {
        bytes(self.row.exact[member.index()], self.host.page_size)
    }

    /// What the OOM killer counts for it before `oom_score_adj`, in bytes: RSS as `stat` has it, swap and page tables.
    pub(super) fn badness(&self) -> Option<i64> {
        let counted = Counted {
            rss: self.row.files.stat?,
            swap: self.row.global[Member::Swap.index()].max(0),
            page_tables: self.memory.page_table_pages(self.host.page_size)?,
        };
        Some(bytes(counted.pages(), self.host.page_size))
    }

    /// Whether the kernel's mark of the peak was reset (`echo 5 >/proc/PID/clear_refs`): it is below the true peak by more than drift can
    /// be. `None`: the true peak was not followed, or has no bound.
    pub(super) fn mark_was_reset(&self) -> Option<bool> {
        let shadow = self.row.shadow?;
        // The bound is that of the threads and CPUs of now: when the peak was, there may have been more.
        let seen = shadow.peak_drift.map_or(0, i64::unsigned_abs);
        let allowed = self.row.bound?.max(seen).saturating_add(shadow.peak_error);
        let lacks = shadow.peak_exact.saturating_sub(self.row.files.vm_hwm?);
        Some(u64::try_from(lacks).is_ok_and(|lacks| lacks > allowed))
    }

    /// Whether its counters were read in one instant, and did not move so much that there may be no drift.
    pub(super) fn stood_still(&self) -> bool {
        !self.row.notes.contains(&Note::Uncertain) && !self.row.is_moving() && !self.moved_later
    }
}
