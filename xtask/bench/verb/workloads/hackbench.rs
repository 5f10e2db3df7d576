//! hackbench of package rt-tests: 16 processes that send to 16 others through sockets.

use std::{ffi::OsString, process::Command};

use anyhow::{Context as _, Result};

use super::{
    group::{self, Stop},
    software::version,
    workload::{Round, Workload},
};
use crate::bench::units::time;

/// One group of as many senders as receivers: 32 processes.
const EACH: &str = "16";
/// Messages from each sender to each receiver: seconds on a small machine.
const MESSAGES: &str = "4000";

/// The workload.
#[derive(Debug)]
pub(crate) struct Hackbench;

impl Hackbench {
    fn words() -> [&'static str; 7] {
        ["hackbench", "-g", "1", "-f", EACH, "-l", MESSAGES]
    }
}

impl Workload for Hackbench {
    fn name(&self) -> &'static str {
        "hackbench"
    }

    fn describe(&self) -> Result<String> {
        Ok(format!(
            "`{}` of rt-tests {}: {EACH} processes send {MESSAGES} messages each to {EACH} others; its own time",
            Self::words().join(" "),
            version("rt-tests")?
        ))
    }

    fn once(&mut self, _stop: &Stop, run: &mut dyn FnMut(&[OsString]) -> Result<()>) -> Result<()> {
        run(&Self::words().map(OsString::from))
    }

    fn round(&mut self, stop: &Stop) -> Result<Round> {
        let [program, arguments @ ..] = Self::words();
        let text = group::run(Command::new(program).args(arguments), "hackbench", stop)?;
        let seconds = parse(&text).with_context(|| format!("hackbench printed no time: {text:?}"))?;
        Ok(Round { seconds, latency: None })
    }

    fn show(&self, seconds: f64) -> String {
        time(seconds * 1e9)
    }
}

/// The time in `Time: 1.234`.
fn parse(text: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix("Time:")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_found() {
        let text = "Running in process mode with 1 groups using 32 file descriptors each (== 32 tasks)\n\
            Each sender will pass 100 messages of 100 bytes\nTime: 0.012\n";
        assert_eq!(parse(text).map(f64::to_bits), Some(0.012_f64.to_bits()));
        assert_eq!(parse("Time: soon\n"), None);
    }
}
