//! What a workload is to the bench: how it is done once, and what one doing of it came to.

use std::ffi::OsString;

use anyhow::Result;

use super::group::Stop;

/// One timed round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Round {
    /// Seconds, of the whole or of each transaction: a slowdown is a ratio of these.
    pub(crate) seconds: f64,
    /// Mean latency in milliseconds, where there is one.
    pub(crate) latency: Option<f64>,
}

/// Real software that is run again and again.
pub(crate) trait Workload {
    /// Its name on the command line and in the tables.
    fn name(&self) -> &'static str;

    /// What is done and with which versions, for the head of the page.
    fn describe(&self) -> Result<String>;

    /// Does `run` with a command that does the work once, from the start to the end of all that takes part.
    fn once(&mut self, stop: &Stop, run: &mut dyn FnMut(&[OsString]) -> Result<()>) -> Result<()>;

    /// Starts what stays through the rounds of one setting.
    fn begin(&mut self, _stop: &Stop) -> Result<()> {
        Ok(())
    }

    /// Does the work once and times it.
    fn round(&mut self, stop: &Stop) -> Result<Round>;

    /// Ends what [`Self::begin`] started.
    fn end(&mut self) -> Result<()> {
        Ok(())
    }

    /// How a round's figure reads in a table.
    fn show(&self, seconds: f64) -> String;
}
