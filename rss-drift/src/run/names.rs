//! Names that processes gave themselves. The BPF programs keep the name that a process had when it was forked or executed a
//! program; what it calls itself later (`PR_SET_NAME`, `/proc/PID/comm`) is seen in the samples.

use rss_drift_common::{run::Largest, shadow::ShadowRecord};

use crate::{
    drift::collect::comm,
    probe::Mm,
    proc::{task_name, thread_name},
};

/// The names of those that the report will name, as far as samples saw them. Bounded, however many processes there are.
#[derive(Debug, Default)]
pub(super) struct Names {
    command: Option<Seen>,
    largest: Option<Seen>,
    drift: Option<Seen>,
}

/// A process in the last sample in which it had this peak.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    tgid: u64,
    /// The peak by which it is told from other address spaces of the same process, in pages.
    peak: i64,
    comm: String,
}

impl Names {
    /// Takes a measured process of a sample in.
    pub(super) fn see(&mut self, command: u32, mm: &Mm, shadow: &ShadowRecord) {
        let keep = |kept: &mut Option<Seen>, peak: i64| {
            let tgid = mm.tgid.into();
            let newer = |kept: &Seen| (kept.tgid, kept.peak) == (tgid, peak) || kept.peak < peak;
            if kept.as_ref().is_none_or(newer) {
                *kept = Some(Seen { tgid, peak, comm: comm(mm) });
            }
        };
        keep(&mut self.largest, shadow.peak_exact);
        keep(&mut self.drift, shadow.peak_drift);
        if mm.tgid == command {
            keep(&mut self.command, shadow.peak_exact);
        }
    }

    /// The last known name of the command, or of the process with the largest RSS.
    pub(super) fn by_peak(&self, of: &Largest) -> String {
        name(of, of.peak, [&self.command, &self.largest])
    }

    /// The same of the process with the largest drift.
    pub(super) fn by_drift(&self, of: &Largest) -> String {
        name(of, of.drift, [&self.drift, &None])
    }
}

/// What the kernel says of one that lives, else the samples where they saw this very address space, else the BPF programs.
fn name(of: &Largest, peak: i64, seen: [&Option<Seen>; 2]) -> String {
    let lives = (of.ended == 0).then(|| u32::try_from(of.tgid).ok().and_then(thread_name)).flatten();
    let mut seen = seen.into_iter().flatten().filter(|it| (it.tgid, it.peak) == (of.tgid, peak));
    lives.or_else(|| seen.next().map(|it| it.comm.clone())).unwrap_or_else(|| task_name(&of.comm))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mm(tgid: u32, name: &str) -> Mm {
        let mut mm = Mm { tgid, ..bytemuck::Zeroable::zeroed() };
        mm.comm[..name.len()].copy_from_slice(name.as_bytes());
        mm
    }

    fn shadow(peak: i64, drift: i64) -> ShadowRecord {
        ShadowRecord { peak_exact: peak, peak_drift: drift, ..ShadowRecord::default() }
    }

    fn kept(tgid: u64, peak: i64, drift: i64) -> Largest {
        let mut of = Largest { tgid, peak, drift, ended: 1, ..Largest::default() };
        of.comm[..2].copy_from_slice(b"sh");
        of
    }

    #[test]
    fn the_last_name_of_the_same_address_space_is_told() {
        let mut names = Names::default();
        names.see(7, &mm(7, "sh"), &shadow(100, 5));
        names.see(7, &mm(8, "other"), &shadow(300, 1));
        names.see(7, &mm(7, "renamed"), &shadow(100, 5));
        names.see(7, &mm(9, "small"), &shadow(20, 2));
        assert_eq!(names.by_peak(&kept(7, 100, 5)), "renamed", "the command, though it is not the largest");
        assert_eq!(names.by_peak(&kept(8, 300, 1)), "other");
        assert_eq!(names.by_drift(&kept(7, 100, 5)), "renamed");
        assert_eq!(names.by_peak(&kept(7, 101, 5)), "sh", "another address space of the same process");
        assert_eq!(names.by_peak(&kept(10, 300, 1)), "sh", "another process");
        assert_eq!(Names::default().by_drift(&kept(7, 100, 5)), "sh", "never sampled");
    }
}
