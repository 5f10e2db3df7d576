//! One reading of all processes: what the iterator says of each mm.

use std::{collections::HashMap, time::SystemTime};

use rss_drift_common::{
    record::{FLAG_KTHREAD, FLAG_LEADER_GONE, FLAG_RETRIED, FLAG_VALID, FullRecord, MmRecord},
    shadow::{SHADOW_MEASURED, ShadowRecord},
};

/// What one reading saw of one process's mm.
pub type Mm = MmRecord;

/// All processes of the host that have memory, at one reading.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Wall clock when the reading began.
    pub time: SystemTime,
    /// What was read of each process, by rising pid. Without a shadow, as in passive mode, the shadow's `id` is 0.
    entries: Vec<FullRecord>,
    /// The mms that more than one process uses, by rising address, each with the lowest pid of these.
    shared: Vec<(u64, u32)>,
}

impl Snapshot {
    /// As [`Snapshot::new`], of records without a shadow, as passive mode has them.
    pub(crate) fn without_shadow(time: SystemTime, mms: Vec<MmRecord>) -> Self {
        Self::new(
            time,
            mms.into_iter().map(|mm| FullRecord { mm, shadow: ShadowRecord::default() }).collect(),
        )
    }

    /// Orders what an iterator wrote: one record per process. A process whose leader has exited wrote one per thread.
    pub(super) fn new(time: SystemTime, mut entries: Vec<FullRecord>) -> Self {
        // A stable sort keeps the first thread of a dead leader's process in front of its others.
        entries.sort_by_key(|entry| entry.mm.tgid);
        entries.dedup_by_key(|entry| (entry.mm.tgid, entry.mm.mm));
        let mut mms: Vec<(u64, u32)> = entries.iter().map(|entry| (entry.mm.mm, entry.mm.tgid)).collect();
        mms.sort_unstable();
        let mut shared: Vec<(u64, u32)> =
            mms.windows(2).filter(|pair| pair[0].0 == pair[1].0).map(|pair| pair[0]).collect();
        shared.dedup_by_key(|&mut (mm, _)| mm);
        Self { time, entries, shared }
    }

    fn entry(&self, pid: u32) -> Option<&FullRecord> {
        let index = self.entries.binary_search_by_key(&pid, |entry| entry.mm.tgid).ok()?;
        Some(&self.entries[index])
    }

    /// The shadow of the process with this pid; `None` where it has none.
    #[must_use]
    pub fn shadow(&self, pid: u32) -> Option<&ShadowRecord> {
        self.entry(pid).map(|entry| &entry.shadow).filter(|shadow| shadow.id != 0)
    }

    /// The processes that `run` measures, by rising pid.
    pub fn measured(&self) -> impl Iterator<Item = &Mm> {
        let marked = self.entries.iter().filter(|entry| entry.shadow.flags & SHADOW_MEASURED != 0);
        marked.map(|entry| &entry.mm)
    }

    /// Every process, by rising pid.
    #[must_use]
    pub fn processes(&self) -> impl ExactSizeIterator<Item = &Mm> {
        self.entries.iter().map(|entry| &entry.mm)
    }

    /// Every process with its shadow, by rising pid.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&Mm, Option<&ShadowRecord>)> {
        self.entries.iter().map(|entry| (&entry.mm, Some(&entry.shadow).filter(|shadow| shadow.id != 0)))
    }

    /// The process with this pid (thread group id); `None` when it is not there or has no memory of its own: a kernel
    /// thread, a zombie.
    #[must_use]
    pub fn process(&self, pid: u32) -> Option<&Mm> {
        self.entry(pid).map(|entry| &entry.mm)
    }

    /// Whether another process uses the same mm (`CLONE_VM` without `CLONE_THREAD`, vfork).
    #[must_use]
    pub fn is_shared(&self, mm: &Mm) -> bool {
        self.first_user(mm).is_some()
    }

    /// The lowest pid of the processes that use this mm, where several do.
    #[must_use]
    pub fn first_user(&self, mm: &Mm) -> Option<u32> {
        let index = self.shared.binary_search_by_key(&mm.mm, |&(mm, _)| mm).ok()?;
        Some(self.shared[index].1)
    }

    /// One record for each mm: the one of the lowest pid where processes share it. Sums over the host count these.
    pub fn mms(&self) -> impl Iterator<Item = &Mm> {
        self.mms_of(|_| true)
    }

    /// The same of these processes alone.
    pub fn mms_of(&self, chosen: impl Fn(&Mm) -> bool) -> impl Iterator<Item = &Mm> {
        let mut seen = Vec::with_capacity(self.shared.len());
        self.processes().filter(move |record| {
            if !chosen(record) {
                return false;
            }
            if !self.is_shared(record) {
                return true;
            }
            let first = !seen.contains(&record.mm);
            seen.push(record.mm);
            first
        })
    }

    /// Readings of a process that a fold disturbed and that were repeated, with success or without.
    #[must_use]
    pub fn retried(&self) -> u64 {
        self.processes().filter(|record| record.has(FLAG_RETRIED)).count() as u64
    }
}

/// per-task accounting: one record per process of one record per task, with the caches and the number of ALL tasks that use
/// the mm, those of other processes and kernel threads on a borrowed mm too.
pub(super) fn sum_tasks(tasks: &[MmRecord]) -> Vec<MmRecord> {
    let mut caches = HashMap::<u64, MmRecord>::new();
    for task in tasks {
        let sum = caches.entry(task.mm).or_insert_with(|| MmRecord { cached: [0; 4], tasks: 0, ..*task });
        for (sum, cached) in sum.cached.iter_mut().zip(task.cached) {
            *sum += cached;
        }
        sum.tasks += task.tasks;
        // The counters of one mm are read once per task: they are one reading only if they never changed.
        if sum.count != task.count {
            sum.flags &= !FLAG_VALID;
            sum.count = task.count;
        }
    }
    let mut processes: Vec<MmRecord> = tasks
        .iter()
        .filter(|task| !task.has(FLAG_KTHREAD) && (task.tid == task.tgid || task.has(FLAG_LEADER_GONE)))
        .map(|task| {
            let sum = &caches[&task.mm];
            MmRecord {
                count: sum.count,
                cached: sum.cached,
                tasks: sum.tasks,
                flags: task.flags & (sum.flags | !FLAG_VALID),
                ..*task
            }
        })
        .collect();
    processes.sort_by_key(|record| record.tgid);
    processes.dedup_by_key(|record| (record.tgid, record.mm));
    processes
}

/// Marks every record of `after` as not valid whose figures are not those of `before`; true when there was none.
pub(super) fn agree(before: &[MmRecord], after: &mut [MmRecord]) -> bool {
    let mut all = true;
    for record in after {
        let same = before.binary_search_by_key(&record.tgid, |earlier| earlier.tgid).is_ok_and(|index| {
            let earlier = &before[index];
            earlier.mm == record.mm && earlier.count == record.count && earlier.cached == record.cached
        });
        if !same {
            record.flags &= !FLAG_VALID;
        }
        all &= record.has(FLAG_VALID);
    }
    all
}

#[cfg(test)]
mod tests {
    use rss_drift_common::{Pages, record::FLAG_LEADER_GONE};

    use super::*;

    fn record(mm: u64, tgid: u32, thread: u32, count: Pages, cached: Pages) -> MmRecord {
        MmRecord {
            mm,
            tgid,
            tid: thread,
            count,
            cached,
            flags: FLAG_VALID,
            tasks: 1,
            ..bytemuck::Zeroable::zeroed()
        }
    }

    #[test]
    fn a_dead_leaders_process_is_one_process() {
        let thread = |tid| {
            let mut thread = record(7, 10, tid, [1, 2, 0, 0], [0; 4]);
            thread.flags |= FLAG_LEADER_GONE;
            thread
        };
        let snapshot = Snapshot::without_shadow(
            SystemTime::UNIX_EPOCH,
            vec![record(3, 20, 20, [0; 4], [0; 4]), thread(11), thread(12)],
        );
        assert_eq!(snapshot.processes().len(), 2);
        assert_eq!(snapshot.process(10).map(|mm| mm.tid), Some(11));
        assert_eq!(snapshot.process(11), None);
        assert!(!snapshot.is_shared(snapshot.process(10).expect("it is there")));
    }

    #[test]
    fn a_shared_mm_counts_once() {
        let snapshot = Snapshot::without_shadow(
            SystemTime::UNIX_EPOCH,
            vec![
                record(7, 1, 1, [1; 4], [0; 4]),
                record(8, 2, 2, [1; 4], [0; 4]),
                record(7, 3, 3, [1; 4], [0; 4]),
            ],
        );
        assert_eq!(snapshot.processes().len(), 3);
        assert_eq!(snapshot.mms().map(|mm| mm.tgid).collect::<Vec<_>>(), [1, 2]);
        let of_last = snapshot.mms_of(|mm| mm.tgid == 3);
        assert_eq!(of_last.map(|mm| mm.tgid).collect::<Vec<_>>(), [3], "who shares it is not among these");
        assert!(snapshot.is_shared(snapshot.process(3).expect("it is there")));
        assert!(!snapshot.is_shared(snapshot.process(2).expect("it is there")));
        let first_users = snapshot.processes().map(|mm| snapshot.first_user(mm)).collect::<Vec<_>>();
        assert_eq!(first_users, [Some(1), None, Some(1)]);
    }

    #[test]
    fn per_task_sums_every_cache_of_the_mm() {
        let mut borrowed = record(7, 99, 99, [5, 5, 0, 0], [0, 3, 0, 0]);
        borrowed.flags |= FLAG_KTHREAD;
        let tasks = [
            record(7, 1, 1, [5, 5, 0, 0], [1, 1, 0, 0]),
            record(7, 1, 2, [5, 5, 0, 0], [-1, 2, 0, 0]),
            record(7, 4, 4, [5, 5, 0, 0], [0, 4, 0, 0]),
            borrowed,
        ];
        let processes = sum_tasks(&tasks);
        assert_eq!(processes.iter().map(|process| process.tgid).collect::<Vec<_>>(), [1, 4]);
        for process in &processes {
            assert_eq!(process.exact(), [5, 15, 0, 0]);
            assert_eq!(process.tasks, 4, "two threads, another process, and a kernel thread");
            assert!(process.has(FLAG_VALID));
        }
    }

    #[test]
    fn a_count_that_changed_within_a_pass_is_no_reading() {
        let tasks = [record(7, 1, 1, [5, 5, 0, 0], [0; 4]), record(7, 1, 2, [5, 6, 0, 0], [0; 4])];
        assert!(!sum_tasks(&tasks)[0].has(FLAG_VALID));
    }

    #[test]
    fn passes_that_differ_are_no_reading() {
        let before = [record(7, 1, 1, [5; 4], [0; 4]), record(8, 2, 2, [5; 4], [0; 4])];
        let mut same = before;
        assert!(agree(&before, &mut same));
        let mut changed = before;
        changed[1].cached[1] = 1;
        assert!(!agree(&before, &mut changed));
        assert!(changed[0].has(FLAG_VALID) && !changed[1].has(FLAG_VALID));
        let mut newborn = [record(9, 3, 3, [0; 4], [0; 4])];
        assert!(!agree(&before, &mut newborn));
    }
}
