//! `rss-drift oom`: whom the OOM killer would take, by its own reading of RSS and by the exact one.

mod domain;
mod figures;
mod ranking;
mod reading;
mod text;

#[cfg(test)]
mod doc;

use std::{
    io::{self, IsTerminal as _},
    os::fd::AsRawFd as _,
    process::ExitCode,
};

use anyhow::{Context as _, bail};

use crate::{
    drift::oom_reading::find_oom_precision,
    kernel::meminfo::Meminfo,
    output::{ReportFormat, print, window_width},
    proc::Precision,
    select::{Criteria, MemoryGroup},
    session::{Mode, Startup},
    table::Units,
};
use domain::Domain;
use reading::Reading;

/// How often it is tried to find out how the OOM killer reads RSS: what else the host does disturbs some of the tries.
const TRIES: u32 = 5;

#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// The control group that is out of memory; nothing: the host is.
    pub group: Criteria,
    /// The most candidates in the table; `None`: all.
    pub limit: Option<usize>,
    /// The most candidates in JSON; `None`: all.
    pub machine_limit: Option<usize>,
    /// Units of the text; `None`: for people on a terminal, else bare KiB.
    pub units: Option<Units>,
    pub format: ReportFormat,
}

/// Ranks the candidates and prints them.
///
/// # Errors
/// Where nothing can be measured, or the control group is not there.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let group = MemoryGroup::of(&options.group)?;
    let mut session = Startup::check(Mode::Passive).session()?;
    let memory = Meminfo::read().context(
        "cannot read /proc/meminfo, by which the OOM killer's adjustments are scaled: mount /proc",
    )?;
    let page_size = session.kernel.page_size;
    let mut reads = Precision::Unknown;
    for _ in 0..TRIES {
        reads = find_oom_precision(&mut session.probe, page_size, memory).unwrap_or_else(|error| {
            log::warn!("cannot find out how the OOM killer reads RSS on this kernel: {error}");
            Precision::Unknown
        });
        if reads != Precision::Unknown {
            break;
        }
    }
    let domain = Domain::of(group, memory);
    let reading = Reading::take(&mut session, domain, reads, memory)?;
    if !reading.domain.is_there() {
        bail!("the control group is gone, or its name is not UTF-8: its limit cannot be read");
    }
    let text = match options.format {
        ReportFormat::Json => figures::json(&reading, options.machine_limit),
        ReportFormat::Text => {
            let stdout = io::stdout();
            let width = window_width(stdout.as_raw_fd()).filter(|_| stdout.is_terminal());
            let usual = if stdout.is_terminal() { Units::Human } else { Units::Kib };
            text::text(&reading, options.limit, options.units.unwrap_or(usual), width)
        }
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}
