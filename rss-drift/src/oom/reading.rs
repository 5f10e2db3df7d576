//! Reads the candidates.

use std::time::SystemTime;

use rss_drift_common::record::FLAG_VALID;

use super::{
    domain::Domain,
    ranking::{Candidate, rank},
};
use crate::{
    drift::{
        badness::{Counted, NEVER, score},
        collect::{comm, folder, same_mm},
        sample::Host,
    },
    kernel::meminfo::Meminfo,
    probe::{Mm, Snapshot},
    proc::{Memory, Precision, Source, Wanted},
    session::Session,
};

/// All that is known of an OOM.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    pub host: Host,
    pub time: SystemTime,
    pub domain: Domain,
    /// How the OOM killer reads RSS here.
    pub reads: Precision,
    /// The largest |drift| of RSS that it can read, in pages: of a process, or of each thread where those cache.
    pub bound: u64,
    /// In its order.
    pub candidates: Vec<Candidate>,
    /// Whom it never takes, by rising pid.
    pub spared: Vec<Spared>,
    /// The group that dies as a whole with the victim.
    pub dies_whole: Option<String>,
}

/// A process that the OOM killer does not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spared {
    pub pid: u32,
    pub comm: String,
    pub why: Why,
}

/// Why (`mm/oom_kill.c:oom_unkillable_task` and `oom_badness`, 5.10 to 7.x). Kernel threads are not even listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Why {
    /// It is the first process of the host.
    Init,
    /// Its `oom_score_adj` is -1000.
    Adjustment,
    /// In the middle of a vfork, or its memory is being taken already (`in_vfork`, `MMF_OOM_SKIP`): the kernel says so by a score of 0.
    Skipped,
}

impl Why {
    pub(super) const ALL: [Self; 3] = [Self::Init, Self::Adjustment, Self::Skipped];

    /// The word in JSON.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Adjustment => "oom_score_adj",
            Self::Skipped => "skipped",
        }
    }
}

impl Reading {
    /// Reads all processes of the domain. Who ends meanwhile is left out.
    pub(super) fn take(
        session: &mut Session,
        domain: Domain,
        reads: Precision,
        memory: Meminfo,
    ) -> anyhow::Result<Self> {
        let page_size = session.kernel.page_size;
        let rules = session.rules(Source::Stat, Wanted::NOTHING);
        let first = session.probe.snapshot()?;
        let held = first.processes().filter(|mm| domain.holds(|| folder(mm).groups()));
        let files: Vec<_> = held.map(|mm| (mm, folder(mm).memory())).collect();
        let second = session.probe.snapshot()?;
        let pages = |bytes: u64| i64::try_from(bytes / page_size.max(1)).unwrap_or(i64::MAX);
        let (total, of_host) = (pages(domain.total), pages(memory.total()));
        let (mut candidates, mut spared) = (Vec::new(), Vec::new());
        for (before, files) in files {
            let Some(mm) = second.process(before.tgid).filter(|mm| same_mm(before, mm)) else { continue };
            let candidate = candidate(mm, &files, &second, reads, page_size);
            match why(&candidate, of_host) {
                Some(why) => spared.push(Spared { pid: candidate.pid, comm: candidate.comm, why }),
                None => candidates.push(candidate),
            }
        }
        rank(&mut candidates, total);
        let groups = candidates.first().and_then(|victim| folder(second.process(victim.pid)?).groups());
        Ok(Self {
            host: session.host(),
            time: second.time,
            dies_whole: groups.and_then(|groups| domain.dies_whole(&groups)),
            domain,
            reads,
            bound: rules.batching().bound(reads, 1),
            candidates,
            spared,
        })
    }

    /// The pages that adjustments are thousandths of.
    pub(super) fn total(&self) -> i64 {
        i64::try_from(self.domain.total / self.host.page_size.max(1)).unwrap_or(i64::MAX)
    }
}

fn candidate(mm: &Mm, files: &Memory, snapshot: &Snapshot, reads: Precision, page_size: u64) -> Candidate {
    let shares = |other: &&Mm| other.mm == mm.mm && other.tgid != mm.tgid;
    let sharing = if snapshot.is_shared(mm) { snapshot.processes().filter(shares).count() } else { 0 };
    Candidate {
        pid: mm.tgid,
        comm: comm(mm),
        start: mm.start_boottime_ns,
        read: Counted::of(mm, reads, 0),
        exact: Counted::of(mm, Precision::Exact, 0),
        page_tables: files.page_table_pages(page_size),
        adj: files.oom_score_adj,
        oom_score: files.oom_score,
        certain: mm.has(FLAG_VALID),
        sharing: sharing as u64,
        rank: None,
        exact_rank: None,
    }
}

/// Why the OOM killer does not take it: of a host of `total` pages. Its score in /proc is 0 then (`fs/proc/base.c:proc_oom_score`).
fn why(it: &Candidate, total: i64) -> Option<Why> {
    /// A score that does not come to 0 by rounding, nor by what changed while the files were read.
    const CLEAR: i64 = 5;
    if it.pid == 1 && it.oom_score == Some(0) {
        return Some(Why::Init);
    }
    if it.adj == Some(NEVER) {
        return Some(Why::Adjustment);
    }
    let is_clear = it.badness(total).is_some_and(|badness| score(badness, total) >= CLEAR);
    (it.oom_score == Some(0) && is_clear).then_some(Why::Skipped)
}

#[cfg(test)]
mod tests {
    use super::{
        super::ranking::tests::{TOTAL, candidate},
        *,
    };

    #[test]
    fn who_is_never_taken() {
        let with = |pid, adj, score| {
            let mut it = candidate(pid, 100, 100, adj);
            it.oom_score = score;
            why(&it, TOTAL)
        };
        assert_eq!(with(1, 0, Some(0)), Some(Why::Init));
        assert_eq!(with(1, 0, Some(666)), None, "the first of a PID namespace");
        assert_eq!(with(7, -1000, Some(0)), Some(Why::Adjustment));
        assert_eq!(with(7, -1000, None), Some(Why::Adjustment));
        assert_eq!(with(7, 0, Some(0)), Some(Why::Skipped));
        assert_eq!(with(7, -999, Some(0)), None, "a score that small is 0");
        assert_eq!(with(7, 0, Some(666)), None);
        assert_eq!(with(7, 0, None), None, "unreadable is not 0");
    }
}
