//! Why the BPF programs could not be loaded or read.

use std::io;

use aya::{
    maps::MapError,
    programs::{ProgramError, links::LinkError},
};

use crate::kernel::KernelError;

/// Why the BPF programs could not be loaded or read.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The object is not one this aya can load: a broken build.
    #[error("cannot load the BPF programs: {0:#}; rebuild rss-drift")]
    Object(aya::EbpfError),
    /// The kernel refused to make a map: there is no memory for it, or a limit is in the way.
    #[error("the kernel refuses the BPF map {map}: {error}")]
    NoMap { map: String, error: io::Error },
    /// aya could not use the kernel's BTF.
    #[error("the kernel's type information (BTF) cannot be used: {0}")]
    Btf(#[from] aya::BtfError),
    /// The object lacks a BPF program or map that this code names: a broken build.
    #[error("the BPF programs lack {0:?}; rebuild rss-drift")]
    Missing(&'static str),
    /// The object is no ELF file: a broken build.
    #[error("cannot read the object with the BPF programs: {0}; rebuild rss-drift")]
    NoElf(object::Error),
    /// The object's code is not what the figures can be put into: a broken build.
    #[error("the BPF programs have no place for the kernel's figures; rebuild rss-drift")]
    Unlinked,
    /// The object wants a figure that this program does not have: a broken build.
    #[error("the BPF programs want the unknown figure {0:#x}; rebuild rss-drift")]
    Mark(u16),
    /// A field lies too far from the start of its struct.
    #[error("a field of a kernel struct is at offset {0}, but a load in a BPF program reaches only {max}", max = i16::MAX)]
    Offset(u32),
    /// The kernel's structs are not what `run` knows.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    #[error("kernel {kernel} refuses the BPF program {program}: {}", refusal(.error))]
    Program { kernel: String, program: &'static str, error: ProgramError },
    #[error("cannot write the BPF map {map}: {error}")]
    Map { map: &'static str, error: MapError },
    #[error("cannot read or write the BPF map {table}: {error}")]
    Table { table: &'static str, error: io::Error },
    #[error("cannot start the task iterator {program}: {error}")]
    Attach { program: &'static str, error: ProgramError },
    #[error("cannot open the task iterator: {0}")]
    Link(#[from] LinkError),
    #[error("cannot read the task iterator: {0}")]
    Read(#[from] io::Error),
    /// What the iterator wrote is not whole records.
    #[error("the task iterator wrote {0} bytes, not a whole number of records; rebuild rss-drift")]
    Torn(usize),
    /// A CPU whose per-CPU memory was not found.
    #[error("cannot find the per-CPU memory of CPU {0} on kernel {1}, so its slots cannot be read")]
    NoOffset(u32, String),
}

impl ProbeError {
    /// A BPF program that the kernel refused.
    pub(super) fn program(kernel: &str, program: &'static str, error: ProgramError) -> Self {
        Self::Program { kernel: kernel.to_owned(), program, error }
    }
}

impl From<aya::EbpfError> for ProbeError {
    fn from(error: aya::EbpfError) -> Self {
        match error {
            aya::EbpfError::MapError(MapError::CreateError { name, io_error }) => {
                Self::NoMap { map: name, error: io_error }
            }
            error => Self::Object(error),
        }
    }
}

/// What the kernel said of a BPF program, with the last lines of the verifier's log, where there is one: the reason of a
/// refusal stands there. (aya's own text holds the whole log: hundreds of lines.)
fn refusal(error: &ProgramError) -> String {
    const LINES: usize = 6;
    let ProgramError::LoadError { io_error, verifier_log } = error else { return error.to_string() };
    let log = verifier_log.to_string();
    let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(LINES)..]
        .iter()
        .fold(io_error.to_string(), |text, line| text + "\n    " + line)
}
