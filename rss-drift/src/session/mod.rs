//! Start-up: every check that `doctor` prints, and, when all that is needed is there, a probe that measures.

mod cost;
mod guard;
mod inherited;
mod signals;

use std::fmt::{Display, Write as _};

use rss_drift_common::Member;

use crate::{
    drift::{
        behaviour::{Precisions, find_precisions},
        bounds::Batching,
        collect::Rules,
        sample::Host,
    },
    kernel::{
        Accounting, Kernel,
        checks::{Check, State, host_checks},
        room::{self, Room},
        tunables::ticks_per_second,
    },
    probe::{FullOptions, Probe, ProbeError, Publish, heap},
    proc::{
        NoMemory, Precision, Source, Wanted, boottime_offset, read_line, why_no_memory, with_any_pid,
        with_memory,
    },
};

pub use cost::CpuClock;
pub use guard::OverheadGuard;
pub use heap::give_memory_back;
pub use inherited::Inherited;
pub use signals::{Event, Signals, hold};

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
        let session = open(mode, &mut checks);
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
        self.session.ok_or_else(|| {
            let mut text = String::new();
            for check in self.checks.iter().filter(|check| check.state == State::Failed) {
                // Writing to a String cannot fail.
                let _ = write!(text, "\n  {}: {}", check.name, check.found);
                if let Some(remedy) = &check.remedy {
                    let _ = write!(text, "\n    remedy: {remedy}");
                }
            }
            CannotMeasure(text)
        })
    }
}

/// Says a check's warning.
fn warn(Check { name, state, found, remedy }: &Check) {
    if *state == State::Warning {
        log::warn!("{name}: {found}; remedy: {}", remedy.as_deref().unwrap_or("none"));
    }
}

fn open(mode: Mode, checks: &mut Vec<Check>) -> Option<Session> {
    let kernel = match Kernel::detect() {
        Ok(kernel) => kernel,
        Err(error) => {
            checks.push(Check::failed(
                "btf",
                error.to_string(),
                "boot a kernel built with CONFIG_DEBUG_INFO_BTF=y (every Debian kernel since 11 is); \
                 if this one is, please report its version",
            ));
            return None;
        }
    };
    checks.push(Check::ok("btf", "all structs and members found"));
    checks.push(Check::ok("accounting", kernel.accounting.name()));
    if checks.iter().any(|check| check.state == State::Failed) {
        // The kernel would refuse with less to say than the failed check says.
        return None;
    }
    let iterator_failed = |error: &dyn Display| {
        Check::failed(
            "iterator",
            error.to_string(),
            "boot a kernel from 5.10 on with CONFIG_BPF_SYSCALL=y and CONFIG_BPF_JIT=y",
        )
    };
    let (full, checked) = open_full(mode, &kernel);
    let mut probe = match full.map_or_else(|| Probe::open(&kernel), Ok) {
        Ok(probe) => probe,
        Err(error) => {
            checks.push(iterator_failed(&error));
            return None;
        }
    };
    match look_around(&mut probe) {
        Ok(check) => checks.push(check),
        Err(error) => {
            checks.push(iterator_failed(&error));
            return None;
        }
    }
    checks.extend(checked);
    let precisions = precisions(&mut probe, &kernel, checks);
    checks.push(bounds(&kernel, precisions));
    Some(Session { kernel, probe, precisions })
}

/// Name of the check of full mode.
const FULL_MODE: &str = "full-mode";

/// The probe of full mode, where that is wanted and possible, and the check that says why not.
fn open_full(mode: Mode, kernel: &Kernel) -> (Option<Probe>, Option<Check>) {
    const NAME: &str = FULL_MODE;
    let Mode::Full(options) = mode else { return (None, None) };
    if !kernel.caches() {
        let found = "the kernel has no CONFIG_SMP and caches nothing that a shadow could follow: passive mode measures";
        return (
            None,
            Some(Check::warning(NAME, found, "none is needed: the exact figures are right all the same")),
        );
    }
    if let Some(check) = room::of_this_process().and_then(|room| no_room(&room)) {
        return (None, Some(check));
    }
    let live = with_any_pid().unwrap_or(0);
    let bound = batching(kernel).bound(Precision::Approximate, 1);
    match Probe::open_full(kernel, &options, live, bound) {
        Ok(probe) => {
            let check = attached(&probe);
            (Some(probe), Some(check))
        }
        Err(error) => {
            let remedy = if let ProbeError::NoMap { .. } = error {
                "free memory, raise the control group's limit, or make the maps smaller (--max-mms, --max-memory)"
            } else {
                "boot a kernel with BTF tracepoints (CONFIG_BPF_EVENTS=y)"
            };
            (None, Some(Check::warning(NAME, format!("{error}: passive mode measures"), remedy)))
        }
    }
}

/// A control group that has no room for the start of full mode: the kernel would kill this process, or another of the group.
fn no_room(room: &Room) -> Option<Check> {
    let mib = |bytes: u64| bytes >> 20;
    (room.bytes < room::FULL_MODE_NEEDS).then(|| {
        Check::warning(
            FULL_MODE,
            format!(
                "{} allows {} MiB, of which {} MiB are free; the kernel may take {} MiB of them to verify the BPF programs: \
                 passive mode measures",
                room.file.display(),
                mib(room.limit),
                mib(room.bytes),
                mib(room::FULL_MODE_NEEDS)
            ),
            format!(
                "echo {} >{}, or start rss-drift outside of this control group; --passive does without",
                room.limit - room.bytes + room::FULL_MODE_NEEDS,
                room.file.display()
            ),
        )
    })
}

/// What full mode is like. Without fentry it works, but does not look at the end of every mm.
fn attached(probe: &Probe) -> Check {
    let Some((capacity, end)) = probe.full_mode() else { return Check::ok(FULL_MODE, "not attached") };
    let seen = format!("their end is seen by {}", end.name());
    let Some(why) = probe.no_fentry() else {
        return Check::ok(FULL_MODE, format!("attached; room for {capacity} mms; {seen}"));
    };
    let found = format!("attached; room for {capacity} mms; {why}; {seen}");
    match why.remedy() {
        Some(remedy) => Check::warning(FULL_MODE, found, remedy),
        // This kernel has no fentry, or something else is in its way that we do not know: nobody can do anything about it.
        None => Check::ok(FULL_MODE, found),
    }
}

/// Whether the iterator shows this very process and all others that have memory by /proc.
fn look_around(probe: &mut Probe) -> Result<Check, Box<dyn std::error::Error>> {
    const NAME: &str = "iterator";
    let before = probe.snapshot()?;
    let known = with_memory()?;
    let after = probe.snapshot()?;
    if after.process(std::process::id()).is_none() {
        return Err("it does not show rss-drift's own process".into());
    }
    let shown = |pid| before.process(pid).is_some() || after.process(pid).is_some();
    // Who is gone by now, or not yet born, is not hidden: ask once more.
    let hidden: Vec<_> = known
        .into_iter()
        .filter(|&pid| !shown(pid) && why_no_memory(pid) == NoMemory::Hidden(pid))
        .map(|pid| pid.to_string())
        .collect();
    if hidden.is_empty() {
        return Ok(Check::ok(NAME, format!("{} processes read", after.processes().len())));
    }
    Ok(Check::warning(
        NAME,
        format!(
            "{} processes read; {} more have memory, but the kernel does not show them: pid {}",
            after.processes().len(),
            hidden.len(),
            hidden.join(", ")
        ),
        "a security module may hide them: see its rules; until then they have no row and are in no sum",
    ))
}

/// Name of the check of which /proc files are exact.
const PROC_FILES: &str = "proc-files";

/// Which /proc files are exact; not knowing is no reason not to measure.
fn precisions(probe: &mut Probe, kernel: &Kernel, checks: &mut Vec<Check>) -> Precisions {
    const NAME: &str = PROC_FILES;
    if !kernel.caches() {
        checks.push(Check::ok(NAME, "all exact: the kernel has no CONFIG_SMP and caches nothing"));
        return Precisions::EXACT;
    }
    match find_precisions(probe, kernel.page_size) {
        Ok(precisions) if precisions.unknown().is_empty() => {
            checks.push(Check::ok(NAME, precisions.to_string()));
            precisions
        }
        Ok(precisions) => {
            checks.push(Check::warning(
                NAME,
                format!("{precisions}: no test told whether it is exact; {}", no_drift(precisions)),
                "start rss-drift again on a quieter host; another --source may be known",
            ));
            precisions
        }
        Err(error) => {
            checks.push(Check::warning(
                NAME,
                format!("{error}; {}", no_drift(Precisions::UNKNOWN)),
                "raise the limit that stops the child of this test: ulimit -u, pids.max of the control group, or a seccomp \
                 profile that refuses fork",
            ));
            Precisions::UNKNOWN
        }
    }
}

/// What follows where files are not known to be exact or approximate.
fn no_drift(precisions: Precisions) -> String {
    format!("no figure of {} is called drift", precisions.unknown().join(", "))
}

/// What bounds follow from on this kernel.
fn batching(kernel: &Kernel) -> Batching<'_> {
    Batching {
        accounting: kernel.accounting,
        cpus: &kernel.cpus,
        pages_per_fault: kernel.fault_around.pages(kernel.page_size),
        caches: kernel.caches(),
    }
}

fn bounds(kernel: &Kernel, precisions: Precisions) -> Check {
    let batching = batching(kernel);
    let kib = |pages: u64| pages.saturating_mul(kernel.page_size) / 1024;
    let mut of_each = Vec::new();
    for precision in [Precision::Approximate, Precision::Unknown, Precision::Exact] {
        let names: Vec<_> = Source::ALL
            .iter()
            .filter(|&&source| precisions.of(source) == precision)
            .map(|source| source.name())
            .collect();
        if names.is_empty() {
            continue;
        }
        let bound = batching.bound(precision, 1);
        let members = Member::RSS
            .map(|member| format!("{} {}", member.name(), kib(batching.member_bound(member, precision, 1))));
        let members = if bound == 0 { String::new() } else { format!(" ({})", members.join(", ")) };
        of_each.push(format!("{} {} KiB{members}", names.join(", "), kib(bound)));
    }
    let of_each = of_each.join(", ");
    let why = match kernel.accounting {
        Accounting::PerCpu if !kernel.caches() => {
            "no CONFIG_SMP: the kernel caches nothing, so nothing drifts".to_owned()
        }
        Accounting::PerCpu => {
            format!("{} CPUs online, batch {} pages", kernel.cpus.online.len(), kernel.cpus.batch())
        }
        Accounting::PerTask => format!(
            "for each task that uses the memory; a page fault on a file maps {} KiB{}; no bound for a process that receives \
             TCP by zerocopy",
            kernel.fault_around.bytes / 1024,
            if kernel.fault_around.known { "" } else { " (the default: debugfs does not show it)" },
        ),
    };
    Check::ok("bound", format!("{of_each}; {why}"))
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
