//! The pair of tools that the eBPF programs are built with.

use std::path::Path;

use crate::{
    compiler::{self, Compiler},
    env::{BPF_LINKER_VARIABLE, RUSTC_VARIABLE, named},
    error::{Error, Rejected},
    linker::{self, Linker},
    stamp,
};

/// A compiler and a linker that fit each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tools {
    /// The compiler with core's source.
    pub compiler: Compiler,
    /// The linker, whose LLVM is at least the compiler's.
    pub linker: Linker,
}

/// Everything that was found.
#[derive(Clone, Debug)]
pub struct Survey {
    /// Compilers with core's source, the preferred ones first.
    pub compilers: Vec<Compiler>,
    /// Compilers that will not do.
    pub rejected_compilers: Vec<Rejected>,
    /// Linkers that run, the preferred ones first.
    pub linkers: Vec<Linker>,
    /// Linkers that will not do.
    pub rejected_linkers: Vec<Rejected>,
}

/// Finds the tools: the pair on record where it is still there unchanged, else by looking everywhere.
pub fn find(root: &Path) -> Result<Tools, Error> {
    // What the user names is looked at anew: the record is of what we found ourselves.
    let chosen_by_user = [RUSTC_VARIABLE, BPF_LINKER_VARIABLE].into_iter().any(|name| named(name).is_some());
    if !chosen_by_user && let Some(tools) = stamp::read(root) {
        return Ok(tools);
    }
    survey(root).into_pair()
}

/// Looks at every place where the tools may be.
#[must_use]
pub fn survey(root: &Path) -> Survey {
    let (compilers, rejected_compilers) = compiler::survey(root);
    let (linkers, rejected_linkers) = linker::survey(root);
    Survey { compilers, rejected_compilers, linkers, rejected_linkers }
}

impl Survey {
    /// The first compiler that a linker fits, with the first such linker.
    #[must_use]
    pub fn pair(&self) -> Option<Tools> {
        self.compilers.iter().find_map(|compiler| {
            let linker = self.linkers.iter().find(|linker| fits(linker, compiler))?;
            Some(Tools { compiler: compiler.clone(), linker: linker.clone() })
        })
    }

    /// The pair, or what is missing.
    pub fn into_pair(self) -> Result<Tools, Error> {
        match self.pair() {
            Some(tools) => Ok(tools),
            None if self.compilers.is_empty() => Err(Error::NoCompiler(self.rejected_compilers)),
            None if self.linkers.is_empty() => Err(Error::NoLinker(self.rejected_linkers)),
            None => Err(Error::NoPair { compilers: self.compilers, linkers: self.linkers }),
        }
    }
}

/// Whether the linker can read what the compiler writes: LLVM reads the bitcode of its own and of earlier versions.
fn fits(linker: &Linker, compiler: &Compiler) -> bool {
    linker.llvm >= compiler.llvm
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::version::Version;

    fn compiler(name: &str, llvm: Version) -> Compiler {
        let release = Version::new(1, 95, 0);
        Compiler { rustc: PathBuf::from(name), cargo: PathBuf::from("cargo"), release, preview: false, llvm }
    }

    fn linker(name: &str, llvm: Version) -> Linker {
        Linker { path: PathBuf::from(name), llvm }
    }

    fn survey(compilers: Vec<Compiler>, linkers: Vec<Linker>) -> Survey {
        Survey { compilers, rejected_compilers: Vec::new(), linkers, rejected_linkers: Vec::new() }
    }

    const V22_1_2: Version = Version::new(22, 1, 2);
    const V22_1_8: Version = Version::new(22, 1, 8);
    const V23: Version = Version::new(23, 0, 0);

    #[test]
    fn the_first_compiler_with_a_fitting_linker() {
        let compilers =
            vec![compiler("nightly", V23), compiler("debian", V22_1_8), compiler("stable", V22_1_2)];
        let linkers = vec![linker("old", V22_1_2), linker("own", V22_1_8), linker("same", V22_1_8)];
        let tools = survey(compilers, linkers).pair().unwrap();
        assert_eq!(tools.compiler.rustc, Path::new("debian"));
        assert_eq!(tools.linker.path, Path::new("own"));
    }

    #[test]
    fn a_patch_level_too_old_is_no_pair() {
        let found = survey(vec![compiler("debian", V22_1_8)], vec![linker("old", V22_1_2)]);
        assert_eq!(found.pair(), None);
        let message = found.into_pair().unwrap_err().to_string();
        assert!(message.contains("debian has LLVM 22.1.8"), "{message}");
        assert!(message.contains("old has LLVM 22.1.2"), "{message}");
        assert!(message.contains("cargo xtask setup"), "{message}");
    }

    #[test]
    fn what_is_missing_is_named() {
        let mut nothing = survey(Vec::new(), vec![linker("own", V23)]);
        nothing.rejected_compilers =
            vec![Rejected { path: PathBuf::from("/usr/bin/rustc"), reason: "no source of core".to_owned() }];
        let message = nothing.into_pair().unwrap_err().to_string();
        assert!(message.contains("compiler with core's source"), "{message}");
        assert!(message.contains("\n  not /usr/bin/rustc: no source of core"), "{message}");

        let message = survey(vec![compiler("debian", V23)], Vec::new()).into_pair().unwrap_err().to_string();
        assert!(message.contains("need bpf-linker"), "{message}");
        assert!(message.contains("cargo xtask setup"), "{message}");
    }
}
