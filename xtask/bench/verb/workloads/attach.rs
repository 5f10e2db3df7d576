//! rss-drift beside a workload: nothing, passive mode or full mode, watching the whole host as a user would let it.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{ChildStdout, Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::Value;

use super::group::{Group, Stop};

/// A start takes a fraction of a second.
const START: Duration = Duration::from_secs(60);

/// What runs beside a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Nothing of ours.
    Nothing,
    /// `rss-drift watch --passive`.
    Passive,
    /// `rss-drift watch`.
    Full,
}

impl Mode {
    /// All, in the order of the tables.
    pub(crate) const ALL: [Self; 3] = [Self::Nothing, Self::Passive, Self::Full];

    /// As rows of `rss-drift watch` have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Passive => "passive",
            Self::Full => "full",
        }
    }

    /// Its options of `rss-drift watch`.
    fn options(self) -> &'static [&'static str] {
        match self {
            Self::Nothing => &[],
            Self::Passive => &["--passive"],
            // Full mode that stepped down to passive mode would be measured as cheap.
            Self::Full => &["--max-overhead", "100"],
        }
    }
}

/// rss-drift, attached. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Beside {
    mode: Mode,
    group: Group,
    reader: JoinHandle<Result<BTreeSet<String>>>,
}

impl Beside {
    /// Starts it and waits for its first report: everything is attached then. `None`: nothing is to run.
    pub(crate) fn start(mode: Mode, program: &Path, stop: &Stop) -> Result<Option<Self>> {
        if mode == Mode::Nothing {
            return Ok(None);
        }
        let mut command = Command::new(program);
        command.args(["watch", "--format", "jsonl"]).args(mode.options()).stdout(Stdio::piped());
        let mut group = Group::start(&mut command, "rss-drift watch")?;
        let stdout = group.stdout()?;
        let (send, first) = mpsc::channel();
        let reader = thread::spawn(move || modes(stdout, &send));
        let beside = Self { mode, group, reader };
        let begin = Instant::now();
        loop {
            match first.recv_timeout(Duration::from_millis(20)) {
                Ok(()) => return Ok(Some(beside)),
                Err(RecvTimeoutError::Disconnected) => {
                    bail!("rss-drift watch ended before its first report; its message is above")
                }
                Err(RecvTimeoutError::Timeout) if begin.elapsed() > START => {
                    bail!("rss-drift watch made no report within {} s", START.as_secs())
                }
                Err(RecvTimeoutError::Timeout) => stop.check()?,
            }
        }
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.group.id()
    }

    /// Ends it. An error when it was not in its mode all the time: that round says nothing.
    pub(crate) fn end(mut self) -> Result<()> {
        self.group.signal(libc::SIGINT);
        let status = self.group.wait_for_a_while()?;
        let seen = self.reader.join().map_err(|_| anyhow!("reading from rss-drift watch panicked"))??;
        if !status.success() {
            bail!("rss-drift watch failed ({status}); its message is above");
        }
        if seen.iter().map(String::as_str).ne([self.mode.name()]) {
            bail!("rss-drift watch was to be in {} mode and was in {seen:?}", self.mode.name());
        }
        Ok(())
    }
}

/// The modes that the rows tell, to the end of the stream. The first row is announced.
fn modes(stdout: ChildStdout, first: &Sender<()>) -> Result<BTreeSet<String>> {
    let mut seen = BTreeSet::new();
    for line in BufReader::new(stdout).lines() {
        let line = line.context("cannot read from rss-drift watch")?;
        let row: Value =
            serde_json::from_str(&line).with_context(|| format!("rss-drift watch printed {line:?}"))?;
        if let Some(mode) = row["mode"].as_str() {
            seen.insert(mode.to_owned());
        }
        // Nobody listens after the first.
        let _ = first.send(());
    }
    Ok(seen)
}
