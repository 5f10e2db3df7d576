//! What is compared: the ways to follow RSS, each in turn.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, Result};
use rss_drift::{
    probe::{EndOfMm, FaultPrograms, FullOptions},
    session::{Mode, Session, Startup},
};

use super::{
    peers::{Attached, Peers},
    perf,
    tracing::{Instance, ensure_tracefs},
};
use crate::programs::{Running, program, start};

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contender {
    /// Nothing: what the work costs by itself.
    Nothing,
    /// BPF programs that do nothing, on the hooks of full mode.
    Empty,
    /// As `Empty`, on page faults too.
    EmptyFaults,
    /// `rss-drift --passive`, which reads once a second.
    Passive,
    /// Full mode.
    Full,
    /// Full mode with BPF programs on page faults too.
    FullFaults,
    /// A BPF program on the classic tracepoint that counts in a hash.
    Classic,
    /// The event in ftrace's buffer.
    Ftrace,
    /// The event in perf's buffer.
    Perf,
}

impl Contender {
    /// Its name in the figures.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Empty => "empty",
            Self::EmptyFaults => "empty-faults",
            Self::Passive => "passive",
            Self::Full => "full",
            Self::FullFaults => "full-faults",
            Self::Classic => "classic",
            Self::Ftrace => "ftrace",
            Self::Perf => "perf",
        }
    }
}

/// What they need.
pub struct Contenders {
    command: PathBuf,
    peers: Peers,
    instance: Instance,
}

impl Contenders {
    /// Prepares all of them; nothing is attached. `command` is rss-drift. This process must have one thread.
    pub fn new(command: &Path) -> Result<Self> {
        ensure_tracefs()?;
        let instance = Instance::make()?;
        Ok(Self { command: command.to_owned(), peers: load_peers()?, instance })
    }

    /// Loads the BPF programs that are held against ours anew: what a BPF program costs changes with the place that it gets.
    pub fn reload(&mut self) -> Result<()> {
        self.peers = load_peers()?;
        Ok(())
    }

    /// Starts one; it ends when what is returned is dropped.
    pub fn start(&mut self, contender: Contender) -> Result<Attached> {
        let started: Result<Attached> = match contender {
            Contender::Nothing => Ok(Box::new(())),
            Contender::Empty | Contender::EmptyFaults => {
                self.peers.attach_empty(contender == Contender::EmptyFaults)
            }
            Contender::Passive => passive(&self.command).map(|program| Box::new(program) as _),
            Contender::Full => full(FaultPrograms::Needed).map(|session| Box::new(session) as _),
            Contender::FullFaults => full(FaultPrograms::Always).map(|session| Box::new(session) as _),
            Contender::Classic => self.peers.attach_classic(),
            Contender::Ftrace => self.instance.switch_on().map(|event| Box::new(event) as _),
            Contender::Perf => perf::record().map(|program| Box::new(program) as _),
        };
        started.with_context(|| format!("starting {}", contender.name()))
    }

    /// The BPF programs that are held against ours.
    pub const fn peers(&self) -> &Peers {
        &self.peers
    }
}

fn load_peers() -> Result<Peers> {
    let session = full(FaultPrograms::Always)?;
    Peers::load(end_of_mm(&session)?, hooks(&session))
}

/// Full mode as `watch` has it: attached, and all mms read once.
pub fn full(faults: FaultPrograms) -> Result<Session> {
    let mut session =
        Startup::check(Mode::Full(FullOptions { faults, ..FullOptions::default() })).session()?;
    end_of_mm(&session)?;
    session.probe.snapshot()?;
    Ok(session)
}

/// BPF programs with a hook: all that are loaded but one, the iterator.
pub fn hooks(session: &Session) -> usize {
    session.probe.program_statistics().len().saturating_sub(1)
}

/// How full mode sees the end of an mm here.
pub fn end_of_mm(session: &Session) -> Result<EndOfMm> {
    let (_, end) =
        session.probe.full_mode().context("this kernel has no full mode: `rss-drift doctor` says why")?;
    Ok(end)
}

/// The daemon, from its first report on.
fn passive(command: &Path) -> Result<Running> {
    let arguments = ["watch", "--passive", "--interval", "1"];
    let mut daemon = Running(start(program(command, &arguments).stdout(Stdio::piped()))?);
    let output = daemon.0.stdout.as_mut().context("no pipe to rss-drift")?;
    // Its few reports fit into the pipe.
    output.read_exact(&mut [0]).context("rss-drift printed nothing: its message is above")?;
    Ok(daemon)
}
