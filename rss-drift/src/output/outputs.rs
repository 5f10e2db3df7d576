//! All outputs of a run: each gets every report that it has room for, and none waits for another.

use std::{collections::HashMap, time::Duration};

use super::{
    Block, Columns, FinalSummary, OutputError, OutputSpec, Skipped, Target,
    encoder::Encoder,
    file::{Blocks, Identity},
    table::Look,
    writer::{Unit, Writer, waits_for_reader},
};

/// Where the reports of a run go.
pub struct Outputs(Vec<Output>);

struct Output {
    encoder: Box<dyn Encoder>,
    writer: Writer,
    /// Whether it was said that it misses reports.
    told: bool,
}

impl Outputs {
    /// Opens all outputs; each table has these columns and this look. Nothing is written anywhere before
    /// all are open, except the headers of CSV files, which are open already. Only a FIFO is opened later: when somebody reads it.
    ///
    /// CSV and JSON always have the whole contract: `--fields` chooses the table's columns.
    ///
    /// A lock of another process is waited for, but not longer than `lock_timeout`.
    pub fn open(
        specs: &[OutputSpec],
        columns: &Columns,
        look: Look,
        lock_timeout: Duration,
    ) -> Result<Self, OutputError> {
        let mut opened: HashMap<Identity, &Target> = HashMap::new();
        let mut outputs = Vec::new();
        for OutputSpec { format, target } in specs {
            let content = columns.content(*format);
            let blocks = match target {
                Target::File(path) if waits_for_reader(path) => None,
                _ => Some(Blocks::open(target, content.clone(), lock_timeout)?),
            };
            // Two names of one file (a link, another spelling of the path) are known only once they are open.
            let identity = blocks.as_ref().and_then(Blocks::identity);
            if let Some(other) = identity.and_then(|identity| opened.insert(identity, target)) {
                return Err(OutputError::SameFile { one: other.clone(), two: target.clone() });
            }
            let terminal = blocks.as_ref().and_then(Blocks::terminal);
            let encoder = columns.encoder(*format, target, terminal, look);
            outputs.push((encoder, target, content, blocks));
        }
        // All are open: only now their threads begin to write.
        let start = |(encoder, target, content, blocks): (_, &Target, _, Option<Blocks>)| {
            let writer = match blocks {
                Some(blocks) => Writer::of(blocks, target),
                None => Writer::start(target, {
                    let target = target.clone();
                    Box::new(move || Blocks::open(&target, content, lock_timeout))
                }),
            };
            Output { encoder, writer, told: false }
        };
        Ok(Self(outputs.into_iter().map(start).collect()))
    }

    /// Hands the report of an interval to every output that has room for it.
    ///
    /// # Errors
    /// As [`Outputs::check`].
    pub fn report(&mut self, block: &Block<'_>) -> Result<(), OutputError> {
        for output in &mut self.0 {
            if output.writer.has_room() {
                let (bytes, rows) = output.encoder.block(block);
                output.writer.report(Unit { bytes, rows, counts: true });
            } else if !output.told && !output.writer.is_drained() {
                output.told = true;
                log::warn!("{}: nobody reads it fast enough: reports are skipped", output.writer.target);
            }
        }
        self.check()
    }

    /// Whether all outputs work. One whose reader has gone is an output no more, and the others go on.
    ///
    /// # Errors
    /// [`OutputError::ClosedPipe`] when the reader of the last output has gone; any other failure of one.
    pub fn check(&mut self) -> Result<(), OutputError> {
        let mut at = 0;
        while let Some(output) = self.0.get(at) {
            match output.writer.take_failure() {
                None => at += 1,
                Some(OutputError::ClosedPipe) if self.0.len() > 1 => {
                    log::warn!("{}: its reader has closed it; the other outputs go on", output.writer.target);
                    let (missed, of) = output.writer.skipped(true);
                    if missed > 0 {
                        log::warn!("{}: {missed} of {of} reports skipped", output.writer.target);
                    }
                    self.0.remove(at);
                }
                Some(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Ends every output with the summary of the whole run.
    pub fn finish(&mut self, summary: &FinalSummary<'_>) {
        for output in &mut self.0 {
            let bytes = output.encoder.finish(summary);
            output.writer.push(Unit { bytes, rows: 0, counts: false });
        }
    }

    /// Whether every output has all that it got.
    #[must_use]
    pub fn are_drained(&self) -> bool {
        self.0.iter().all(|output| output.writer.is_drained())
    }

    /// The outputs that missed reports. `given_up`: they do not get any more what they have not taken by now.
    #[must_use]
    pub fn skipped(&self, given_up: bool) -> Vec<Skipped> {
        let each = self.0.iter().map(|output| {
            let (reports, of) = output.writer.skipped(given_up);
            Skipped { output: output.writer.target.to_string(), reports, of }
        });
        each.filter(|skipped| skipped.reports > 0).collect()
    }

    /// Says on standard error what the outputs missed; to be called when nothing more is written.
    pub fn say_skipped(&self) {
        for Skipped { output, reports, of } in self.skipped(true) {
            log::warn!("{output}: {reports} of {of} reports skipped: nobody read it fast enough");
        }
    }
}
