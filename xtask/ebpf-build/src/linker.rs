//! bpf-linkers: where they may be, and which LLVM each one has.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{self, Command},
};

use crate::{
    bitcode,
    env::{BPF_LINKER_VARIABLE, named},
    error::Rejected,
    paths::{path_dirs, tools_dir, variable_or_home},
    version::Version,
};

/// The linker's file name.
const NAME: &str = "bpf-linker";

/// A bpf-linker that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linker {
    /// The program.
    pub path: PathBuf,
    /// The version of its LLVM.
    pub llvm: Version,
}

/// Every usable linker, in the order of preference, and those that are none.
pub(crate) fn survey(root: &Path) -> (Vec<Linker>, Vec<Rejected>) {
    let mut found = Vec::new();
    let mut rejected = Vec::new();
    for path in candidates(root) {
        match probe(&path) {
            Ok(llvm) => found.push(Linker { path, llvm }),
            Err(reason) => rejected.push(Rejected { path, reason }),
        }
    }
    (found, rejected)
}

/// Where a linker may be: what the user named and nothing else, or else the project's own, PATH's, and cargo's.
fn candidates(root: &Path) -> Vec<PathBuf> {
    if let Some(linker) = named(BPF_LINKER_VARIABLE) {
        return vec![linker];
    }
    let own = tools_dir(root).join("bin");
    let cargos = variable_or_home("CARGO_HOME", ".cargo").map(|home| home.join("bin"));
    let mut found: Vec<PathBuf> = Vec::new();
    for dir in [own].into_iter().chain(path_dirs()).chain(cargos) {
        if let Ok(real) = dir.join(NAME).canonicalize()
            && !found.contains(&real)
        {
            found.push(real);
        }
    }
    found
}

/// The LLVM of this linker, told by what it writes when it links a module of nothing; or why it will not do.
fn probe(linker: &Path) -> Result<Version, String> {
    let dir = env::temp_dir().join(format!("rss-drift-probe-{}", process::id()));
    let told = fs::create_dir_all(&dir)
        .map_err(|error| format!("cannot create {}: {error}", dir.display()))
        .and_then(|()| link_nothing(linker, &dir));
    // What is left in the temporary directory does no harm, and the answer counts more.
    let _ = fs::remove_dir_all(&dir);
    told
}

/// Links a module of nothing in `dir`.
fn link_nothing(linker: &Path, dir: &Path) -> Result<Version, String> {
    let (input, written) = (dir.join("nothing.ll"), dir.join("nothing.bc"));
    fs::write(&input, "target triple = \"bpfel\"\n")
        .map_err(|error| format!("cannot write {}: {error}", input.display()))?;
    let mut command = Command::new(linker);
    command.args(["--target", "bpfel", "--emit", "llvm-bc", "-o"]).arg(&written).arg(&input);
    let output = command.output().map_err(|error| format!("cannot run it: {error}"))?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        let first = message.lines().next().unwrap_or("without a word");
        return Err(format!(
            "it does not link LLVM's text form, {}: {first}; older than 0.10?",
            output.status
        ));
    }
    let bitcode =
        fs::read(&written).map_err(|error| format!("it wrote no {}: {error}", written.display()))?;
    bitcode::writer(&bitcode).ok_or_else(|| "what it writes does not tell its LLVM".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_linker_is_rejected_with_its_reason() {
        let missing = probe(Path::new("/nonexistent/bpf-linker")).unwrap_err();
        assert!(missing.starts_with("cannot run it"), "{missing}");
        let refusing = probe(Path::new("/bin/false")).unwrap_err();
        assert!(refusing.contains("does not link"), "{refusing}");
        let idle = probe(Path::new("/bin/true")).unwrap_err();
        assert!(idle.contains("wrote no"), "{idle}");
    }
}
