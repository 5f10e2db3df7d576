//! Options of `explain`.

use std::time::Duration;

use super::{duration, number, select::Select, values};
use crate::{explain::Options, output::ReportFormat, table::Units};

#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Exit: 0 done; 1 when it cannot be measured, or has no memory (rss-drift says why).\n\n\
        Examples:\n  rss-drift explain 1234                 why ps, pidstat and smaps differ for this process\n  \
        rss-drift explain --unit nginx         the process of a service with the largest drift\n  \
        rss-drift explain 1234 --duration 60   its true peak in the next minute beside VmHWM\n  \
        rss-drift explain 1234 --json | jq '.readers[] | select(.difference_bytes != 0)'"
)]
pub(super) struct Args {
    /// The process
    ///
    /// Or what selects it, as in watch. Of several that are selected, the one with the largest drift is explained, which standard error says.
    #[arg(value_name = "PID", help_heading = "Arguments", conflicts_with = "pids", required_unless_present_any = Select::IDS, allow_negative_numbers = true, value_parser = number::within(1..=u32::MAX))]
    pid: Option<u32>,
    #[command(flatten)]
    select: Select,
    /// Follow its true peak for this long first
    ///
    /// In full mode. Ctrl-C ends the time early. Without this option the process is read at once, in passive mode. A bare number is seconds.
    #[arg(short, long, value_name = "TIME", help_heading = "Output", allow_negative_numbers = true, value_parser = duration::parse)]
    duration: Option<Duration>,
    /// Units of sizes: human, kib, mib or bytes
    ///
    /// human is the default on a terminal, kib elsewhere. With kib, mib and bytes the sizes of the table are bare numbers.
    #[arg(long, value_name = "UNIT", help_heading = "Output", hide_possible_values = true, ignore_case = true, conflicts_with = "json", value_parser = values::units())]
    units: Option<Units>,
    /// One JSON object instead of text, sizes in bytes
    #[arg(long, help_heading = "Output")]
    json: bool,
}

impl Args {
    pub(super) fn options(&self) -> Options {
        let pids = self.select.pids.iter().copied();
        Options {
            pids: self.pid.into_iter().chain(pids).collect(),
            criteria: self.select.criteria(),
            duration: self.duration,
            units: self.units,
            format: if self.json { ReportFormat::Json } else { ReportFormat::Text },
        }
    }
}
