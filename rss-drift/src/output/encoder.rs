//! What a format is: it makes text of reports.

use super::{Block, FinalSummary};

/// A format.
pub(super) trait Encoder {
    /// The report of one interval, and how many rows it has.
    fn block(&mut self, block: &Block<'_>) -> (Vec<u8>, u64);

    /// What ends the output: where the format has one, a summary of the whole run.
    fn finish(&mut self, summary: &FinalSummary<'_>) -> Vec<u8>;
}
