//! Whether drift matters: the largest of all processes or groups, how many are off by more than a remarkable size, and which a level parts.

use std::cmp::Reverse;

use super::stats::Reading;

/// A |drift| above this is counted, in bytes: the least that people read off a graph of a service's memory.
pub const REMARKABLE: u64 = 1 << 20;

/// Those across a level that are named.
const NAMED: usize = 3;

/// What has a reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    Process {
        pid: u32,
        comm: String,
    },
    /// Processes that have something in common, by what they have.
    Group(String),
}

/// A process or a group, and its reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    pub name: Name,
    pub reading: Reading,
}

/// What all readings of one report say together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    page_size: u64,
    /// How many have a |drift| above [`REMARKABLE`].
    pub remarkable: u64,
    /// The largest |drift|; of equal ones the first.
    pub largest: Option<Who>,
    /// What a level parts (`--near`).
    pub near: Option<Near>,
}

/// What a level parts: an alert's threshold, or a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Near {
    /// Bytes.
    pub level: u64,
    /// How many are below it by one of the two figures and not by the other.
    pub parted: u64,
    /// Of these, how many are below it by the reported figure.
    pub hidden: u64,
    /// Of these the ones with the largest |drift|, the largest first.
    pub named: Vec<Who>,
    /// The one whose exact figure is nearest to it.
    pub nearest: Option<Who>,
}

impl Verdict {
    /// Of no reading yet; `near`: a level in bytes.
    #[must_use]
    pub fn new(page_size: u64, near: Option<u64>) -> Self {
        let near = near.map(|level| Near { level, parted: 0, hidden: 0, named: Vec::new(), nearest: None });
        Self { page_size, remarkable: 0, largest: None, near }
    }

    /// Counts a process's reading. `comm` is asked for only when the process is named.
    pub fn count(&mut self, pid: u32, reading: Reading, comm: impl Fn() -> String) {
        self.count_named(reading, || Name::Process { pid, comm: comm() });
    }

    /// Counts a reading. `name` is asked for only where it is told.
    pub fn count_named(&mut self, reading: Reading, name: impl Fn() -> Name) {
        let who = || Who { name: name(), reading };
        let size = reading.drift().unsigned_abs();
        self.remarkable += u64::from(size.saturating_mul(self.page_size) > REMARKABLE);
        if self.largest.as_ref().is_none_or(|largest| largest.reading.drift().unsigned_abs() < size) {
            self.largest = Some(who());
        }
        if let Some(near) = &mut self.near {
            near.count(reading, self.page_size, who);
        }
    }
}

impl Near {
    fn count(&mut self, reading: Reading, page_size: u64, who: impl Fn() -> Who) {
        let distance = |reading: Reading| size(reading.exact, page_size).abs_diff(u128::from(self.level));
        if self.nearest.as_ref().is_none_or(|it| distance(reading) < distance(it.reading)) {
            self.nearest = Some(who());
        }
        if !is_parted(reading, self.level, page_size) {
            return;
        }
        self.parted += 1;
        self.hidden += u64::from(is_below(reading.reported, self.level, page_size));
        let rank = |it: &Who| Reverse(it.reading.drift().unsigned_abs());
        let who = who();
        let place = self.named.partition_point(|it| rank(it) <= rank(&who));
        self.named.insert(place, who);
        self.named.truncate(NAMED);
    }
}

/// Whether a level, in bytes, lies between the two figures: a reading is below it by one of them and not by the other.
#[must_use]
pub fn is_parted(reading: Reading, level: u64, page_size: u64) -> bool {
    is_below(reading.exact, level, page_size) != is_below(reading.reported, level, page_size)
}

fn is_below(pages: i64, level: u64, page_size: u64) -> bool {
    size(pages, page_size) < u128::from(level)
}

/// A figure in bytes. Below 0 there is no memory.
fn size(pages: i64, page_size: u64) -> u128 {
    u128::from(pages.max(0).unsigned_abs()) * u128::from(page_size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(readings: &[(u32, i64, i64)], near: Option<u64>) -> Verdict {
        let mut verdict = Verdict::new(4096, near);
        for &(pid, exact, reported) in readings {
            verdict.count(pid, Reading { exact, reported }, || format!("p{pid}"));
        }
        verdict
    }

    fn pid(who: &Who) -> u32 {
        match who.name {
            Name::Process { pid, .. } => pid,
            Name::Group(_) => panic!("processes were counted: {who:?}"),
        }
    }

    fn pids(named: &[Who]) -> Vec<u32> {
        named.iter().map(pid).collect()
    }

    #[test]
    fn the_largest_counts_whatever_its_sign() {
        let verdict = of(&[(1, 100, 90), (2, 100, 400), (3, 500, 200)], None);
        let largest = verdict.largest.map(|who| who.name);
        assert_eq!(largest, Some(Name::Process { pid: 2, comm: "p2".to_owned() }));
        assert_eq!(verdict.remarkable, 2, "300 pages are more than 1 MiB");
        assert_eq!(of(&[(1, 256, 0)], None).remarkable, 0, "1 MiB is not more than 1 MiB");
        assert_eq!(of(&[], None).largest, None);
    }

    #[test]
    fn a_level_parts_who_is_on_one_side_by_one_figure_alone() {
        // The level is that of 1,000 pages: who has just as many is not below it.
        let level = Some(1000 * 4096);
        let readings =
            [(1, 999, 990), (2, 1000, 999), (3, 1200, 900), (4, 990, 1010), (5, 1100, 1000), (6, 5, -3)];
        let near = of(&readings, level).near.unwrap();
        assert_eq!((near.parted, near.hidden, pids(&near.named)), (3, 2, vec![3, 4, 2]));
        assert_eq!(near.nearest.as_ref().map(pid), Some(2));
        let many: Vec<_> = (1..=9).map(|pid| (pid, 1000, 990 - i64::from(pid))).collect();
        let near = of(&many, level).near.unwrap();
        assert_eq!((near.parted, pids(&near.named)), (9, vec![9, 8, 7]));
    }

    #[test]
    fn extreme_readings_do_not_panic() {
        let readings = [(1, i64::MAX, i64::MIN), (2, i64::MIN, i64::MAX), (3, 0, 0)];
        for near in [Some(0), Some(u64::MAX)] {
            assert!(of(&readings, near).near.is_some());
        }
    }
}
