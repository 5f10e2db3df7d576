//! The BPF programs, by their names: loaded and attached.

use aya::{
    Btf, Ebpf,
    programs::{Iter, Program, ProgramError},
};

use super::error::ProbeError;

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
    iterator(ebpf, name)?.load("task", btf).map_err(|error| ProbeError::program(kernel, name, error))
}

/// Loads one BPF program of fentry or of a tracepoint, and attaches it to `target`.
pub(super) fn attach(
    ebpf: &mut Ebpf,
    btf: &Btf,
    name: &'static str,
    target: &str,
    kernel: &str,
) -> Result<(), ProbeError> {
    let failed = |error| ProbeError::program(kernel, name, error);
    match ebpf.program_mut(name).ok_or(ProbeError::Missing(name))? {
        Program::FEntry(program) => {
            program.load(target, btf).map_err(failed)?;
            program.attach().map_err(failed)?;
        }
        Program::BtfTracePoint(program) => {
            program.load(target, btf).map_err(failed)?;
            program.attach().map_err(failed)?;
        }
        _ => return Err(ProbeError::Missing(name)),
    }
    Ok(())
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
