//! All that a build script does whose crate contains an object.

use std::{env, error::Error, fs, path::PathBuf, process::ExitCode};

use crate::{
    compile::{Object, build_object},
    env::{BPF_LINKER_VARIABLE, RUSTC_VARIABLE},
    strip::strip,
    tools::find,
};

/// Builds the object and tells the crate where it is, by an environment variable of its compiler.
#[must_use]
pub fn provide(object: Object, variable: &str) -> ExitCode {
    match try_provide(object, variable) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // cargo shows warnings even where it hides the rest of a failed build script's output.
            for line in error.to_string().lines() {
                println!("cargo:warning={line}");
            }
            ExitCode::FAILURE
        }
    }
}

fn try_provide(object: Object, variable: &str) -> Result<(), Box<dyn Error>> {
    let manifest_dir = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let root = manifest_dir.ancestors().find(|dir| dir.join("rss-drift-ebpf").is_dir());
    let root = root.ok_or_else(|| format!("{} has to lie in its workspace", manifest_dir.display()))?;
    for variable in [RUSTC_VARIABLE, BPF_LINKER_VARIABLE, "CARGO_TARGET_DIR"] {
        println!("cargo:rerun-if-env-changed={variable}");
    }

    let tools = find(root)?;
    for path in object.sources(root, &tools) {
        println!("cargo:rerun-if-changed={}", path.display());
    }
    let built = build_object(root, &tools, object)?;

    // A copy of the crate's own: another build may replace the shared one while the crate's compiler reads it.
    let copy = PathBuf::from(env::var("OUT_DIR")?).join("object.bpf.o");
    let whole = fs::read(&built).map_err(|error| format!("cannot read {}: {error}", built.display()))?;
    let stripped = strip(&whole)
        .map_err(|error| format!("cannot strip the debug information from {}: {error}", built.display()))?;
    fs::write(&copy, stripped).map_err(|error| format!("cannot write {}: {error}", copy.display()))?;
    println!("cargo:rustc-env={variable}={}", copy.display());
    Ok(())
}
