//! Outputs: an encoder per format and a thread per output. They take plain rows and know of no command, no probe and no /proc.

use std::{
    io::{self, Write as _},
    time::{Duration, SystemTime},
};

use rss_drift_common::shadow::Counts;

use crate::{
    drift::{
        behaviour::Precisions,
        by::By,
        holders::RowHolders,
        idle::IdleFindings,
        sample::Host,
        stats::{Distribution, Largest, Summary},
        verdict::Verdict,
    },
    proc::Source,
};

mod cause;
mod columns;
mod content;
mod encoder;
mod error;
mod file;
#[cfg(test)]
pub(crate) mod fixture;
mod in_place;
mod lock;
mod machine;
mod medium;
mod once;
mod outputs;
pub mod patience;
mod pipe;
mod place;
mod plan;
mod report;
mod reported;
pub mod stderr;
pub mod table;
mod text;
mod writer;

pub use cause::with_causes;
pub use columns::Columns;
pub use error::OutputError;
pub use file::ignore_file_size_signal;
pub(crate) use once::OnceFile;
pub use outputs::Outputs;
pub use plan::{Format, OutputSpec, Target, UsageError, check_table, plan_outputs};
pub(crate) use report::ReportOutput;
pub use reported::{Reported, Rows};
pub use table::Look;
pub(crate) use table::{clock, holder_lines, window_width};
pub(crate) use text::flow;
pub use writer::{any_change, await_end, take_change};

/// How a report that is printed once is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportFormat {
    Text,
    /// One JSON object.
    Json,
}

/// Prints a text that is no report of an interval to standard output.
///
/// # Errors
/// [`OutputError::ClosedPipe`] where nobody reads it.
pub fn print(text: &str) -> Result<(), OutputError> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => OutputError::ClosedPipe,
        _ => OutputError::Print(error),
    })
}

/// The report of one interval.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    /// What does not change from one interval to the next.
    pub host: &'a Host,
    /// Number of the interval, from 1.
    pub interval: u64,
    /// When the interval was read.
    pub time: SystemTime,
    /// Figures of all selected processes.
    pub headline: &'a Headline,
    /// The rows, in their order: all of them in CSV and JSON.
    pub rows: Rows<'a>,
    /// How many of the first rows the table shows.
    pub shown: usize,
    /// Who holds the missing pages of the table's rows, in the rows' order; empty unless that was asked for. The table alone shows it:
    /// CSV and JSON have one row per process.
    pub holders: &'a [RowHolders],
    /// Selected processes or groups that have no row here (`--top`).
    pub left_out: u64,
    /// What happened, one line each, such as "pid 123 (name) is gone". Names may be put in as they are: the table escapes
    /// them. CSV and JSON have no place for events.
    pub events: &'a [String],
    /// The self-check of this interval.
    pub check: &'a SelfCheck,
    /// Since when peaks are followed; `None` in passive mode.
    pub since: Option<SystemTime>,
}

/// Figures of all selected processes in one interval: of the whole host where nothing is selected.
#[derive(Clone, Debug, PartialEq)]
pub struct Headline {
    /// The file that is `reported`.
    pub source: Source,
    /// Which /proc files are exact on this kernel.
    pub precisions: Precisions,
    /// The largest |drift| that an approximate file can have, in pages: of a process, or of each thread where those cache.
    pub bound: u64,
    /// Selected processes with an mm.
    pub processes: u64,
    /// Of how many processes of the host they are a selection; `None`: all of them.
    pub selected_of: Option<u64>,
    /// Sums and percentiles over all of them, in pages.
    pub summary: Summary,
    /// Whether it matters, by what the rows are.
    pub verdict: Verdict,
    /// What the processes are grouped by; `None`: the rows are processes.
    pub groups: Option<GroupCount>,
}

impl Headline {
    /// What a row is, one and many.
    #[must_use]
    pub fn nouns(&self) -> (&'static str, &'static str) {
        self.groups.map_or(("process", "processes"), |groups| groups.by.nouns())
    }
}

/// How many groups the selected processes are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupCount {
    pub by: By,
    /// Groups, those among them that are too small for a row.
    pub groups: u64,
    /// Processes that are in none of them.
    pub in_none: u64,
}

/// The self-check: what went wrong in rss-drift itself and what it costs, in one interval or summed up over all.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SelfCheck {
    /// Readings that were invalid at first and were repeated.
    pub retried: u64,
    /// Rows whose counters did not hold still for a valid reading.
    pub uncertain: u64,
    /// Rows in which /proc and our figure differ by more than the uncertainty: our error.
    pub disagreements: u64,
    /// Files of /proc that could not be read, though their process lives.
    pub unreadable: u64,
    /// CPU time of rss-drift as a share of the time that passed, in percent of one CPU; `None` when not known yet.
    pub cpu_percent: Option<f64>,
    /// RSS of rss-drift in bytes; over all intervals the largest. `None` when unreadable.
    pub rss_bytes: Option<u64>,
    /// The largest RSS of rss-drift since its start, start-up included, in bytes: its `VmHWM`. `None` when unreadable.
    pub peak_rss_bytes: Option<u64>,
    /// Kernel memory of the BPF programs and maps in bytes; `None` when unreadable.
    pub map_bytes: Option<u64>,
    /// Of full mode; `None` in passive mode.
    pub shadow: Option<ShadowCheck>,
}

/// The part of the self-check that only full mode has.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ShadowCheck {
    /// Events that the BPF programs missed; the next reading made them good.
    pub missed: u64,
    /// Updates of an mm that got no state because the maps are full.
    pub refused: u64,
    /// Largest |shadow - exact| of a member of an idle mm, in pages.
    pub idle_error: u64,
    /// Pages that had to be corrected for idle mms.
    pub repaired: u64,
    /// Mms that ended and whose shadow was looked at: not those whose end nobody saw.
    pub deaths: u64,
    /// Of these, how many left a residue in the shadow.
    pub residues: u64,
    /// Of the missed: updates that came while the CPU's slot was busy.
    pub nested: u64,
    /// Words of the kernel that did not hold still for a refresh: left to the next.
    pub unsettled: u64,
    /// Pages that the refresh at the end of an mm found.
    pub late: u64,
    /// Mms that ended and could not be checked for a residue: they were still in use.
    pub unjudged: u64,
    /// States whose mm no task had any more, and whose end was not seen.
    pub swept: u64,
    /// States that a new mm at their address took over: the end of their own was not seen.
    pub inherited: u64,
    /// Updates that found the CPU's slot on another mm than the running task's, and set that right.
    pub caught: u64,
    /// Run time of the BPF programs as a share of the host's CPU time, in percent; measured now and then.
    pub programs_percent: Option<f64>,
}

impl ShadowCheck {
    /// How many ends of mms were checked for a residue: not those that a sweep or a new mm at the same address told of, and not
    /// those that could not be judged.
    #[must_use]
    pub const fn judged(counts: &Counts) -> u64 {
        counts.deaths.saturating_sub(counts.swept + counts.inherited + counts.unjudged)
    }

    /// By what the BPF programs counted since the start, the events that they missed, and what readings found on idle mms.
    #[must_use]
    pub const fn new(counts: &Counts, missed: u64, idle: &IdleFindings) -> Self {
        Self {
            missed,
            refused: counts.refused,
            idle_error: idle.largest_error,
            repaired: idle.repaired,
            deaths: Self::judged(counts),
            residues: counts.deaths_with_residue,
            nested: counts.nested,
            unsettled: counts.unsettled,
            late: counts.late,
            unjudged: counts.unjudged,
            swept: counts.swept,
            inherited: counts.inherited,
            caught: counts.caught,
            programs_percent: None,
        }
    }

    /// What is rare, for a line of text, each with a comma before it.
    #[must_use]
    pub fn rare(&self, detail: Detail) -> String {
        let figures = [
            (self.nested, "event missed in a busy slot", "events missed in a busy slot"),
            (self.unsettled, "word unsettled", "words unsettled"),
            (self.late, "page found at the end of its mm", "pages found at the end of their mm"),
            (self.unjudged, "exit not checked for a residue", "exits not checked for a residue"),
            (self.swept, "state swept", "states swept"),
            (self.inherited, "state taken over", "states taken over"),
            (self.caught, "slot corrected by an update", "slots corrected by an update"),
        ];
        let told = figures.iter().filter(|(count, ..)| detail == Detail::All || *count > 0);
        told.fold(String::new(), |text, (count, one, many)| text + ", " + &counted(*count, one, many))
    }
}

/// How much a report for people tells of rss-drift itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    Happened,
    /// Also what did not happen.
    All,
}

impl Detail {
    /// What was asked for: all with `-v`.
    #[must_use]
    pub fn wanted() -> Self {
        if log::max_level() >= log::LevelFilter::Info { Self::All } else { Self::Happened }
    }
}

/// So many of something.
pub(crate) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// What all intervals came to.
#[derive(Clone, Copy, Debug)]
pub struct FinalSummary<'a> {
    /// What did not change from one interval to the next.
    pub host: &'a Host,
    /// How long it ran.
    pub duration: Duration,
    /// Intervals reported.
    pub intervals: u64,
    /// Reports that were given up because a signal came before all was read. What was read of them by then is among the readings.
    pub dropped: u64,
    /// Selected processes seen at least once.
    pub processes: u64,
    /// Whether they are a selection of the host's.
    pub selected: bool,
    /// |drift| of all readings, in pages and percent.
    pub drift: Distribution,
    /// The largest |drift|, with whose and when.
    pub largest: Option<&'a Largest>,
    /// The self-check summed up; CPU % from start to end, the largest RSS.
    pub check: &'a SelfCheck,
    /// Our CPU time, user and system.
    pub cpu_time: Duration,
    /// The outputs that missed reports so far.
    pub skipped: &'a [Skipped],
}

/// Reports that an output missed, because its reader was too slow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The output, by its name.
    pub output: String,
    pub reports: u64,
    /// Of so many.
    pub of: u64,
}

impl Block<'_> {
    /// Selected processes, or groups, that the table does not show.
    #[must_use]
    pub fn not_in_table(&self) -> u64 {
        self.left_out + self.rows.count().saturating_sub(self.shown) as u64
    }
}
