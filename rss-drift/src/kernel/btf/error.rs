//! Why the kernel's type information could not be used.

use std::{io, path::PathBuf};

/// Why the kernel's type information (BTF) could not be used. Whoever prints it names the kernel.
#[derive(Debug, thiserror::Error)]
pub enum BtfError {
    #[error(
        "cannot read {path}: {error}; the kernel's types are needed (CONFIG_DEBUG_INFO_BTF=y, sysfs on /sys)"
    )]
    Unreadable { path: PathBuf, error: io::Error },
    /// A file that was asked for, or found, and is not the running kernel's.
    #[error("{path}: {why}")]
    Refused { path: PathBuf, why: String },
    #[error("not BTF: it starts with {0:02x?}, not with 9f eb")]
    NotBtf(Vec<u8>),
    /// The bytes are BTF of a machine of the other byte order.
    #[error("big-endian BTF, from another machine; rss-drift measures x86_64 only")]
    BigEndian,
    /// BTF of a form that did not exist when this was written.
    #[error(
        "BTF version {version} with flags {flags:#x} is unknown (version 1 with flags 0x0 is known); use a newer rss-drift"
    )]
    Version { version: u8, flags: u8 },
    /// A type of a kind whose length is unknown, so that what follows cannot be found.
    #[error("BTF type {id} has the unknown kind {kind}; use a newer rss-drift")]
    UnknownKind {
        /// The kind's number (`include/uapi/linux/btf.h`: `BTF_KIND_*`).
        kind: u8,
        id: u32,
    },
    #[error("corrupt BTF: {0}; check that the file is complete")]
    Corrupt(String),
    #[error("BTF defines no struct {0}")]
    NoStruct(String),
    #[error("BTF has no member {0}")]
    NoMember(String),
    /// Several definitions of one name disagree on what was asked.
    #[error("{0} is ambiguous: BTF has several definitions that differ")]
    Ambiguous(String),
    /// A member that does not start and end at whole bytes.
    #[error("{0} is a bitfield, which cannot be read by its offset")]
    Bitfield(String),
    /// Something that is of another type than every kernel known so far has.
    #[error("{what} is {found} on this kernel, expected {expected}; use a newer rss-drift")]
    Unexpected {
        what: String,
        /// What the known kernels have.
        expected: String,
        /// What this one has.
        found: String,
    },
    /// A kernel that caches nothing.
    #[error(
        "mm_struct.rss_stat is struct mm_rss_stat, but task_struct has no rss_stat (SPLIT_RSS_COUNTING is off: \
         NR_CPUS is below 4): every figure of this kernel is exact and there is no drift to measure"
    )]
    NoCache,
}
