//! The record of the pair that was found, so that finding it again takes no time.
//!
//! It holds for as long as both programs have the size and the time of change that they had. It is written last of all
//! steps of a set-up and put in place by a rename: an interrupted set-up leaves none.

use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process,
};

use crate::{
    compiler::Compiler,
    error::Error,
    linker::Linker,
    paths::{stamp_file, tools_dir},
    tools::Tools,
    version::Version,
};

/// Changes when what is on record changes its meaning.
const FORMAT: &str = "1";

/// Writes the pair down, where it is not what stands there: cargo builds anew what depends on a file that was written.
pub fn record(root: &Path, tools: &Tools) -> Result<(), Error> {
    let (file, dir) = (stamp_file(root), tools_dir(root));
    let at = |what, path: &Path| {
        let path = path.to_owned();
        move |error| Error::File { what, path, error }
    };
    fs::create_dir_all(&dir).map_err(at("create", &dir))?;
    let text = write(tools).map_err(at("look at the tools for", &file))?;
    if fs::read_to_string(&file).is_ok_and(|standing| standing == text) {
        return Ok(());
    }
    let unfinished = dir.join(format!("pair.{}", process::id()));
    fs::write(&unfinished, text).map_err(at("write", &unfinished))?;
    fs::rename(&unfinished, &file).map_err(at("write", &file))
}

/// The pair on record, if both programs are still what they were.
pub(crate) fn read(root: &Path) -> Option<Tools> {
    parse(&fs::read_to_string(stamp_file(root)).ok()?)
}

/// The record's text: a name and a value a line.
fn write(tools: &Tools) -> io::Result<String> {
    let Tools { compiler, linker } = tools;
    let lines = [
        ("format", FORMAT.to_owned()),
        ("rustc", compiler.rustc.display().to_string()),
        ("rustc_identity", identity(&compiler.rustc)?),
        ("rustc_release", compiler.release.to_string()),
        ("rustc_preview", compiler.preview.to_string()),
        ("rustc_llvm", compiler.llvm.to_string()),
        ("cargo", compiler.cargo.display().to_string()),
        ("linker", linker.path.display().to_string()),
        ("linker_identity", identity(&linker.path)?),
        ("linker_llvm", linker.llvm.to_string()),
    ];
    Ok(lines.map(|(name, value)| format!("{name}={value}\n")).concat())
}

/// The pair that a record tells of; None where it does not hold any more.
fn parse(text: &str) -> Option<Tools> {
    let fields: HashMap<_, _> = text.lines().filter_map(|line| line.split_once('=')).collect();
    let path = |name| fields.get(name).map(PathBuf::from);
    let version = |name| fields.get(name).and_then(|value| Version::parse(value));
    if fields.get("format") != Some(&FORMAT) {
        return None;
    }
    let (rustc, linker) = (path("rustc")?, path("linker")?);
    for (file, name) in [(&rustc, "rustc_identity"), (&linker, "linker_identity")] {
        if identity(file).ok().as_deref() != fields.get(name).copied() {
            return None;
        }
    }
    let cargo = path("cargo")?;
    // A bare name is looked up in PATH when it is run.
    if cargo.is_absolute() && !cargo.exists() {
        return None;
    }
    let compiler = Compiler {
        rustc,
        cargo,
        release: version("rustc_release")?,
        preview: fields.get("rustc_preview")?.parse().ok()?,
        llvm: version("rustc_llvm")?,
    };
    Some(Tools { compiler, linker: Linker { path: linker, llvm: version("linker_llvm")? } })
}

/// What tells a file from another one in its place, cheaply: its size and when it was last changed.
fn identity(path: &Path) -> io::Result<String> {
    let metadata = fs::metadata(path)?;
    Ok(format!("{} bytes, {}.{:09}", metadata.size(), metadata.mtime(), metadata.mtime_nsec()))
}

#[cfg(test)]
mod tests {
    use std::env;

    use super::*;

    /// A directory of this test's own, gone when it ends.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let dir = env::temp_dir().join(format!("ebpf-build-{name}-{}", process::id()));
            fs::create_dir_all(&dir).unwrap();
            Self(dir)
        }

        fn tools(&self) -> Tools {
            let file = |name: &str| {
                let path = self.0.join(name);
                fs::write(&path, name).unwrap();
                path
            };
            let compiler = Compiler {
                rustc: file("rustc"),
                cargo: file("cargo"),
                release: Version::new(1, 96, 0),
                preview: false,
                llvm: Version::new(22, 1, 8),
            };
            Tools { compiler, linker: Linker { path: file("bpf-linker"), llvm: Version::new(22, 1, 8) } }
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn what_is_recorded_is_read_back() {
        let scratch = Scratch::new("round");
        assert_eq!(read(&scratch.0), None);
        let tools = scratch.tools();
        record(&scratch.0, &tools).unwrap();
        assert_eq!(read(&scratch.0), Some(tools));
    }

    #[test]
    fn the_same_pair_again_is_no_change() {
        let scratch = Scratch::new("again");
        let tools = scratch.tools();
        let file = || fs::metadata(stamp_file(&scratch.0)).map(|metadata| metadata.ino()).unwrap();
        record(&scratch.0, &tools).unwrap();
        let before = file();
        record(&scratch.0, &tools).unwrap();
        assert_eq!(file(), before, "it was not written anew");
        fs::write(&tools.linker.path, "another size").unwrap();
        record(&scratch.0, &tools).unwrap();
        assert_ne!(file(), before, "another linker is another pair");
    }

    #[test]
    fn another_linker_in_its_place_ends_it() {
        let scratch = Scratch::new("replaced");
        let tools = scratch.tools();
        record(&scratch.0, &tools).unwrap();
        fs::write(&tools.linker.path, "another size").unwrap();
        assert_eq!(read(&scratch.0), None);
    }

    #[test]
    fn a_tool_that_is_gone_ends_it() {
        for name in ["rustc", "cargo", "bpf-linker"] {
            let scratch = Scratch::new(&format!("gone-{name}"));
            record(&scratch.0, &scratch.tools()).unwrap();
            fs::remove_file(scratch.0.join(name)).unwrap();
            assert_eq!(read(&scratch.0), None, "{name}");
        }
    }

    #[test]
    fn a_record_that_is_cut_or_of_another_format_is_none() {
        let scratch = Scratch::new("cut");
        let text = write(&scratch.tools()).unwrap();
        assert!(parse(&text).is_some());
        assert_eq!(parse(&text.replace("format=1", "format=0")), None);
        for lines in 0..text.lines().count() {
            let cut = text.lines().take(lines).collect::<Vec<_>>().join("\n");
            assert_eq!(parse(&cut), None, "{cut}");
        }
    }
}
