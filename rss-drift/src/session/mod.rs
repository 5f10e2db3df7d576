//! Start-up: every check that `doctor` prints, and, when all that is needed is there, a probe that measures.

mod bounds;
mod cost;
mod guard;
mod inherited;
mod open;
mod signals;

use std::fmt::Write as _;

use crate::{
    drift::{behaviour::Precisions, collect::Rules, sample::Host},
    kernel::{
        Kernel,
        checks::{Check, State, host_checks},
        tunables::ticks_per_second,
    },
    probe::{FullOptions, Probe, Publish, heap},
    proc::{Source, Wanted, boottime_offset, read_line},
};
use open::{FULL_MODE, Opened, PASSIVE_DOES, PASSIVE_MEASURES, PROC_FILES, open};

pub use cost::CpuClock;
pub use guard::OverheadGuard;
pub use heap::give_memory_back;
pub use inherited::Inherited;
pub use signals::{Event, Grace, Signals, hold};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The iterator only: nothing is attached to a hot path.
    Passive,
    /// The shadow too, where the kernel has what that takes; else passive.
    Full(FullOptions),
}

impl Mode {
    /// When full mode publishes updates.
    #[must_use]
    pub fn publish(&self) -> Publish {
        match self {
            Self::Passive => Publish::default(),
            Self::Full(options) => options.publish,
        }
    }
}

/// A running measurement: the kernel's facts and the BPF programs in it.
#[derive(Debug)]
pub struct Session {
    pub kernel: Kernel,
    pub probe: Probe,
    /// Which files of /proc are exact here.
    pub precisions: Precisions,
}

/// What start-up found.
#[derive(Debug)]
pub struct Startup {
    /// Every check, in the order in which it was made. A check that cannot be made after an earlier failure is absent.
    pub checks: Vec<Check>,
    session: Option<Session>,
}

/// Measuring cannot work: each failed check with its remedy.
#[derive(Debug, thiserror::Error)]
#[error("cannot measure:{0}")]
pub struct CannotMeasure(String);

impl Startup {
    /// Makes all checks and opens the probe. Must be called while this process has one thread (it forks a child).
    #[must_use]
    pub fn check(mode: Mode) -> Self {
        heap::keep_large_blocks_apart();
        let mut checks = host_checks();
        let full = match mode {
            Mode::Passive => None,
            Mode::Full(options) => Some(options),
        };
        let session = open(full.as_ref(), &mut checks).map(|Opened { kernel, probe, precisions }| Session {
            kernel,
            probe,
            precisions,
        });
        Self { checks, session }
    }

    /// Whether measuring works.
    #[must_use]
    pub const fn works(&self) -> bool {
        self.session.is_some()
    }

    /// The session. Full mode that was asked for and cannot be had goes to the log.
    ///
    /// # Errors
    /// With every failed check and its remedy.
    pub fn session(self) -> Result<Session, CannotMeasure> {
        if let Some(check) = self.checks.iter().find(|check| check.name == PROC_FILES) {
            warn(check);
        }
        let passive = self.session.as_ref().is_none_or(|session| session.probe.full_mode().is_none());
        let passive = |check: &&Check| passive && check.name == FULL_MODE && check.state == State::Warning;
        if let Some(check) = self.checks.iter().find(passive) {
            warn(check);
        }
        self.session.ok_or_else(|| CannotMeasure::because(&self.checks))
    }

    /// The session, for who can do nothing with passive mode.
    ///
    /// # Errors
    /// Also with what stands in the way of full mode.
    pub fn full_session(mut self) -> Result<Session, CannotMeasure> {
        if self.session.as_ref().is_some_and(|session| session.probe.full_mode().is_none()) {
            self.session = None;
            for check in self.checks.iter_mut().filter(|check| check.name == FULL_MODE) {
                check.state = State::Failed;
                let found = check.found.strip_suffix(PASSIVE_MEASURES).unwrap_or(&check.found);
                check.found = found.to_owned();
                if let Some(remedy) = &mut check.remedy {
                    *remedy = remedy.strip_suffix(PASSIVE_DOES).unwrap_or(remedy).to_owned();
                }
            }
        }
        self.session()
    }
}

impl CannotMeasure {
    /// Of the checks that failed.
    fn because(checks: &[Check]) -> Self {
        let mut text = String::new();
        for Check { name, found, remedy, .. } in checks.iter().filter(|check| check.state == State::Failed) {
            // Writing to a String cannot fail.
            let _ = write!(text, "\n  {name}: {found}");
            if let Some(remedy) = remedy {
                let _ = write!(text, "\n    remedy: {remedy}");
            }
        }
        Self(text)
    }
}

/// Says a check's warning.
fn warn(Check { name, state, found, remedy }: &Check) {
    if *state == State::Warning {
        log::warn!("{name}: {found}; remedy: {}", remedy.as_deref().unwrap_or("none"));
    }
}

impl Session {
    /// What rows are made by, with this file as the reported one.
    #[must_use]
    pub fn rules(&self, source: Source, wanted: Wanted) -> Rules {
        Rules {
            source,
            precisions: self.precisions,
            accounting: self.kernel.accounting,
            cpus: self.kernel.cpus.clone(),
            pages_per_fault: self.kernel.fault_around.pages(self.kernel.page_size),
            caches: self.kernel.caches(),
            page_size: self.kernel.page_size,
            pending_limit: 0,
            ticks_per_second: ticks_per_second(),
            boottime_offset: boottime_offset(),
            wanted,
        }
    }

    /// What stands in every row of a CSV file.
    #[must_use]
    pub fn host(&self) -> Host {
        let hostname = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned());
        Host {
            hostname: hostname.unwrap_or_default(),
            boot_id: read_line("/proc/sys/kernel/random/boot_id").unwrap_or_default(),
            kernel: self.kernel.release.clone(),
            accounting: self.kernel.accounting,
            mode: if self.probe.full_mode().is_some() { "full" } else { "passive" },
            step_down: None,
            page_size: self.kernel.page_size,
        }
    }
}
