//! Rows that are sums over processes (`--by`).

use super::{
    made::{Made, OwnRows},
    options::GroupShape,
    reporter::Reporter,
};
use crate::{
    drift::{
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
        self.judge(&groups, shape, headline);
        keep_large(&mut groups, shape, self.rules.page_size);

        // Ranking by what files say takes the files of all groups.
        let first =
            |groups: &mut Vec<Aggregate>| shape.sort.first(groups, self.options.most_rows(), &self.host);
        let is_known = |group: &Aggregate| shape.sort.field.get(group, &self.host) != Value::Empty;
        let mut left_out = 0;
        if groups.iter().any(is_known) {
            left_out += first(&mut groups);
        }
        if !self.read_files(&mut groups, &snapshot, &placed, give_up) {
            return Ok(None);
        }
        left_out += first(&mut groups);

        if !self.compare(snapshot, &groups, problems, give_up)? {
            return Ok(None);
        }
        let shown = groups.len().min(self.options.limit.unwrap_or(usize::MAX));
        Ok(Some(Made { rows: OwnRows::Groups(groups), shown, holders: Vec::new(), left_out }))
    }

    /// Which groups there are, and whether the drift of any matters. Processes that are in none are no group.
    fn judge(&self, groups: &[Aggregate], shape: GroupShape, headline: &mut Headline) {
        let named = |group: &&Aggregate| group.name.text.is_some();
        headline.groups = Some(GroupCount {
            by: shape.by,
            groups: groups.iter().filter(named).count() as u64,
            in_none: groups.iter().filter(|group| !named(group)).map(|group| group.processes).sum(),
        });
        headline.verdict = Verdict::new(self.rules.page_size, self.options.near);
        for group in groups.iter().filter(named) {
            if let Some(reading) = group.reading() {
                headline.verdict.count_named(reading, || Name::Group(group.name.shown().to_owned()));
            }
        }
    }

    /// Adds what control groups and, where that is asked for, page tables say. Whether all of it was read.
    fn read_files(
        &self,
        groups: &mut [Aggregate],
        snapshot: &Snapshot,
        placed: &Placed,
        give_up: &dyn Fn() -> bool,
    ) -> bool {
        charge(groups, placed);
        if !self.options.resident {
            return true;
        }
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
        let (probe, cgroups) = (&mut self.session.probe, &mut self.cgroups);
        let mut found = collect::Problems::default();
        let rows = collect::rows(probe, snapshot, &pids, &self.rules, cgroups, &mut found, give_up)?;
        problems.retried += found.retried;
        problems.disagreements += found.disagreements;
        problems.unreadable += found.unreadable;
        Ok(rows.is_some())
    }
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
