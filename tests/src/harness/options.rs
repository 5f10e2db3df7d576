//! The harness's command line.

use std::{ffi::OsString, time::Duration};

use super::{Reason, Test};

/// What `--help` prints.
pub const USAGE: &str = "\
Usage: live-tests [OPTIONS] [PART OF A NAME]...
       live-tests --beside SECONDS
       live-tests --soak SECONDS [--seed N]

Tests rss-drift on the running kernel; needs root. With parts of names: the tests whose names hold one of them.

  --without LIST         leave out the tests whose names hold one of these parts, separated by commas
  --list                 print the names and end
  --repeat N             run everything N times
  --timeout SECONDS      kill a test after this time (300)
  --allow-skips LIST     reasons for which a test may be skipped, separated by commas, `none` for none; without it, every
                         reason that the kernel confirms
  --beside SECONDS       instead of the tests: watch whatever runs on this host and check every row
  --soak SECONDS         instead of the tests: random orders to processes of our own, every invariant checked each second

Exit: 0 when no test failed, 1 when one did, 2 usage. The last line is `N passed, N failed, N skipped`.";

/// What the command line says.
#[derive(Debug)]
pub struct Options {
    /// Print [`USAGE`].
    pub help: bool,
    /// Print names only.
    pub list: bool,
    /// Rounds.
    pub repeat: u32,
    /// Longest time of one test.
    pub timeout: Duration,
    allowed: Option<Vec<Reason>>,
    parts: Vec<String>,
    without: Vec<String>,
}

impl Options {
    /// Parses everything after the program's name.
    pub fn parse(arguments: &[OsString]) -> Result<Self, String> {
        let mut options = Self {
            help: false,
            list: false,
            repeat: 1,
            timeout: Duration::from_secs(300),
            allowed: None,
            parts: Vec::new(),
            without: Vec::new(),
        };
        let mut words = arguments.iter().map(|word| word.to_string_lossy());
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            match word.as_ref() {
                "-h" | "--help" => options.help = true,
                "--list" => options.list = true,
                "--without" => options.without.extend(value()?.split(',').map(str::to_owned)),
                "--repeat" => options.repeat = number(&value()?)?,
                "--timeout" => options.timeout = Duration::from_secs(number(&value()?)?.into()),
                "--allow-skips" => options.allowed = Some(reasons(&value()?)?),
                option if option.starts_with('-') => return Err(format!("unknown option {option}")),
                part => options.parts.push(part.to_owned()),
            }
        }
        Ok(options)
    }

    /// Whether a test of this name is to run.
    pub fn selects(&self, name: &str) -> bool {
        let holds = |part: &String| name.contains(part.as_str());
        (self.parts.is_empty() || self.parts.iter().any(holds)) && !self.without.iter().any(holds)
    }

    /// A part that is to be left out and that no test's name holds: the test has another name now, and would run unnoticed.
    pub fn leaves_out_nothing(&self, tests: &[Test]) -> Option<&str> {
        let is_there = |part: &str| tests.iter().any(|(name, _)| name.contains(part));
        self.without.iter().map(String::as_str).find(|part| !is_there(part))
    }

    /// Whether a test may be skipped for this reason.
    pub fn allows(&self, reason: Reason) -> bool {
        self.allowed.as_ref().is_none_or(|allowed| allowed.contains(&reason))
    }
}

fn number(text: &str) -> Result<u32, String> {
    text.parse().ok().filter(|&number| number > 0).ok_or_else(|| format!("{text:?} is not a number above 0"))
}

fn reasons(list: &str) -> Result<Vec<Reason>, String> {
    if list == "none" {
        return Ok(Vec::new());
    }
    list.split(',')
        .map(|name| {
            Reason::ALL.into_iter().find(|reason| reason.name() == name).ok_or_else(|| {
                let valid = Reason::ALL.map(Reason::name).join(", ");
                format!("{name:?} is no reason for a skip; valid are: none, {valid}")
            })
        })
        .collect()
}
