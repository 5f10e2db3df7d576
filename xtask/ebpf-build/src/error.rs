//! What can go wrong, each with what to do about it.

use std::{
    fmt::{self, Write as _},
    io,
    path::PathBuf,
    process::ExitStatus,
};

use crate::{
    compiler::{Compiler, MINIMUM_RUSTC},
    env::{BPF_LINKER_VARIABLE, RUSTC_VARIABLE},
    linker::Linker,
};

/// A compiler or linker that was looked at and cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The program.
    pub path: PathBuf,
    /// Why not.
    pub reason: String,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.reason)
    }
}

/// Why the eBPF object cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No compiler will do.
    #[error(
        "the eBPF programs need a Rust compiler with core's source (rustc {MINIMUM_RUSTC} or newer and its rust-src), \
         and there is none; `cargo xtask setup` gets one, {RUSTC_VARIABLE} names another{}", looked_at(.0)
    )]
    NoCompiler(Vec<Rejected>),
    /// No linker will do.
    #[error(
        "the eBPF programs need bpf-linker, and there is none; `cargo xtask setup` gets one, {BPF_LINKER_VARIABLE} \
         names another{}", looked_at(.0)
    )]
    NoLinker(Vec<Rejected>),
    /// Compilers and linkers, but none that fit each other.
    #[error(
        "every bpf-linker here has an older LLVM than every compiler with core's source, and would not understand it; \
         `cargo xtask setup` gets one that fits{}",
        both(compilers, linkers)
    )]
    NoPair {
        /// The compilers that were found.
        compilers: Vec<Compiler>,
        /// The linkers that were found.
        linkers: Vec<Linker>,
    },
    /// A program could not be started.
    #[error("cannot run {}: {error}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The eBPF programs do not compile or link.
    #[error("building the eBPF programs failed ({status}); the compiler's messages are above")]
    Build {
        /// How cargo ended.
        status: ExitStatus,
    },
    /// The build ended well and its product is not there.
    #[error(
        "the build made no eBPF object {}: no binary of the crate has this name", path.display()
    )]
    NoObject {
        /// Where it should be.
        path: PathBuf,
    },
    /// A file could not be read or written.
    #[error("cannot {what} {}: {error}", path.display())]
    File {
        /// What was tried: read, write, create.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// The programs that were looked at in vain, one a line.
fn looked_at(rejected: &[Rejected]) -> String {
    rejected.iter().fold(String::new(), |mut text, one| {
        let _ = write!(text, "\n  not {one}");
        text
    })
}

/// What was found, with the versions that do not fit.
fn both(compilers: &[Compiler], linkers: &[Linker]) -> String {
    let mut text = String::new();
    for compiler in compilers {
        let _ = write!(text, "\n  {} has LLVM {}", compiler.rustc.display(), compiler.llvm);
    }
    for linker in linkers {
        let _ = write!(text, "\n  {} has LLVM {}", linker.path.display(), linker.llvm);
    }
    text
}
