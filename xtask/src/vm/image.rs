//! The guest's initrd: busybox, an init, the kernel's few modules and the files asked for, as a cpio archive.

use std::{
    collections::BTreeSet,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use cpio::newc::Builder;

use super::{cached::Cached, tools};

/// The folder of the guest where the files asked for are: its working directory, and first in its PATH.
const FILES: &str = "vm";

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const LINK: u32 = 0o120_777;
const CHARACTER_DEVICE: u32 = 0o020_600;

/// An initrd being written.
pub(crate) struct Image<W: Write> {
    out: W,
    names: BTreeSet<String>,
}

impl<W: Write> Image<W> {
    /// Begins with what every guest has.
    pub(crate) fn new(out: W, kernel: &Cached) -> Result<Self> {
        let mut image = Self { out, names: BTreeSet::new() };
        for dir in ["dev", "proc", "root", "sbin", "sys", "tmp", FILES] {
            image.directory(dir)?;
        }
        // The kernel opens the console for init before anything is mounted.
        let console = Builder::new("dev/console").mode(CHARACTER_DEVICE).rdev_major(5).rdev_minor(1);
        image.write("dev/console", console, &[])?;
        image.file("init", include_bytes!("init.sh"))?;
        image.host_file("bin/busybox", &tools::busybox()?)?;
        image.link("bin/sh", "busybox")?;
        // The kernel loads modules on demand with this one.
        image.link("sbin/modprobe", "../bin/busybox")?;
        image
            .file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n")?;
        image.file("etc/group", b"root:x:0:\nnogroup:x:65534:\n")?;
        image.tree(&kernel.modules(), Path::new(""))?;
        Ok(image)
    }

    /// Adds a file of the host under its own name; returns its path in the guest.
    pub(crate) fn add(&mut self, file: &Path) -> Result<String> {
        let name = file
            .file_name()
            .with_context(|| format!("{} has no name to give it in the guest", file.display()))?
            .to_string_lossy();
        let name = format!("{FILES}/{name}");
        self.host_file(&name, file)?;
        Ok(format!("/{name}"))
    }

    /// Adds a script that runs one command; returns its path in the guest.
    pub(crate) fn add_command(&mut self, words: &[String]) -> Result<String> {
        let words: Vec<_> = words.iter().map(|word| quote(word)).collect();
        let name = format!("{FILES}/.command");
        self.file(&name, format!("#!/bin/sh\nexec {}\n", words.join(" ")).as_bytes())?;
        Ok(format!("/{name}"))
    }

    /// Ends the archive.
    pub(crate) fn finish(mut self) -> Result<W> {
        cpio::newc::trailer(&mut self.out).context("cannot write the initrd's end")?;
        Ok(self.out)
    }

    /// Copies a folder of the host with all below it.
    fn tree(&mut self, root: &Path, below: &Path) -> Result<()> {
        let dir = root.join(below);
        let entries = std::fs::read_dir(&dir).with_context(|| format!("cannot list {}", dir.display()))?;
        let mut names = Vec::<PathBuf>::new();
        for entry in entries {
            names.push(
                below.join(entry.with_context(|| format!("cannot list {}", dir.display()))?.file_name()),
            );
        }
        names.sort();
        for name in names {
            if root.join(&name).is_dir() {
                self.tree(root, &name)?;
            } else {
                self.host_file(&name.to_string_lossy(), &root.join(&name))?;
            }
        }
        Ok(())
    }

    fn host_file(&mut self, name: &str, file: &Path) -> Result<()> {
        let content = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        if tools::needs_libraries(&content) {
            bail!(
                "{} is dynamically linked and a guest has no libraries: link it statically \
                 (Rust: RUSTFLAGS='-C target-feature=+crt-static' with --target x86_64-unknown-linux-gnu)",
                file.display()
            );
        }
        self.file(name, &content)
    }

    fn file(&mut self, name: &str, content: &[u8]) -> Result<()> {
        if let Some((dir, _)) = name.rsplit_once('/') {
            self.directory(dir)?;
        }
        // Scripts and programs; that data files can be executed too does not matter in a guest.
        self.entry(name, PROGRAM, content)
    }

    fn link(&mut self, name: &str, target: &str) -> Result<()> {
        self.entry(name, LINK, target.as_bytes())
    }

    /// A directory and those above it, each once: cpio makes none by itself.
    fn directory(&mut self, name: &str) -> Result<()> {
        for (end, _) in name.match_indices('/').chain([(name.len(), "")]) {
            let dir = &name[..end];
            if !self.names.contains(dir) {
                self.entry(dir, DIRECTORY, &[])?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) -> Result<()> {
        self.write(name, Builder::new(name).mode(mode), content)
            .with_context(|| format!("cannot write {name} to the initrd"))
    }

    fn write(&mut self, name: &str, entry: Builder, content: &[u8]) -> Result<()> {
        if !self.names.insert(name.to_owned()) {
            bail!("two files would have that name");
        }
        let len = u32::try_from(content.len()).context("a file in a cpio archive ends at 4 GiB")?;
        let mut writer = entry.write(&mut self.out, len);
        writer.write_all(content)?;
        writer.finish()?;
        Ok(())
    }
}

/// Quotes a word for the shell.
fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use cpio::newc::Reader;

    use super::*;

    /// The archive's names, modes and contents.
    fn list(mut archive: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let mut entries = Vec::new();
        loop {
            let mut reader = Reader::new(archive).unwrap();
            if reader.entry().is_trailer() {
                return entries;
            }
            let (name, mode) = (reader.entry().name().to_owned(), reader.entry().mode());
            let mut content = Vec::new();
            std::io::Read::read_to_end(&mut reader, &mut content).unwrap();
            archive = reader.finish().unwrap();
            entries.push((name, mode, content));
        }
    }

    fn empty() -> Image<Vec<u8>> {
        Image { out: Vec::new(), names: BTreeSet::new() }
    }

    #[test]
    fn directories_come_once_and_before_their_files() {
        let mut image = empty();
        image.file("lib/modules/x.ko", b"module").unwrap();
        image.file("lib/modules/y.ko", b"").unwrap();
        image.link("bin", "lib").unwrap();
        let entries = list(&image.finish().unwrap());
        let names: Vec<_> = entries.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(names, ["lib", "lib/modules", "lib/modules/x.ko", "lib/modules/y.ko", "bin"]);
        assert_eq!(entries[0].1, DIRECTORY);
        assert_eq!(entries[2], ("lib/modules/x.ko".to_owned(), PROGRAM, b"module".to_vec()));
        assert_eq!(entries[4].2, b"lib");
    }

    #[test]
    fn two_files_of_one_name_are_refused() {
        let mut image = empty();
        image.file("vm/x", b"1").unwrap();
        let error = format!("{:#}", image.file("vm/x", b"2").unwrap_err());
        assert!(error.contains("vm/x") && error.contains("two files"), "{error}");
    }

    #[test]
    fn the_command_keeps_its_words() {
        let mut image = empty();
        let words = ["/vm/x", "two words", "it's", "$HOME"].map(str::to_owned);
        assert_eq!(image.add_command(&words).unwrap(), "/vm/.command");
        let entries = list(&image.finish().unwrap());
        assert_eq!(entries[1].2, b"#!/bin/sh\nexec '/vm/x' 'two words' 'it'\\''s' '$HOME'\n");
    }
}
