//! How rss-drift's eBPF object is built, in one place: rss-drift's build script and xtask both go through here.
//!
//! Two tools are needed that a plain Rust installation lacks: a compiler that has the source of `core` (the BPF
//! target has no ready-made one) and bpf-linker, whose LLVM has to be at least as new as the compiler's. [`find`]
//! looks for a pair that fits, [`build`] compiles with it. Nothing here installs anything: that is
//! `cargo xtask setup`.

mod bitcode;
mod compile;
mod compiler;
mod env;
mod error;
mod linker;
mod paths;
mod stamp;
mod tools;
mod version;

pub use compile::{build, object, sources};
pub use compiler::{Compiler, MINIMUM_RUSTC};
pub use env::{BPF_LINKER_VARIABLE, RUSTC_VARIABLE, forget_outer_cargo};
pub use error::{Error, Rejected};
pub use linker::Linker;
pub use paths::{ebpf_target_dir, stamp_file, tools_dir};
pub use stamp::record;
pub use tools::{Survey, Tools, find, survey};
pub use version::Version;
