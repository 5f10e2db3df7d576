//! Rows that are processes.

use super::{
    made::{Made, OwnRows},
    reporter::Reporter,
    sort::Sort,
};
use crate::{
    drift::{
        collect,
        holders::{self, RowHolders},
        sample::{Note, Row},
    },
    probe::Snapshot,
    proc::thread_name,
};

impl Reporter {
    /// The rows of the selected processes, and the last ones of those that are gone. `None` where that is given up.
    pub(super) fn process_rows(
        &mut self,
        snapshot: Snapshot,
        sort: Sort<Row>,
        gone: &[u32],
        events: &mut Vec<String>,
        problems: &mut collect::Problems,
        give_up: &dyn Fn() -> bool,
    ) -> anyhow::Result<Option<Made>> {
        let limit = self.options.most_rows();
        // Conditions judge every selected process. Those that are shown come first: they are compared with what /proc says.
        let read = if self.conditions.is_empty() { limit } else { limit.map(|_| usize::MAX) };
        let (pids, mut left_out) = self.selection.pids(&snapshot, &self.rules, &self.host, sort, read);
        let (probe, earlier) = (&mut self.session.probe, &mut self.earlier);
        let rows = collect::rows(probe, snapshot, &pids, &self.rules, earlier, problems, give_up)?;
        let Some(mut rows) = rows else { return Ok(None) };
        self.selection.keep_large(&mut rows, self.rules.page_size);
        let fulfilled = self.conditions.judge(&rows.iter(), &self.host);
        left_out += sort.first(&mut rows, limit, &self.host);
        // What no table shows is of the outputs for machines alone.
        let mut shown = rows.len().min(self.options.limit.unwrap_or(usize::MAX));
        let shows_holders = self.options.holders;
        let holders = if shows_holders { self.holders(&rows[..shown], give_up)? } else { Some(Vec::new()) };
        let Some(holders) = holders else { return Ok(None) };
        let farewells = self.say_farewell(gone, events);
        let behind = shown;
        shown += farewells.len();
        rows.splice(behind..behind, farewells);
        Ok(Some(Made { rows: OwnRows::Processes(rows), shown, holders, left_out, fulfilled }))
    }

    /// Who holds the missing pages of the rows, by a reading right behind theirs.
    fn holders(
        &mut self,
        rows: &[Row],
        give_up: &dyn Fn() -> bool,
    ) -> anyhow::Result<Option<Vec<RowHolders>>> {
        let pids: Vec<u32> = rows.iter().map(|row| row.process.pid).collect();
        let lists = self.session.probe.holders(&pids, give_up)?;
        Ok(lists.map(|lists| holders::of_rows(rows, &lists, thread_name)))
    }

    /// The last row of each process that is gone, and a line.
    fn say_farewell(&mut self, gone: &[u32], events: &mut Vec<String>) -> Vec<Row> {
        let mut rows = Vec::new();
        for pid in gone {
            match self.last_rows.remove(pid) {
                Some(mut row) => {
                    // Names are cleaned where events are printed.
                    let comm = if row.process.comm.is_empty() { "-" } else { &row.process.comm };
                    events.push(format!("pid {pid} ({comm}) is gone; its last row is above"));
                    row.notes.push(Note::Died);
                    rows.push(row);
                }
                None => events.push(format!("pid {pid} is gone")),
            }
        }
        rows
    }
}
