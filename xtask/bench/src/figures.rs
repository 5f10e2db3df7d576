//! The lines on standard output.

use std::{
    fmt::Display,
    io::{self, Write as _},
    time::Duration,
};

use anyhow::{Context as _, Result};

use crate::clock::Took;

/// Prints one figure of one round. Nobody reads on when the write fails: the caller ends.
pub fn print(name: impl Display, round: usize, value: impl Display) -> Result<()> {
    writeln!(io::stdout(), "{name} {round} {value}").context("cannot write the figures")
}

/// Prints a time in nanoseconds.
pub fn print_time(name: impl Display, round: usize, time: Duration) -> Result<()> {
    print(name, round, u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}

/// Prints both times of a piece of work.
pub fn print_took(name: impl Display, round: usize, took: Took) -> Result<()> {
    print_time(format_args!("{name}/wall"), round, took.wall)?;
    print_time(format_args!("{name}/cpu"), round, took.cpu)
}
