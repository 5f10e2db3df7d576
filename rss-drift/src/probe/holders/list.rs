//! Lists of holders, put together from what the BPF programs wrote.

use std::collections::{HashMap, HashSet};

use rss_drift_common::{
    MEMBERS, Pages,
    record::{END_DISTURBED, END_VALID, FLAG_KTHREAD, FLAG_LEADER_GONE, MmRecord, SlotRecord},
};

/// Who holds pages that an mm's global count does not have yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// The CPU with this number, by its slots (per-cpu accounting).
    Cpu(u32),
    /// The task with this thread id, by its cache (per-task accounting).
    Task {
        /// Thread id, in the initial PID namespace.
        tid: u32,
        /// The thread group that it belongs to: with `CLONE_VM` not always the one that is asked about.
        tgid: u32,
        /// A kernel thread on a borrowed mm.
        kernel_thread: bool,
    },
}

/// The holders of one process's mm, at one reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holders {
    pub pid: u32,
    /// Address of the mm: with the pid it tells whether a row is of the same memory.
    pub mm: u64,
    /// What each holds, in pages per member; who holds nothing is left out.
    pub held: Vec<(Holder, Pages)>,
    /// Whether the counters stood still while they were read.
    pub valid: bool,
}

impl Holders {
    /// What all of them hold together, in pages per member: exact - the global count.
    #[must_use]
    pub fn sum(&self) -> Pages {
        let mut sum = [0; MEMBERS];
        for (_, pages) in &self.held {
            add(&mut sum, pages);
        }
        sum
    }
}

fn add(sum: &mut Pages, pages: &Pages) {
    for (sum, pages) in sum.iter_mut().zip(pages) {
        *sum += pages;
    }
}

/// per-cpu accounting: lists of slots, as the BPF program wrote them, each closed by its end. `possible` are the numbers of
/// the CPUs by their place. A list that has no end, or whose end has another sum, is not valid.
pub(in crate::probe) fn of_slots(records: &[SlotRecord], possible: &[u32]) -> Vec<Holders> {
    let mut lists: Vec<Holders> = Vec::new();
    let mut held = Vec::new();
    for record in records {
        let pages = record.pages.map(i64::from);
        if record.cpu != END_VALID && record.cpu != END_DISTURBED {
            let number = possible.get(record.cpu as usize).copied().unwrap_or(record.cpu);
            held.push((Holder::Cpu(number), pages));
            continue;
        }
        let mut list =
            Holders { pid: record.tgid, mm: record.mm, held: std::mem::take(&mut held), valid: false };
        list.valid = record.cpu == END_VALID && list.sum() == pages;
        // Every thread of a dead leader's process writes the list: the first valid one is enough.
        match lists.iter_mut().find(|known| known.pid == list.pid && known.mm == list.mm) {
            Some(known) if known.valid => {}
            Some(known) => *known = list,
            None => lists.push(list),
        }
    }
    lists
}

/// per-task accounting: all tasks that use the mms of `pids`. A list whose mm's count changed from one of its
/// tasks to the next is not valid.
pub(in crate::probe) fn of_tasks(tasks: &[MmRecord], pids: &[u32]) -> Vec<Holders> {
    let wanted: HashSet<u32> = pids.iter().copied().collect();
    let mut lists: Vec<Holders> = Vec::new();
    let mut places: HashMap<u64, Vec<usize>> = HashMap::new();
    for task in tasks {
        let is_process = !task.has(FLAG_KTHREAD) && (task.tid == task.tgid || task.has(FLAG_LEADER_GONE));
        if !is_process || !wanted.contains(&task.tgid) {
            continue;
        }
        let of_mm = places.entry(task.mm).or_default();
        if !of_mm.iter().any(|&place| lists[place].pid == task.tgid) {
            of_mm.push(lists.len());
            lists.push(Holders { pid: task.tgid, mm: task.mm, held: Vec::new(), valid: true });
        }
    }
    let mut counts = HashMap::<u64, Pages>::new();
    for task in tasks {
        let Some(of_mm) = places.get(&task.mm) else { continue };
        let changed = *counts.entry(task.mm).or_insert(task.count) != task.count;
        let kernel_thread = task.has(FLAG_KTHREAD);
        for &place in of_mm {
            lists[place].valid &= !changed;
            if task.cached != [0; MEMBERS] {
                let holder = Holder::Task { tid: task.tid, tgid: task.tgid, kernel_thread };
                lists[place].held.push((holder, task.cached));
            }
        }
    }
    lists
}

/// Marks every list of `after` as not valid that is not the one of the pass `before`; true when there was none.
pub(in crate::probe) fn agree(before: &[Holders], after: &mut [Holders]) -> bool {
    let earlier: HashMap<_, _> = before.iter().map(|list| ((list.pid, list.mm), &list.held)).collect();
    let mut all = true;
    for list in after {
        list.valid &= earlier.get(&(list.pid, list.mm)).is_some_and(|&held| *held == list.held);
        all &= list.valid;
    }
    all
}

#[cfg(test)]
mod tests {
    use rss_drift_common::record::FLAG_VALID;

    use super::*;

    fn slot(mm: u64, tgid: u32, cpu: u32, pages: [i32; 4]) -> SlotRecord {
        SlotRecord { mm, tgid, cpu, pages }
    }

    fn task(mm: u64, tgid: u32, id: u32, flags: u32, cached: Pages) -> MmRecord {
        MmRecord { mm, tgid, tid: id, cached, flags: FLAG_VALID | flags, ..bytemuck::Zeroable::zeroed() }
    }

    #[test]
    fn slots_are_listed_by_the_cpus_numbers_and_add_up_to_the_end() {
        let lists = of_slots(
            &[
                slot(7, 1, 0, [1, 2, 0, 0]),
                slot(7, 1, 2, [-3, 0, 0, 4]),
                slot(7, 1, END_VALID, [-2, 2, 0, 4]),
                slot(8, 2, END_VALID, [0; 4]),
            ],
            &[0, 1, 4],
        );
        assert_eq!(lists.len(), 2);
        assert_eq!(lists[0].held, [(Holder::Cpu(0), [1, 2, 0, 0]), (Holder::Cpu(4), [-3, 0, 0, 4])]);
        assert_eq!(lists[0].sum(), [-2, 2, 0, 4]);
        assert!(lists[0].valid && lists[1].valid && lists[1].held.is_empty());
    }

    #[test]
    fn a_disturbed_or_incomplete_list_is_not_valid() {
        let disturbed = [slot(7, 1, 0, [1, 0, 0, 0]), slot(7, 1, END_DISTURBED, [1, 0, 0, 0])];
        assert!(!of_slots(&disturbed, &[0])[0].valid);
        let lost = [slot(7, 1, 0, [1, 0, 0, 0]), slot(7, 1, END_VALID, [2, 0, 0, 0])];
        assert!(!of_slots(&lost, &[0])[0].valid);
    }

    #[test]
    fn a_dead_leaders_threads_write_one_list() {
        let twice = [
            slot(7, 1, 0, [1, 0, 0, 0]),
            slot(7, 1, END_DISTURBED, [1, 0, 0, 0]),
            slot(7, 1, 0, [2, 0, 0, 0]),
            slot(7, 1, END_VALID, [2, 0, 0, 0]),
            slot(7, 1, 0, [3, 0, 0, 0]),
            slot(7, 1, END_VALID, [3, 0, 0, 0]),
        ];
        let lists = of_slots(&twice, &[0]);
        assert_eq!(lists.len(), 1);
        assert_eq!((lists[0].valid, lists[0].sum()), (true, [2, 0, 0, 0]));
    }

    #[test]
    fn every_task_that_uses_the_mm_is_a_holder_whoever_it_belongs_to() {
        let tasks = [
            task(7, 1, 1, 0, [1, 1, 0, 0]),
            task(7, 1, 2, 0, [0; 4]),
            task(7, 4, 4, 0, [0, 4, 0, 0]),
            task(7, 99, 99, FLAG_KTHREAD, [0, 3, 0, 0]),
            task(8, 5, 5, 0, [9, 9, 9, 9]),
        ];
        let lists = of_tasks(&tasks, &[1, 99]);
        assert_eq!(lists.len(), 1);
        assert_eq!((lists[0].pid, lists[0].held.len(), lists[0].valid), (1, 3, true));
        assert_eq!(lists[0].held[2].0, Holder::Task { tid: 99, tgid: 99, kernel_thread: true });
        assert_eq!(lists[0].sum(), [1, 8, 0, 0]);
        assert_eq!(of_tasks(&tasks, &[1, 4]).iter().map(Holders::sum).collect::<Vec<_>>(), [[1, 8, 0, 0]; 2]);
    }

    #[test]
    fn a_count_that_changed_within_a_pass_is_not_valid() {
        let mut tasks = [task(7, 1, 1, 0, [1, 0, 0, 0]), task(7, 1, 2, 0, [0; 4])];
        tasks[1].count[0] = 64;
        assert!(!of_tasks(&tasks, &[1])[0].valid);
    }

    #[test]
    fn passes_have_to_agree() {
        let tasks = [task(7, 1, 1, 0, [1, 1, 0, 0]), task(8, 2, 2, 0, [5, 0, 0, 0])];
        let before = of_tasks(&tasks, &[1, 2]);
        let mut same = before.clone();
        assert!(agree(&before, &mut same));
        let mut changed = before.clone();
        changed[1].held[0].1[0] = 6;
        assert!(!agree(&before, &mut changed));
        assert!(changed[0].valid && !changed[1].valid);
    }
}
