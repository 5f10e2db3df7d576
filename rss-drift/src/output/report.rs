//! Where the reports of `run` go. Each is made once, so none is left out because its reader is slow, and none is lost with its file.

use std::{
    fs::File,
    io::{self, IsTerminal as _},
    mem,
    os::fd::{AsFd as _, AsRawFd as _},
    time::Duration,
};

use super::{
    OutputError, Target,
    content::Content,
    file::Blocks,
    stderr,
    table::{MIN_WIDTH, window_width},
    text,
    writer::{Unit, Writer, waits_for_reader},
};

/// Standard error, where it is a terminal.
fn own_terminal() -> Option<File> {
    let stderr = io::stderr();
    let copy = stderr.is_terminal().then(|| stderr.as_fd().try_clone_to_owned());
    copy?.ok().map(File::from)
}

/// An output for whole reports: a file, standard output, or standard error, where all goes that a file does not take.
#[derive(Debug)]
pub(crate) struct ReportOutput {
    /// What CSV on standard error begins with, until that is said.
    header: Vec<u8>,
    /// `None`: standard error.
    writer: Option<Writer>,
    /// The terminal that it goes to, if it goes to one.
    terminal: Option<File>,
    /// What the output has not taken yet, as far as is known.
    unwritten: Vec<Vec<u8>>,
    /// Reports before these.
    written: u64,
}

impl ReportOutput {
    /// Opens it. `header`: what an empty file gets, and one with content must begin with.
    pub(crate) fn open(
        target: &Target,
        header: Vec<u8>,
        lock_timeout: Duration,
    ) -> Result<Self, OutputError> {
        let content = if header.is_empty() { Content::text() } else { Content::csv(header.clone()) };
        let (writer, terminal) = match target {
            Target::Stderr => (None, own_terminal()),
            Target::File(path) if waits_for_reader(path) => {
                let of = target.clone();
                (
                    Some(Writer::start(target, Box::new(move || Blocks::open(&of, content, lock_timeout)))),
                    None,
                )
            }
            _ => {
                let blocks = Blocks::open(target, content, lock_timeout)?;
                let terminal = blocks.terminal();
                (Some(Writer::of(blocks, target)), terminal)
            }
        };
        Ok(Self { header, writer, terminal, unwritten: Vec::new(), written: 0 })
    }

    /// Whether people see it at once.
    pub(crate) const fn is_terminal(&self) -> bool {
        self.terminal.is_some()
    }

    /// Appends a report for people, its lines broken between words where a terminal is too narrow for them.
    pub(crate) fn append_text(&mut self, report: &str) {
        let width = self.terminal.as_ref().and_then(|terminal| window_width(terminal.as_raw_fd()));
        let width = width.map(|width| width.max(MIN_WIDTH));
        let lines = report.lines().flat_map(|line| text::flow(line, width));
        self.append(lines.fold(String::new(), |text, line| text + &line + "\n").into_bytes());
    }

    /// Appends a report: all of it, or in a regular file nothing.
    pub(crate) fn append(&mut self, report: Vec<u8>) {
        let Some(writer) = &self.writer else { return self.deliver(report) };
        self.unwritten.push(report.clone());
        writer.report(Unit { bytes: report, rows: 1, counts: true });
    }

    /// Whether all that it got is written, or nothing can be.
    pub(crate) fn is_drained(&self) -> bool {
        self.writer.as_ref().is_none_or(Writer::is_drained)
    }

    /// Whether it has not taken all that it got, by the last [check](Self::check).
    pub(crate) const fn has_unwritten(&self) -> bool {
        !self.unwritten.is_empty()
    }

    /// Whether it works. After an error the reports that it has not taken are on standard error, and so are the next ones.
    pub(crate) fn check(&mut self) -> Result<(), OutputError> {
        let Some(writer) = &self.writer else { return Ok(()) };
        let failure = writer.take_failure();
        let written = writer.written();
        let news = usize::try_from(written - self.written).unwrap_or(usize::MAX);
        self.unwritten.drain(..news.min(self.unwritten.len()));
        self.written = written;
        let Some(error) = failure else { return Ok(()) };
        self.writer = None;
        for report in mem::take(&mut self.unwritten) {
            self.deliver(report);
        }
        Err(error)
    }

    /// Gives a report to standard error.
    fn deliver(&mut self, report: Vec<u8>) {
        let header = mem::take(&mut self.header);
        if !header.is_empty() {
            stderr::deliver(header);
        }
        stderr::deliver(report);
    }
}
