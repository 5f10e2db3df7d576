//! The holders of a row's missing pages: the CPUs or threads whose caches hold them, the largest first.

use std::{cmp::Reverse, collections::HashMap};

use rss_drift_common::{MEMBERS, Pages, member};

use crate::{
    drift::sample::Row,
    probe::{Holder, Holders},
};

/// Holders that are named; what the others hold is summed up.
pub const NAMED: usize = 10;

/// One of the largest holders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedHolder {
    pub holder: Holder,
    /// A task's own name; `None` for a CPU, and where the task was gone before the name was read.
    pub comm: Option<String>,
    /// What it holds, in pages per member.
    pub pages: Pages,
}

/// The holders of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowHolders {
    pub pid: u32,
    pub comm: String,
    /// The largest: the most RSS of either sign first.
    pub named: Vec<NamedHolder>,
    /// How many more there are.
    pub others: u64,
    /// What those hold together, in pages per member.
    pub of_others: Pages,
    /// What the row's global count lacks by the row's own reading (exact - global), in pages per member.
    pub missing: Pages,
    /// Whether the counters stood still while the holders were read, and the row's reading says the same as theirs.
    pub certain: bool,
}

impl RowHolders {
    /// What all holders hold together, in pages per member.
    #[must_use]
    pub fn sum(&self) -> Pages {
        self.named.iter().fold(self.of_others, |sum, named| plus(sum, &named.pages))
    }

    /// How many holders there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.named.len() as u64 + self.others
    }

    /// The holders of one row's mm. `name` gives a thread's name.
    fn of_row(row: &Row, holders: &Holders, name: impl Fn(u32) -> Option<String>) -> Self {
        let mut held = holders.held.clone();
        // Of equal size those that cancel out within RSS come before those that hold swap alone.
        let size = |pages: &Pages| {
            (member::rss(pages).unsigned_abs(), pages.map(i64::unsigned_abs).iter().sum::<u64>())
        };
        held.sort_by_key(|(_, pages)| Reverse(size(pages)));
        let others = held.split_off(held.len().min(NAMED));
        let named = held
            .into_iter()
            .map(|(holder, pages)| {
                let comm = match holder {
                    Holder::Cpu(_) => None,
                    Holder::Task { tid, .. } => name(tid),
                };
                NamedHolder { holder, comm, pages }
            })
            .collect();
        let missing = std::array::from_fn(|member| row.exact[member] - row.global[member]);
        Self {
            pid: row.process.pid,
            comm: row.process.comm.clone(),
            named,
            others: others.len() as u64,
            of_others: others.iter().fold([0; MEMBERS], |sum, (_, pages)| plus(sum, pages)),
            missing,
            certain: holders.valid && holders.sum() == missing,
        }
    }
}

/// The holders of every row of which `lists` has a list, in the rows' order. `name` gives a thread's name.
#[must_use]
pub fn of_rows(rows: &[Row], lists: &[Holders], name: impl Fn(u32) -> Option<String>) -> Vec<RowHolders> {
    let lists: HashMap<u32, &Holders> = lists.iter().map(|list| (list.pid, list)).collect();
    rows.iter().filter_map(|row| Some(RowHolders::of_row(row, lists.get(&row.process.pid)?, &name))).collect()
}

fn plus(sum: Pages, pages: &Pages) -> Pages {
    std::array::from_fn(|member| sum[member] + pages[member])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drift::fixture;

    /// A row that lacks `missing` anonymous pages.
    fn row(missing: i64) -> Row {
        fixture::row(7, "x", 1000, 1000 - missing)
    }

    fn list(held: Vec<(Holder, Pages)>) -> Holders {
        Holders { pid: 7, mm: 1, held, valid: true }
    }

    fn thread(tid: u32, anon: i64) -> (Holder, Pages) {
        (Holder::Task { tid, tgid: 7, kernel_thread: false }, [0, anon, 0, 0])
    }

    #[test]
    fn the_holders_add_up_to_what_the_row_lacks() {
        let held: Vec<_> = (1..=40).map(|tid| thread(tid, i64::from(tid) - 10)).collect();
        let missing = held.iter().map(|(_, pages)| pages[1]).sum();
        let found = of_rows(&[row(missing)], &[list(held)], |_| None);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].sum(), [0, missing, 0, 0]);
        assert_eq!(found[0].sum(), found[0].missing);
        assert!(found[0].certain);
        assert_eq!((found[0].named.len(), found[0].others, found[0].count()), (NAMED, 30, 40));
        let largest: Vec<_> = found[0].named.iter().map(|named| named.pages[1]).collect();
        assert_eq!(largest, [30, 29, 28, 27, 26, 25, 24, 23, 22, 21]);
    }

    #[test]
    fn what_does_not_add_up_or_was_disturbed_is_not_certain() {
        let found = of_rows(&[row(5)], &[list(vec![thread(1, 6)])], |_| None);
        assert!(!found[0].certain);
        let disturbed = Holders { valid: false, ..list(vec![thread(1, 5)]) };
        assert!(!of_rows(&[row(5)], &[disturbed], |_| None)[0].certain);
    }

    #[test]
    fn the_largest_of_either_sign_comes_first_and_swap_last() {
        let held = vec![
            (Holder::Cpu(0), [0, 0, 50, 0]),
            (Holder::Cpu(1), [9, -9, 0, 0]),
            (Holder::Cpu(2), [0, 5, 0, 0]),
            (Holder::Cpu(3), [0, -8, 0, 0]),
        ];
        let found = of_rows(&[row(0)], &[list(held)], |_| None);
        let cpus: Vec<_> = found[0].named.iter().map(|named| named.holder).collect();
        assert_eq!(cpus, [3, 2, 0, 1].map(Holder::Cpu));
    }

    #[test]
    fn threads_have_names_where_they_live() {
        let held = vec![thread(8, 9), thread(4, 2), (Holder::Cpu(8), [0, 1, 0, 0])];
        let found = of_rows(&[row(12)], &[list(held)], |tid| (tid == 8).then(|| "worker".to_owned()));
        let names: Vec<_> = found[0].named.iter().map(|named| named.comm.as_deref()).collect();
        assert_eq!(names, [Some("worker"), None, None]);
    }

    #[test]
    fn a_row_whose_process_is_gone_has_no_holders() {
        assert!(of_rows(&[row(1)], &[], |_| None).is_empty());
    }
}
