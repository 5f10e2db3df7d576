//! Rows that are sums over processes (`--by`).

use super::{
    made::{Made, OwnRows},
    options::GroupShape,
    reporter::Reporter,
};
use crate::{
    drift::{
        by::By,
        collect,
        groups::{Aggregate, sum},
        verdict::{Name, Verdict},
    },
    output::{GroupCount, Headline},
    probe::{Mm, Snapshot},
    select::{Placed, charge},
    table::{Value, bytes},
};

/// Processes whose files are compared with the records that the sums are of: as many as a report of processes reads before it looks at the
/// counters again.
const COMPARED: usize = 16;

impl Reporter {
    /// The groups of the selected processes. The headline judges them. `None` where that is given up.
    pub(super) fn group_rows(
        &mut self,
        snapshot: Snapshot,
        shape: GroupShape,
        headline: &mut Headline,
        problems: &mut collect::Problems,
        give_up: &dyn Fn() -> bool,
    ) -> anyhow::Result<Option<Made>> {
        let Some(grouper) = &mut self.grouper else { return Ok(None) };
        let version = self.session.probe.cgroup_version();
        let selects = |mm: &Mm| self.selection.selects(mm);
        let placed = grouper.place(&snapshot, version, &self.host.hostname, &selects, give_up);
        let Some(placed) = placed else { return Ok(None) };
        let mut groups = sum(&snapshot, &placed.places, placed.names.clone(), &self.rules);
        let missed_events = self.session.probe.missed_events();
        for group in &mut groups {
            group.missed_events = missed_events;
        }
        problems.uncertain += groups.iter().map(|group| group.uncertain).sum::<u64>();
        headline.groups = Some(count(&groups, shape.by));
        keep_large(&mut groups, shape, self.rules.page_size);
        headline.verdict = verdict(&groups, self.rules.page_size, self.options.near);

        // Ranking by what files say takes the files of all groups.
        let first =
            |groups: &mut Vec<Aggregate>| shape.sort.first(groups, self.options.most_rows(), &self.host);
        let is_known = |group: &Aggregate| shape.sort.field.get(group, &self.host) != Value::Empty;
        let is_known = groups.iter().any(is_known);
        let mut left_out = 0;
        // Conditions judge all groups, also where the outputs take few: those of a charge when that of all groups is read.
        let needs_charges = self.conditions.need_charges();
        let mut fulfilled = self.conditions.judge(&named(&groups), &self.host);
        if is_known && !needs_charges {
            left_out += first(&mut groups);
        }
        charge(&mut groups, &placed);
        if needs_charges {
            fulfilled = self.conditions.judge(&named(&groups), &self.host);
        }
        if is_known {
            left_out += first(&mut groups);
        }
        if self.options.resident && !self.walk(&mut groups, &snapshot, &placed, give_up) {
            return Ok(None);
        }
        left_out += first(&mut groups);

        if !self.compare(snapshot, &groups, problems, give_up)? {
            return Ok(None);
        }
        let shown = groups.len().min(self.options.limit.unwrap_or(usize::MAX));
        Ok(Some(Made { rows: OwnRows::Groups(groups), shown, holders: Vec::new(), left_out, fulfilled }))
    }

    /// Adds what page tables say. Whether all of them were walked.
    fn walk(
        &self,
        groups: &mut [Aggregate],
        snapshot: &Snapshot,
        placed: &Placed,
        give_up: &dyn Fn() -> bool,
    ) -> bool {
        let mut at = vec![None; placed.names.len()];
        for (index, group) in groups.iter().enumerate() {
            at[group.place] = Some(index);
        }
        for mm in snapshot.mms_of(|mm| self.selection.selects(mm)) {
            let Some(index) = placed.place(mm.tgid).and_then(|place| at[place]) else { continue };
            if give_up() {
                return false;
            }
            if let Some(rollup) = collect::folder(mm).rollup() {
                groups[index].walk(rollup);
            }
        }
        true
    }

    /// Compares records of the shown groups with what /proc says of the same processes: a difference is an error of ours. Whether that was
    /// done to the end.
    fn compare(
        &mut self,
        snapshot: Snapshot,
        groups: &[Aggregate],
        problems: &mut collect::Problems,
        give_up: &dyn Fn() -> bool,
    ) -> anyhow::Result<bool> {
        let pids = groups.iter().filter_map(|group| Some(group.worst.as_ref()?.pid));
        let pids: Vec<_> = pids.take(COMPARED).collect();
        let (probe, earlier) = (&mut self.session.probe, &mut self.earlier);
        let mut found = collect::Problems::default();
        let rows = collect::rows(probe, snapshot, &pids, &self.rules, earlier, &mut found, give_up)?;
        problems.retried += found.retried;
        problems.disagreements += found.disagreements;
        problems.unreadable += found.unreadable;
        Ok(rows.is_some())
    }
}

/// The groups that are judged: processes that are in none are no group.
fn named(groups: &[Aggregate]) -> impl Iterator<Item = &Aggregate> + Clone {
    groups.iter().filter(|group| group.name.text.is_some())
}

/// How many groups there are. Processes that are in none are no group.
fn count(groups: &[Aggregate], by: By) -> GroupCount {
    let (named, none): (Vec<_>, Vec<_>) = groups.iter().partition(|group| group.name.text.is_some());
    let in_none = none.iter().map(|group| group.processes).sum();
    GroupCount { by, groups: named.len() as u64, in_none }
}

/// Whether the drift of any group matters.
fn verdict(groups: &[Aggregate], page_size: u64, near: Option<u64>) -> Verdict {
    let mut verdict = Verdict::new(page_size, near);
    for group in named(groups) {
        if let Some(reading) = group.reading() {
            verdict.count_named(reading, || Name::Group(group.name.shown().to_owned()));
        }
    }
    verdict
}

/// Leaves out the groups that are smaller than what is asked for.
fn keep_large(groups: &mut Vec<Aggregate>, shape: GroupShape, page_size: u64) {
    let size = |pages: i64| bytes(pages, page_size).unsigned_abs();
    groups.retain(|group| {
        let is_drift = |least: u64| group.drift().is_some_and(|drift| size(drift) >= least);
        shape.min_rss.is_none_or(|least| size(group.exact_rss().max(0)) >= least)
            && shape.min_drift.is_none_or(is_drift)
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        drift::{
            fixture::host,
            group_fixture::{all_and_little, group},
        },
        table::find,
        watch::Sort,
    };

    fn shape(min_rss: Option<u64>, min_drift: Option<u64>, sort: &str) -> GroupShape {
        let (name, reverse) = sort.strip_prefix('-').map_or((sort, false), |name| (name, true));
        GroupShape { by: By::Unit, sort: Sort { field: find(name).unwrap(), reverse }, min_rss, min_drift }
    }

    fn groups() -> Vec<Aggregate> {
        let [_, mut none] = all_and_little();
        none.reported = Some(130);
        vec![
            group(By::Unit, "b", 100, 90),
            group(By::Unit, "a", 50, 80),
            group(By::Unit, "c", 300, 290),
            none,
        ]
    }

    fn names(groups: &[Aggregate]) -> Vec<&str> {
        groups.iter().map(|group| group.name.text()).collect()
    }

    #[test]
    fn small_groups_are_left_out() {
        let kept = |min_rss, min_drift| {
            let mut groups = groups();
            keep_large(&mut groups, shape(min_rss, min_drift, "drift"), 4096);
            names(&groups).join("")
        };
        assert_eq!(kept(None, None), "bac-");
        assert_eq!(
            (kept(Some(100 * 4096), None), kept(Some(100 * 4096 + 1), None)),
            ("bc-".into(), "c".into())
        );
        assert_eq!(
            (kept(None, Some(30 * 4096)), kept(None, Some(30 * 4096 + 1))),
            ("a-".into(), String::new())
        );
        assert_eq!(kept(Some(60 * 4096), Some(11 * 4096)), "-", "both are required");
        // A drift that is not known is none of that size.
        let mut unknown = groups();
        unknown[0].reported = None;
        keep_large(&mut unknown, shape(None, Some(1), "drift"), 4096);
        assert_eq!(names(&unknown), ["a", "c", "-"]);
    }

    #[test]
    fn the_first_of_them_in_each_order() {
        let first = |sort: &str, limit| {
            let mut groups = groups();
            let left_out = shape(None, None, sort).sort.first(&mut groups, limit, &host());
            (names(&groups).join(""), left_out)
        };
        assert_eq!(
            first("drift", None),
            ("abc-".into(), 0),
            "of equal ones by their names, and what is no group last"
        );
        assert_eq!(first("-drift", Some(3)), ("bca".into(), 1));
        assert_eq!(first("exact", Some(2)), ("cb".into(), 2));
        assert_eq!(first("group", None), ("abc-".into(), 0));
        assert_eq!(first("charge", Some(9)), ("abc-".into(), 0), "none has one");
        let mut groups = groups();
        groups[0].reported = None;
        let _ = shape(None, None, "-drift").sort.first(&mut groups, None, &host());
        assert_eq!(names(&groups)[2..], ["b", "-"], "what is not known is last in both directions");
        assert_eq!(first("drift", Some(0)), (String::new(), 4));
    }

    #[test]
    fn processes_in_no_group_are_counted_and_not_judged() {
        let groups = groups();
        assert_eq!(count(&groups, By::Unit), GroupCount { by: By::Unit, groups: 3, in_none: 2 });
        let judged = verdict(&groups, 4096, Some(100 * 4096));
        let largest = judged.largest.unwrap();
        assert_eq!(largest.name, Name::Group("a".to_owned()), "not the others, which are off as much");
        let near = judged.near.unwrap();
        assert_eq!((near.parted, near.hidden), (1, 1));
        assert_eq!(near.named[0].name, Name::Group("b".to_owned()));
    }
}
