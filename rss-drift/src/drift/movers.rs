//! Which processes change their memory: their files in /proc are read in small groups, so that little moves between the readings around
//! them. Most processes of a host are idle, and one group does for all of these.

use rss_drift_common::shadow::ShadowRecord;

use crate::probe::{Mm, Snapshot};

/// Fewest processes whose /proc files are read between two readings of the iterator. Few, so that the time between is short;
/// not one, because each reading walks all tasks.
pub(super) const SMALLEST_GROUP: usize = 16;
/// Most groups of a report. Groups of a fixed size would make a report of all processes cost the square of their number.
const MOST_GROUPS: usize = 4;

/// How many processes a group of a report of so many rows has.
fn group_size(rows: usize, most_groups: usize) -> usize {
    rows.div_ceil(most_groups).max(SMALLEST_GROUP)
}

/// The memory of all processes at the end of the last report.
#[derive(Debug, Default)]
pub struct Movers {
    /// By rising pid, with what tells whether anything has changed.
    last: Vec<(u32, u64)>,
}

impl Movers {
    /// The groups in which these processes are read, in their order within each. `now` is the reading before the first.
    pub(super) fn groups(&self, now: &Snapshot, pids: &[u32]) -> Vec<Vec<u32>> {
        let chunks = |pids: &[u32], most: usize| {
            pids.chunks(group_size(pids.len(), most)).map(<[u32]>::to_vec).collect::<Vec<_>>()
        };
        if pids.len() <= MOST_GROUPS * SMALLEST_GROUP {
            return chunks(pids, MOST_GROUPS);
        }
        let moved = self.since(now);
        let (movers, idle): (Vec<u32>, Vec<u32>) =
            pids.iter().partition(|pid| moved.binary_search(pid).is_ok());
        if movers.len() > idle.len() {
            return chunks(pids, MOST_GROUPS);
        }
        let mut groups = chunks(&movers, MOST_GROUPS - 1);
        groups.push(idle);
        groups
    }

    /// The processes whose memory has changed since the last report, or that were not there, by rising pid.
    fn since(&self, now: &Snapshot) -> Vec<u32> {
        let mut last = self.last.iter().copied().peekable();
        let moved = now.all().filter(|&(mm, shadow)| {
            while last.next_if(|&(pid, _)| pid < mm.tgid).is_some() {}
            last.next_if(|&(pid, _)| pid == mm.tgid) != Some((mm.tgid, sign(mm, shadow)))
        });
        moved.map(|(mm, _)| mm.tgid).collect()
    }

    /// The last reading of a report of so many rows, to be compared with at the next: a short report asks for none.
    pub(super) fn remember(&mut self, end: &Snapshot, rows: usize) {
        if rows <= MOST_GROUPS * SMALLEST_GROUP {
            return;
        }
        self.last.clear();
        self.last.extend(end.all().map(|(mm, shadow)| (mm.tgid, sign(mm, shadow))));
    }
}

/// Another number where anything of the mm's counters changed. In passive mode nobody tells of what came and went in between.
fn sign(mm: &Mm, shadow: Option<&ShadowRecord>) -> u64 {
    /// Of FNV-1a, by which different words rarely give one number. Where they do, a process is read with the idle ones.
    const PRIME: u64 = 0x0100_0000_01b3;
    let exact = mm.exact().map(i64::cast_unsigned);
    let words = [mm.mm, mm.exec_id, shadow.map_or(0, |shadow| shadow.churn)];
    exact.into_iter().chain(words).fold(0, |sign: u64, word| (sign ^ word).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn snapshot(processes: impl Iterator<Item = (u32, i64)>) -> Snapshot {
        let mm = |(tgid, pages)| Mm {
            tgid,
            mm: u64::from(tgid),
            count: [0, pages, 0, 0],
            ..bytemuck::Zeroable::zeroed()
        };
        Snapshot::without_shadow(SystemTime::UNIX_EPOCH, processes.map(mm).collect())
    }

    #[test]
    fn a_report_has_few_groups_however_many_rows_it_has() {
        for rows in [1, 16, 20, 64, 65, 1000, 100_000] {
            let size = group_size(rows, MOST_GROUPS);
            assert!(size >= 16 && rows.div_ceil(size) <= 4, "{rows} rows in groups of {size}");
        }
        // A report of the usual length stays as precise as it can be.
        assert_eq!(group_size(64, MOST_GROUPS), 16);
    }

    #[test]
    fn who_moves_is_read_in_small_groups() {
        let pids: Vec<u32> = (1..=1000).rev().collect();
        let mut movers = Movers::default();
        let before = snapshot((1..=1000).map(|pid| (pid, 10)));
        let sizes = |groups: &[Vec<u32>]| groups.iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(&movers.groups(&before, &pids)), [250; 4], "nobody is known");
        movers.remember(&before, 1000);
        assert_eq!(sizes(&movers.groups(&before, &pids)), [1000], "nobody moves");
        for (moves, expected) in [
            (1, &[1, 999][..]),
            (16, &[16, 984]),
            (40, &[16, 16, 8, 960]),
            (300, &[100, 100, 100, 700]),
            (501, &[250, 250, 250, 250]),
        ] {
            let now = snapshot((1..=1000).map(|pid| (pid, if pid <= moves { 11 } else { 10 })));
            let groups = movers.groups(&now, &pids);
            assert_eq!(sizes(&groups), expected, "{moves} move");
            let mut all = groups.concat();
            all.sort_unstable_by(|one, other| other.cmp(one));
            assert_eq!(all, pids, "each once");
        }
        // A new one, and one that is gone.
        let now = snapshot((2..=1001).map(|pid| (pid, 10)));
        let later: Vec<u32> = (1..=1001).collect();
        assert_eq!(movers.groups(&now, &later)[0], [1001]);
        assert_eq!(sizes(&movers.groups(&now, &pids[..64])), [16; 4], "a short report");
    }
}
