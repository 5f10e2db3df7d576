//! How the eBPF objects are built, in one place: the build scripts of rss-drift and of the bench go through here, and so
//! does xtask.
//!
//! Two tools are needed that a plain Rust installation lacks: a compiler that has the source of `core` (the BPF
//! target has no ready-made one) and bpf-linker, whose LLVM has to be at least as new as the compiler's. [`find`]
//! looks for a pair that fits, [`build`] compiles with it; [`provide`] is a whole build script. Nothing here installs anything: that is
//! `cargo xtask setup`.

mod bitcode;
mod compile;
mod compiler;
mod env;
mod error;
mod linker;
mod paths;
mod script;
mod stamp;
mod strip;
mod tools;
mod version;

pub use compile::{Object, build, build_object};
pub use compiler::{Compiler, MINIMUM_RUSTC};
pub use env::{BPF_LINKER_VARIABLE, RUSTC_VARIABLE, forget_outer_cargo};
pub use error::{Error, Rejected};
pub use linker::Linker;
pub use paths::{ebpf_target_dir, stamp_file, tools_dir};
pub use script::provide;
pub use stamp::record;
pub use tools::{Survey, Tools, find, survey};
pub use version::Version;
