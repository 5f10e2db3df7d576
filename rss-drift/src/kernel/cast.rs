//! How a BPF program loads a word whose address is a number to the verifier.

use super::btf::{Btf, BtfError, Kind, Shape, Target};

/// The kernel's function that makes a typed, read-only pointer of any number, and the types that it makes pointers to
/// (`kernel/bpf/helpers.c:bpf_rdonly_cast`, 6.2 to 7.2). The verifier replaces the call by a move: the load behind it costs
/// what a load costs, where `bpf_probe_read_kernel` costs three calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cast {
    /// The function's number in BTF.
    pub function: u32,
    /// Number of a struct that is one signed word of 32 bits: `atomic_t`.
    pub word: u32,
    /// Number of `mm_struct`.
    pub mm: u32,
}

impl Cast {
    pub(super) const FUNCTION: &str = "bpf_rdonly_cast";

    /// What of this the kernel has: `None` without the function.
    ///
    /// # Errors
    /// When the type of `percpu_counter`'s lock word is not what the known kernels have.
    pub(super) fn find(btf: &Btf<'_>, targets: &[Target]) -> Result<Option<Self>, BtfError> {
        let known = |target: &&Target| (target.kind, target.name) == (Kind::Function, Self::FUNCTION);
        let Some(function) = targets.iter().find(known) else { return Ok(None) };
        let word = btf.structure("percpu_counter")?.member("lock.raw_lock.val", &Shape::Atomic(4))?;
        let mm = btf.structure("mm_struct")?.id();
        Ok(Some(Self { function: function.number, word: word.of.stripped()?.id(), mm }))
    }
}
