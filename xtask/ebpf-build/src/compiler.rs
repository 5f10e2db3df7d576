//! Compilers with core's source: where they may be, and what each one is.

use std::{
    cmp::Reverse,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    env::{RUSTC_VARIABLE, forget_outer_cargo, named},
    error::Rejected,
    paths::{path_dirs, tools_dir, variable_or_home},
    version::Version,
};

/// The oldest compiler that builds the eBPF programs: the rust-version of their Cargo.toml. What runs in user space may have
/// an older one.
pub const MINIMUM_RUSTC: Version = Version::new(1, 91, 0);

/// Debian's packaged compiler, also where PATH does not lead there.
const DISTRIBUTION_RUSTC: &str = "/usr/bin/rustc";

/// A compiler that has core's source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiler {
    /// The compiler itself, never rustup's proxy.
    pub rustc: PathBuf,
    /// The cargo that drives it.
    pub cargo: PathBuf,
    /// Its release.
    pub release: Version,
    /// Whether it is a nightly or beta: those come after releases, a change of theirs may break a build.
    pub preview: bool,
    /// The version of its LLVM.
    pub llvm: Version,
}

/// Every usable compiler, the preferred ones first, and those that are none.
pub(crate) fn survey(root: &Path) -> (Vec<Compiler>, Vec<Rejected>) {
    let mut found = Vec::new();
    let mut rejected = Vec::new();
    for group in candidates(root) {
        let mut usable = Vec::new();
        for rustc in group {
            match probe(&rustc) {
                Ok(compiler) => usable.push(compiler),
                Err(reason) => rejected.push(Rejected { path: rustc, reason }),
            }
        }
        usable.sort_by_key(preference);
        found.append(&mut usable);
    }
    (found, rejected)
}

/// Releases before previews, newer before older.
fn preference(compiler: &Compiler) -> (bool, Reverse<Version>) {
    (compiler.preview, Reverse(compiler.release))
}

/// Where a compiler may be: what the user named and nothing else, or else the project's own toolchains, the user's, and
/// the distribution's. Each group is ranked for itself.
fn candidates(root: &Path) -> Vec<Vec<PathBuf>> {
    if let Some(rustc) = named(RUSTC_VARIABLE) {
        return vec![vec![rustc]];
    }
    let own = Some(tools_dir(root).join("rustup"));
    let users = variable_or_home("RUSTUP_HOME", ".rustup");
    let mut groups: Vec<_> = [own, users].into_iter().flatten().map(|home| toolchains(&home)).collect();
    let mut distribution: Vec<PathBuf> = Vec::new();
    for rustc in path_dirs().iter().map(|dir| dir.join("rustc")).chain([PathBuf::from(DISTRIBUTION_RUSTC)]) {
        // rustup's proxy is named rustc too; the toolchains it would choose from are in the groups before.
        let is_proxy = |path: &Path| path.file_name().is_some_and(|name| name == "rustup");
        if let Ok(real) = rustc.canonicalize()
            && !is_proxy(&real)
            && !distribution.contains(&real)
        {
            distribution.push(real);
        }
    }
    groups.push(distribution);
    groups
}

/// The compilers of a rustup home.
fn toolchains(home: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(home.join("toolchains")) else { return Vec::new() };
    let mut found: Vec<PathBuf> = Vec::new();
    for entry in entries.flatten() {
        // A toolchain may have several names, as links to one directory.
        if let Ok(rustc) = entry.path().join("bin/rustc").canonicalize()
            && !found.contains(&rustc)
        {
            found.push(rustc);
        }
    }
    found
}

/// What this compiler is, or why it will not do.
fn probe(rustc: &Path) -> Result<Compiler, String> {
    let sysroot = PathBuf::from(output(rustc, &["--print", "sysroot"])?.trim_end());
    // The cheap and most frequent refusal first.
    if !sysroot.join("lib/rustlib/src/rust/library/core/src/lib.rs").is_file() {
        return Err(format!("no source of core below {}", sysroot.display()));
    }
    let (release, preview, llvm) = parse_verbose_version(&output(rustc, &["-vV"])?)?;
    if release < MINIMUM_RUSTC {
        return Err(format!("release {release} is older than {MINIMUM_RUSTC}"));
    }
    Ok(Compiler { rustc: rustc.to_owned(), cargo: cargo_for(&sysroot, release), release, preview, llvm })
}

/// The cargo beside the compiler if it is of the same release: that one knows the compiler's library. Debian's compiler
/// comes without, or with a much older one; then the cargo that runs us is taken.
fn cargo_for(sysroot: &Path, release: Version) -> PathBuf {
    let own = sysroot.join("bin/cargo");
    let version = output(&own, &["--version"]).ok();
    let version = version.as_deref().and_then(|text| Version::parse(text.strip_prefix("cargo ")?));
    if version.is_some_and(|version| (version.major, version.minor) == (release.major, release.minor)) {
        return own;
    }
    env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}

/// Release, whether it is a preview, and LLVM's version from what `rustc -vV` prints.
fn parse_verbose_version(text: &str) -> Result<(Version, bool, Version), String> {
    let field = |name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let value = value.ok_or_else(|| format!("rustc -vV has no line {name:?}"))?;
        let version = Version::parse(value).ok_or_else(|| format!("rustc -vV: {value:?} is no version"))?;
        Ok::<_, String>((version, value.contains('-')))
    };
    let (release, preview) = field("release:")?;
    let (llvm, _) = field("LLVM version:")?;
    Ok((release, preview, llvm))
}

/// What a program prints, or why it prints nothing useful.
fn output(program: &Path, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new(program);
    command.args(arguments);
    forget_outer_cargo(&mut command);
    let output = command.output().map_err(|error| format!("cannot run it: {error}"))?;
    if !output.status.success() {
        return Err(format!("{} failed ({})", arguments.join(" "), output.status));
    }
    String::from_utf8(output.stdout).map_err(|_| format!("{} printed no text", arguments.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STABLE: &str = "rustc 1.96.0 (ac68faa20 2026-05-25) (built from a source tarball)\nbinary: rustc\n\
        host: x86_64-unknown-linux-gnu\nrelease: 1.96.0\nLLVM version: 22.1.8\n";

    fn compiler(rustc: &str, release: Version, preview: bool) -> Compiler {
        let llvm = Version::new(22, 1, 0);
        Compiler { rustc: PathBuf::from(rustc), cargo: PathBuf::from("cargo"), release, preview, llvm }
    }

    #[test]
    fn verbose_version_of_a_release() {
        let expected = (Version::new(1, 96, 0), false, Version::new(22, 1, 8));
        assert_eq!(parse_verbose_version(STABLE), Ok(expected));
    }

    #[test]
    fn verbose_version_of_a_nightly() {
        let text = STABLE.replace("release: 1.96.0", "release: 1.97.0-nightly").replace("22.1.8", "22.1.4");
        assert_eq!(parse_verbose_version(&text), Ok((Version::new(1, 97, 0), true, Version::new(22, 1, 4))));
    }

    #[test]
    fn verbose_version_without_llvm_says_so() {
        let text = STABLE.replace("LLVM version", "backend");
        let error = parse_verbose_version(&text).unwrap_err();
        assert!(error.contains("LLVM version"), "{error}");
    }

    #[test]
    fn releases_before_previews_and_newer_before_older() {
        let mut all = [
            compiler("nightly", Version::new(1, 99, 0), true),
            compiler("old", Version::new(1, 90, 0), false),
            compiler("new", Version::new(1, 95, 0), false),
        ];
        all.sort_by_key(preference);
        let order: Vec<_> = all.iter().map(|one| one.rustc.to_str().unwrap()).collect();
        assert_eq!(order, ["new", "old", "nightly"]);
    }

    #[test]
    fn the_oldest_compiler_is_the_one_that_the_manifest_promises() {
        let manifest = include_str!("../../../rss-drift-ebpf/Cargo.toml");
        let promised = manifest.lines().find_map(|line| line.strip_prefix("rust-version = \"")).unwrap();
        assert_eq!(Version::parse(promised), Some(MINIMUM_RUSTC));
    }

    #[test]
    fn a_program_that_is_not_there_is_rejected_with_its_reason() {
        let error = probe(Path::new("/nonexistent/rustc")).unwrap_err();
        assert!(error.starts_with("cannot run it"), "{error}");
    }
}
