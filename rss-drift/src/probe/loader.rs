//! aya's loader, made without the kernel's type information, which it would parse whole and never use.

use std::sync::{Mutex, PoisonError};

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

/// Loaders that did not read `/sys/kernel/btf/vmlinux`, for later.
static MADE: Mutex<Vec<EbpfLoader<'static>>> = Mutex::new(Vec::new());
/// How many are made at once: more than a run of rss-drift needs, with full mode in vain, passive mode, and a step-down.
const AT_ONCE: usize = 4;

/// A loader that did not read `/sys/kernel/btf/vmlinux`.
///
/// Its only constructor parses that file before [`EbpfLoader::btf`] can say that there is no need: 25 MiB and 50 ms, for relocations
/// that this object has not (`link` puts the offsets in). Where the file cannot be opened the constructor goes on without, so for as
/// long as it runs this process may open no file. That is at the start only: later a thread may open an output.
fn without_type_information() -> EbpfLoader<'static> {
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if made.is_empty() {
        let limits = getrlimit(Resource::RLIMIT_NOFILE);
        // Descriptors that are open already stay so. If the kernel refuses the limit, start-up only takes more memory.
        let lowered = limits.is_ok_and(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, 0, hard).is_ok());
        made.extend((0..if lowered { AT_ONCE } else { 1 }).map(|_| EbpfLoader::new()));
        if lowered
            && let Ok((soft, hard)) = limits
            && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, soft, hard)
        {
            log::warn!("cannot put the limit of open files back to {soft}: {error}");
        }
    }
    made.pop().unwrap_or_default()
}
