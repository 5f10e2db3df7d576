//! Options of `demo`.

use super::number;
use crate::{
    demo::{Options, Placement},
    output::ReportFormat,
};

#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Every thread touches its own memory and sleeps. Then all figures are read and compared.\n\
        Exit: 0 done; 1 when it cannot be measured, or a limit is in the way (rss-drift names it).\n\n\
        Examples:\n  rss-drift demo                         the RFC's size: 10,000 threads, 1.4 GiB\n  \
        rss-drift demo --spread                the pages in the slots of all CPUs\n  \
        rss-drift demo --threads 500 --json | jq .sources.stat.missing_percent"
)]
pub(super) struct Args {
    /// Threads that touch memory
    #[arg(long, value_name = "N", default_value_t = 10_000, allow_negative_numbers = true, value_parser = number::within(1..=u32::MAX))]
    threads: u32,
    /// Pages of 4 KiB that each of them touches, once
    #[arg(long, value_name = "N", default_value_t = 32, allow_negative_numbers = true, value_parser = number::within(1..=u32::MAX))]
    pages: u32,
    /// Bind each thread to a CPU, in turn over all that may be used
    #[arg(long)]
    spread: bool,
    /// One JSON object instead of text, sizes in bytes
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(super) fn options(self) -> Options {
        Options {
            threads: self.threads,
            pages: self.pages,
            placement: if self.spread { Placement::Spread } else { Placement::Anywhere },
            format: if self.json { ReportFormat::Json } else { ReportFormat::Text },
        }
    }
}
