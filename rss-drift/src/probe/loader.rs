//! aya's loader, made without the kernel's type information, which it would parse whole and never use.

use aya::{EbpfLoader, VerifierLogLevel};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::kernel::Kernel;

/// What both modes are loaded with.
pub(super) fn loader(kernel: &Kernel) -> EbpfLoader<'static> {
    let mut loader = without_type_information();
    loader
        .btf(None)
        // A refusal's reason, without the trace of every instruction: on a BPF program that is found too complex that trace takes
        // minutes to write, and aya asks for it ten times.
        .verifier_log_level(VerifierLogLevel::STATS)
        .map_max_entries("CPU_OFFSETS", kernel.layout.cpus.max(1))
        // A page: its messages are rare, and each names a process.
        .map_max_entries("AYA_LOGS", 4096);
    loader
}

/// A loader that did not read `/sys/kernel/btf/vmlinux`.
///
/// Its only constructor parses that file before [`EbpfLoader::btf`] can say that there is no need: 25 MiB and 50 ms, for relocations
/// that this object has not (`link` puts the offsets in). Where the file cannot be opened the constructor goes on without, so for as
/// long as it runs this process may open no file.
fn without_type_information() -> EbpfLoader<'static> {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return EbpfLoader::new() };
    // Descriptors that are open already stay so. If the kernel refuses the limit, start-up only takes more memory.
    let lowered = setrlimit(Resource::RLIMIT_NOFILE, 0, hard).is_ok();
    let loader = EbpfLoader::new();
    if lowered && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, soft, hard) {
        log::warn!("cannot put the limit of open files back to {soft}: {error}");
    }
    loader
}
