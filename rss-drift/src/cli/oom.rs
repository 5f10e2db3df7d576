//! Options of `oom`.

use super::{Usage, number, select::Groups, values};
use crate::{oom::Options, output::ReportFormat, table::Units};

#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "With one control group, unit or container: whom an OOM of its limit would take.\n\
        Exit: 0 done; 1 when it cannot be measured, or the group is not there (rss-drift says why).\n\n\
        Examples:\n  rss-drift oom                          the ten that the OOM killer would take first\n  \
        rss-drift oom --unit nginx             whom it would take when the service goes over its limit\n  \
        rss-drift oom --cgroup /a --all        the same of a control group, with every candidate\n  \
        rss-drift oom --json | jq '.candidates[] | select(.rank != .rank_by_exact)'")]
pub(super) struct Args {
    #[command(flatten)]
    groups: Groups,
    /// Candidates in the table [default: 10; JSON all]
    #[arg(long, value_name = "N", help_heading = "Output", allow_negative_numbers = true, value_parser = number::within(0..=usize::MAX))]
    top: Option<usize>,
    /// Every candidate
    #[arg(long, help_heading = "Output", conflicts_with = "top")]
    all: bool,
    /// Units of sizes: human, kib, mib or bytes
    ///
    /// human is the default on a terminal, kib elsewhere. With kib, mib and bytes the sizes of the table are bare numbers.
    #[arg(long, value_name = "UNIT", help_heading = "Output", hide_possible_values = true, ignore_case = true, conflicts_with = "json", value_parser = values::units())]
    units: Option<Units>,
    /// One JSON object instead of text, sizes in bytes
    #[arg(long, help_heading = "Output")]
    json: bool,
}

/// Candidates in the table where nothing says how many.
const DEFAULT_ROWS: usize = 10;

impl Args {
    /// What is asked for.
    ///
    /// # Errors
    /// More than one group: each has an OOM of its own.
    pub(super) fn options(&self) -> Result<Options, Usage> {
        if self.groups.count() > 1 {
            return Err(Usage::SeveralGroups);
        }
        Ok(Options {
            group: self.groups.criteria(),
            limit: if self.all { None } else { Some(self.top.unwrap_or(DEFAULT_ROWS)) },
            machine_limit: self.top,
            units: self.units,
            format: if self.json { ReportFormat::Json } else { ReportFormat::Text },
        })
    }
}
