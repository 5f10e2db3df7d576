//! `cargo xtask setup`: the tools of the build, installed where they are missing.
//!
//! Two tools are needed beside the user's Rust: a compiler with core's source and a bpf-linker that fits it. What the
//! user has is taken if it fits. Else rustup downloads a compiler into the project's own folder, so that the user's
//! rustup is not changed, and needs no root for it; where rustup cannot, Debian's packages have one. bpf-linker is built
//! against the very LLVM library that comes with the compiler, so that it fits whichever compiler it is.

mod bpf_linker;
pub(crate) mod checkers;
pub(crate) mod debian;
mod llvm;
pub(crate) mod rustup;

use std::{path::Path, process::ExitCode};

use anyhow::{Context, Error, Result, anyhow};
use clap::Args;
use ebpf_build::{BPF_LINKER_VARIABLE, Compiler, MINIMUM_RUSTC, RUSTC_VARIABLE, Survey, Tools};

use crate::{privilege::in_path, workspace};

/// Install the tools of the build that are missing.
#[derive(Args, Debug)]
#[command(
    after_help = "RSS_DRIFT_RUSTC and RSS_DRIFT_BPF_LINKER name a compiler and a linker to use instead of the \
    ones that are looked for; nothing is installed in their place."
)]
pub(crate) struct Arguments {
    /// Install missing Debian packages without asking
    #[arg(short, long)]
    yes: bool,
}

/// The verb.
pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    let Tools { compiler, linker } = ensure(&workspace::root(), arguments.yes)?;
    eprintln!(
        "the tools of the build are there:\n  rustc {} (LLVM {}) {}\n  bpf-linker (LLVM {}) {}",
        compiler.release,
        compiler.llvm,
        compiler.rustc.display(),
        linker.llvm,
        linker.path.display()
    );
    Ok(ExitCode::SUCCESS)
}

/// Makes sure that the tools are there and returns them. Takes next to no time when nothing has changed.
pub(crate) fn ensure(root: &Path, yes: bool) -> Result<Tools> {
    let named_by_user =
        [RUSTC_VARIABLE, BPF_LINKER_VARIABLE].iter().any(|name| std::env::var_os(name).is_some());
    let tools = match ebpf_build::find(root) {
        Ok(tools) => tools,
        // Nothing that could be installed would be what the user asked for.
        Err(error) if named_by_user => return Err(error.into()),
        Err(_) => install(root, yes)?,
    };
    if !named_by_user {
        // The last step of all: an interrupted set-up leaves no record of tools that are not there.
        ebpf_build::record(root, &tools)?;
    }
    Ok(tools)
}

/// Installs what `cargo xtask vm` needs.
pub(crate) fn virtual_machines(yes: bool) -> Result<()> {
    debian::install(&debian::VIRTUAL_MACHINES, yes)
}

/// Installs what `cargo xtask bench` compares rss-drift with.
pub(crate) fn bench(yes: bool) -> Result<()> {
    // Programs that came another way than by packages will do as well.
    if ["ps", "top", "htop", "pidstat", "perf", "bpftrace"].into_iter().all(in_path) {
        Ok(())
    } else {
        debian::install(&debian::BENCH, yes)
    }
}

/// Installs what `cargo xtask bench instructions` disassembles with.
pub(crate) fn disassembler(yes: bool) -> Result<()> {
    if in_path("objdump") { Ok(()) } else { debian::install(&debian::DISASSEMBLER, yes) }
}

/// Installs what is missing.
fn install(root: &Path, yes: bool) -> Result<Tools> {
    let survey = ebpf_build::survey(root);
    let (compiler, llvm) = if let Some(found) = buildable(&survey) {
        found
    } else {
        let after = get_compiler(root, yes, &survey)?;
        buildable(&after).ok_or_else(|| useless(after))?
    };
    bpf_linker::install(root, &compiler, &llvm)?;
    ebpf_build::survey(root).into_pair().context("everything was installed, and still the tools do not fit")
}

/// The first compiler that bpf-linker can be built for, with its LLVM library.
fn buildable(survey: &Survey) -> Option<(Compiler, llvm::Library)> {
    survey.compilers.iter().find_map(|compiler| Some((compiler.clone(), llvm::library_of(compiler)?)))
}

/// What to say where an installation went well and its compiler still cannot be used.
fn useless(survey: Survey) -> Error {
    match survey.into_pair() {
        Err(missing @ ebpf_build::Error::NoCompiler(_)) => {
            Error::from(missing).context("the installation ended well and left no compiler that can be used")
        }
        _ => anyhow!(
            "the compilers here have no LLVM library that bpf-linker could be built against; name a compiler and a \
             linker that fit each other by {RUSTC_VARIABLE} and {BPF_LINKER_VARIABLE}"
        ),
    }
}

/// Gets a compiler with core's source: by rustup, else by apt.
fn get_compiler(root: &Path, yes: bool, before: &Survey) -> Result<Survey> {
    for compiler in &before.compilers {
        say(&format!(
            "{} has core's source, but no bpf-linker fits its LLVM {} or can be built for it",
            compiler.rustc.display(),
            compiler.llvm
        ));
    }
    let from_rustup = rustup::COMPILER.install(root);
    if let Err(error) = &from_rustup {
        say(&format!("rustup cannot: {error:#}; Debian's packages may"));
        debian::install(&debian::COMPILER, yes).with_context(|| {
            format!(
                "no compiler of {MINIMUM_RUSTC} or newer with core's source could be had. One of these helps: a way to rustup's server \
                 (https_proxy, RUSTUP_DIST_SERVER); Debian's security suite in apt's sources; a compiler of your own, named by \
                 {RUSTC_VARIABLE}. rustup: {error:#}; Debian's packages"
            )
        })?;
    }
    Ok(ebpf_build::survey(root))
}

/// Tells a step of the set-up.
fn say(step: &str) {
    eprintln!("setup: {step}");
}
