//! Why the BPF programs could not be loaded or read.

use std::{error::Error, io};

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
    #[error("kernel {kernel} refuses the BPF program {program}: {}", plain(.error))]
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
        let words = log_of(&error);
        if !words.is_empty() {
            log::info!("the verifier's last words on {program}:\n{words}");
        }
        Self::Program { kernel: kernel.to_owned(), program, error }
    }
}

impl ProbeError {
    /// The kernel's error number, where the error is one of the kernel's.
    #[must_use]
    pub fn number(&self) -> Option<i32> {
        match self {
            Self::Object(error) => number_of(error),
            Self::NoMap { error, .. } | Self::Table { error, .. } | Self::Read(error) => error.raw_os_error(),
            Self::Program { error, .. } | Self::Attach { error, .. } => number_of(error),
            Self::Map { error, .. } => number_of(error),
            Self::Link(error) => number_of(error),
            Self::Btf(error) => number_of(error),
            _ => None,
        }
    }

    /// What the verifier said last; empty where it said nothing.
    #[must_use]
    pub fn verifier(&self) -> String {
        if let Self::Program { error, .. } = self { log_of(error) } else { String::new() }
    }
}

impl From<aya::EbpfError> for ProbeError {
    fn from(error: aya::EbpfError) -> Self {
        match error {
            aya::EbpfError::MapError(MapError::CreateError { name, io_error }) => {
                Self::NoMap { map: name, error: io_error }
            }
            // Whatever the kernel has an error number for is not the object's fault.
            aya::EbpfError::BtfError(error) if number_of(&error).is_some() => Self::Btf(error),
            error => Self::Object(error),
        }
    }
}

/// What the kernel said of a BPF program, without the verifier's log, which is hundreds of lines in aya's own text.
fn plain(error: &ProgramError) -> String {
    match error {
        ProgramError::LoadError { io_error, .. } => io_error.to_string(),
        ProgramError::SyscallError(error) => format!("{error}: {}", error.io_error),
        error => error.to_string(),
    }
}

/// The end of the verifier's log, where there is one: the reason of a refusal stands there.
fn log_of(error: &ProgramError) -> String {
    const LINES: usize = 12;
    let ProgramError::LoadError { verifier_log, .. } = error else { return String::new() };
    let log = verifier_log.to_string();
    let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

/// The error number at the end of an error's sources.
fn number_of(error: &(dyn Error + 'static)) -> Option<i32> {
    let mut error = Some(error);
    while let Some(one) = error {
        if let Some(number) = one.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            return Some(number);
        }
        error = one.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use aya_obj::VerifierLog;

    use super::*;

    fn refused(log: &str) -> ProbeError {
        let io_error = io::Error::from_raw_os_error(libc::EACCES);
        let verifier_log = VerifierLog::new(log.to_owned());
        ProbeError::program("6.18", "rss_percpu", ProgramError::LoadError { io_error, verifier_log })
    }

    #[test]
    fn the_verifiers_log_is_not_part_of_the_message() {
        let log = (0..40).fold(String::new(), |log, line| format!("{log}{line}: (b7) r0 = 0\n\n"))
            + "invalid access\n";
        let error = refused(&log);
        assert_eq!(
            error.to_string(),
            "kernel 6.18 refuses the BPF program rss_percpu: Permission denied (os error 13)"
        );
        let words = error.verifier();
        assert!(words.lines().count() == 12 && words.ends_with("39: (b7) r0 = 0\ninvalid access"), "{words}");
        assert_eq!(error.number(), Some(libc::EACCES));
        assert_eq!(refused("").verifier(), "");
    }

    #[test]
    fn the_kernels_error_is_found_below_others() {
        let io_error = io::Error::from_raw_os_error(libc::EMFILE);
        let create = MapError::CreateError { name: "STATES".to_owned(), io_error };
        assert_eq!(ProbeError::from(aya::EbpfError::MapError(create)).number(), Some(libc::EMFILE));
        let io_error = io::Error::from_raw_os_error(libc::ENOMEM);
        let load = aya::BtfError::LoadError { io_error, verifier_log: VerifierLog::new(String::new()) };
        let error = ProbeError::from(aya::EbpfError::BtfError(load));
        assert_eq!(error.number(), Some(libc::ENOMEM));
        assert!(!error.to_string().contains("rebuild"), "{error}");
        assert_eq!(ProbeError::Missing("x").number(), None);
    }
}
