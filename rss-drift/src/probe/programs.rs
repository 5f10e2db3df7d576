//! The BPF programs, by their names: loaded and attached.

use aya::{
    Btf, Ebpf,
    programs::{Iter, Program, ProgramError},
};

use super::error::ProbeError;

/// What the iterators attach to: the kernel's walk of all tasks.
pub(super) const EACH_TASK: &str = "task";

/// The iterator of passive mode on per-task accounting; it reads every task's cache for `--where` too.
pub(super) const TASKS: &str = "rss_pertask";

/// The BPF program of this name as an iterator.
pub(super) fn iterator<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut Iter, ProbeError> {
    ebpf.program_mut(name)
        .and_then(|program| <&mut Iter>::try_from(program).ok())
        .ok_or(ProbeError::Missing(name))
}

/// Loads one `iter/task` program; on refusal aya tries once more with the verifier's log, for the message.
pub(super) fn load_iterator(
    ebpf: &mut Ebpf,
    name: &'static str,
    btf: &Btf,
    kernel: &str,
) -> Result<(), ProbeError> {
    let program = ebpf.program_mut(name).ok_or(ProbeError::Missing(name))?;
    load(program, name, EACH_TASK, btf, kernel)
}

/// Loads one BPF program, named `name`: an iterator, one of fentry on the function `target`, or one of the tracepoint `target`.
pub(super) fn load(
    program: &mut Program,
    name: &'static str,
    target: &str,
    btf: &Btf,
    kernel: &str,
) -> Result<(), ProbeError> {
    match program {
        Program::Iter(program) => program.load(target, btf),
        Program::FEntry(program) => program.load(target, btf),
        Program::BtfTracePoint(program) => program.load(target, btf),
        _ => return Err(ProbeError::Missing(name)),
    }
    .map_err(|error| ProbeError::program(kernel, name, error))
}

/// Attaches one BPF program of fentry or of a tracepoint; loads it where it is not loaded yet.
pub(super) fn attach(
    ebpf: &mut Ebpf,
    btf: &Btf,
    name: &'static str,
    target: &str,
    kernel: &str,
) -> Result<(), ProbeError> {
    let program = ebpf.program_mut(name).ok_or(ProbeError::Missing(name))?;
    if program.fd().is_err() {
        load(program, name, target, btf, kernel)?;
    }
    match program {
        Program::FEntry(program) => program.attach().map(drop),
        Program::BtfTracePoint(program) => program.attach().map(drop),
        _ => return Err(ProbeError::Missing(name)),
    }
    .map_err(|error| ProbeError::program(kernel, name, error))
}

/// Detaches and unloads a BPF program. One that is not loaded has nothing to unload.
pub(super) fn unload(program: &mut Program) -> Result<(), ProgramError> {
    let unloaded = match program {
        Program::FEntry(program) => program.unload(),
        Program::BtfTracePoint(program) => program.unload(),
        Program::Iter(program) => program.unload(),
        _ => Ok(()),
    };
    if matches!(unloaded, Err(ProgramError::NotLoaded)) { Ok(()) } else { unloaded }
}
