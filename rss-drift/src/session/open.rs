//! Opening a probe: each step a check, each failure with its cause and its own remedy.

use std::{io, path::Path};

use super::bounds::{batching, bounds};
use crate::{
    drift::behaviour::{Precisions, find_precisions},
    kernel::{
        Kernel, KernelError,
        checks::{Check, State},
        refusal::{Cause, Surroundings},
        room::{self, Room},
    },
    probe::{FullOptions, Probe, ProbeError},
    proc::{NoMemory, Precision, why_no_memory, with_any_pid, with_memory},
};

/// What measures.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) kernel: Kernel,
    pub(super) probe: Probe,
    pub(super) precisions: Precisions,
}

/// Finds out about the kernel and loads the BPF programs; of full mode with these options, where it is wanted. Each step is a check.
pub(super) fn open(full: Option<&FullOptions>, checks: &mut Vec<Check>) -> Option<Opened> {
    let surroundings = Surroundings::read();
    let kernel = match Kernel::detect() {
        Ok(kernel) => kernel,
        Err(error) => {
            checks.push(unknown_kernel(&error, &surroundings));
            return None;
        }
    };
    checks.push(Check::ok("btf", "all structs and members found"));
    checks.push(Check::ok("accounting", kernel.accounting.name()));
    if checks.iter().any(|check| check.state == State::Failed) {
        // The kernel would refuse with less to say than the failed check says.
        return None;
    }
    let (probe, checked) = full.map_or((None, None), |options| open_full(options, &kernel, &surroundings));
    let mut probe = match probe.map_or_else(|| Probe::open(&kernel), Ok) {
        Ok(probe) => probe,
        Err(error) => {
            // What full mode was refused for is told by this too.
            let (found, remedy) = told(&error, &surroundings);
            checks.push(Check::failed(ITERATOR, found, remedy));
            return None;
        }
    };
    match look_around(&mut probe) {
        Ok(check) => checks.push(check),
        Err(error) => {
            let (found, remedy) = match error.downcast_ref() {
                Some(error) => told(error, &surroundings),
                None => (error.to_string(), REPORT.to_owned()),
            };
            checks.push(Check::failed(ITERATOR, found, remedy));
            return None;
        }
    }
    checks.extend(checked);
    let precisions = precisions(&mut probe, &kernel, checks);
    checks.push(bounds(&kernel, precisions));
    Some(Opened { kernel, probe, precisions })
}

/// A kernel whose types or CPUs cannot be read.
fn unknown_kernel(error: &KernelError, surroundings: &Surroundings) -> Check {
    const NAME: &str = "btf";
    let unread = error.unread();
    if let Some(cause) =
        unread.and_then(io::Error::raw_os_error).and_then(|number| surroundings.cause(number, ""))
    {
        return Check::failed(NAME, format!("{error}: {}", cause.found), cause.remedy);
    }
    let remedy = if error.is_of_a_file() {
        "leave --btf out, or give it the running kernel's own vmlinux: an ELF file with its build ID"
    } else if unread.is_some() && !Path::new("/sys/kernel").exists() {
        "sudo mount -t sysfs sysfs /sys"
    } else {
        "boot a kernel built with CONFIG_DEBUG_INFO_BTF=y (every Debian kernel since 11 is); \
         if this one is, please report its version"
    };
    Check::failed(NAME, error.to_string(), remedy)
}

/// The error with its cause, and what helps.
fn told(error: &ProbeError, surroundings: &Surroundings) -> (String, String) {
    let cause = error.number().and_then(|number| surroundings.cause(number, &error.verifier()));
    match cause {
        Some(Cause { found, remedy }) => (format!("{error}: {found}"), remedy),
        // Nothing was refused: the kernel's types lack what the BPF program attaches to.
        None if error.number().is_none() && matches!(error, ProbeError::Program { .. }) => (
            error.to_string(),
            "boot a kernel of 5.10 or later with CONFIG_BPF_EVENTS=y (every Debian kernel since 11)"
                .to_owned(),
        ),
        None => (error.to_string(), REPORT.to_owned()),
    }
}

/// Where the cause is not known.
const REPORT: &str =
    "rss-drift doctor -v shows what the verifier says of it; please report that with the kernel's version";

/// Name of the check of the iterator.
const ITERATOR: &str = "iterator";
/// Name of the check of full mode.
pub(super) const FULL_MODE: &str = "full-mode";
/// What follows where full mode cannot be had.
pub(super) const PASSIVE_MEASURES: &str = ": passive mode measures";
/// What else helps then, at the end of a remedy.
pub(super) const PASSIVE_DOES: &str = "; --passive does without";

/// The probe of full mode, where that is wanted and possible, and the check that says why not.
fn open_full(
    options: &FullOptions,
    kernel: &Kernel,
    surroundings: &Surroundings,
) -> (Option<Probe>, Option<Check>) {
    const NAME: &str = FULL_MODE;
    if !kernel.caches() {
        let found = "the kernel has no CONFIG_SMP and caches nothing that a shadow could follow";
        return (
            None,
            Some(Check::warning(
                NAME,
                format!("{found}{PASSIVE_MEASURES}"),
                "none is needed: the exact figures are right all the same",
            )),
        );
    }
    if let Some(check) = room::of_this_process().and_then(|room| no_room(&room)) {
        return (None, Some(check));
    }
    let live = with_any_pid().unwrap_or(0);
    let bound = batching(kernel).bound(Precision::Approximate, 1);
    match Probe::open_full(kernel, options, live, bound) {
        Ok(probe) => {
            let check = attached(&probe);
            (Some(probe), Some(check))
        }
        Err(error) => {
            let (found, remedy) = told(&error, surroundings);
            (None, Some(Check::warning(NAME, found + PASSIVE_MEASURES, remedy)))
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
                "{} allows {} MiB, of which {} MiB are free; the kernel may take {} MiB of them to verify the BPF programs\
                 {PASSIVE_MEASURES}",
                room.file.display(),
                mib(room.limit),
                mib(room.bytes),
                mib(room::FULL_MODE_NEEDS)
            ),
            format!(
                "echo {} >{}, or start rss-drift outside of this control group{PASSIVE_DOES}",
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
    const NAME: &str = ITERATOR;
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
pub(super) const PROC_FILES: &str = "proc-files";

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
