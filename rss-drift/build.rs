//! Builds the eBPF objects and tells the crate where they are: `RSS_DRIFT_EBPF`, and for the bench `PEERS_EBPF`.

use std::{env, error::Error, fs, path::PathBuf, process::ExitCode};

/// The binaries of rss-drift-ebpf: what is part of rss-drift, and what examples/bench/ compares it with.
const OBJECTS: [(&str, &str); 2] = [("rss-drift", "RSS_DRIFT_EBPF"), ("peers", "PEERS_EBPF")];

fn main() -> ExitCode {
    match build() {
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

fn build() -> Result<(), Box<dyn Error>> {
    let manifest_dir = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let root = manifest_dir.parent().ok_or("rss-drift/ has to lie in its workspace")?;
    for variable in [ebpf_build::RUSTC_VARIABLE, ebpf_build::BPF_LINKER_VARIABLE, "CARGO_TARGET_DIR"] {
        println!("cargo:rerun-if-env-changed={variable}");
    }

    let tools = ebpf_build::find(root)?;
    for path in ebpf_build::sources(root, &tools) {
        println!("cargo:rerun-if-changed={}", path.display());
    }
    ebpf_build::build(root, &tools)?;

    let out_dir = PathBuf::from(env::var("OUT_DIR")?);
    for (object, variable) in OBJECTS {
        // A copy of our own: another build may replace the shared one while this one's compiler reads it.
        let built = ebpf_build::object(root, object)?;
        let copy = out_dir.join(format!("{object}.bpf.o"));
        fs::copy(&built, &copy)
            .map_err(|error| format!("cannot copy {} to {}: {error}", built.display(), copy.display()))?;
        println!("cargo:rustc-env={variable}={}", copy.display());
    }
    Ok(())
}
