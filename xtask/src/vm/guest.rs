//! A guest with its files: what `run`, `shell` and `test` have in common.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
    time::Duration,
};

use anyhow::{Context, Result, bail};

use super::{
    image::Image,
    qemu::{End, Files, Machine},
};

/// How much of the console explains a failure.
const CONSOLE_LINES: usize = 60;

/// The command of a guest and the files that it needs.
pub(crate) struct Job<'a> {
    /// The command: with a `/` a file of the host, else a program of the guest or one of `files`.
    pub(crate) command: &'a [String],
    /// More files of the host, to be put beside it.
    pub(crate) files: &'a [PathBuf],
    /// After this long the guest is killed.
    pub(crate) timeout: Duration,
}

impl Job<'_> {
    /// Runs the job in `machine`; returns how it ended and what was on the console.
    pub(crate) fn run(
        &self,
        machine: &Machine,
        stop: &AtomicBool,
        out: &mut (impl Write + Send),
        err: &mut (impl Write + Send),
    ) -> Result<(End, String)> {
        let dir = workdir()?;
        let files = Files { initrd: dir.path().join("initrd"), console: dir.path().join("console") };
        let mut image = Image::new(create(&files.initrd)?, &machine.kernel)?;
        for file in self.files {
            image.add(file)?;
        }
        let Some((program, args)) = self.command.split_first() else { bail!("no command for the guest") };
        let program = if program.contains('/') { image.add(Path::new(program))? } else { program.clone() };
        let words: Vec<_> = std::iter::once(program).chain(args.iter().cloned()).collect();
        let command = image.add_command(&words)?;
        image.finish()?.flush().context("cannot write the initrd")?;

        let end = machine.run(&files, &command, self.timeout, stop, out, err)?;
        // A guest that died early has written none.
        let console = std::fs::read(&files.console).unwrap_or_default();
        Ok((end, String::from_utf8_lossy(&console).into_owned()))
    }
}

/// Boots a guest with a shell on this terminal.
pub(crate) fn shell(machine: &Machine, files: &[PathBuf]) -> Result<std::process::ExitStatus> {
    let dir = workdir()?;
    let initrd = dir.path().join("initrd");
    let mut image = Image::new(create(&initrd)?, &machine.kernel)?;
    for file in files {
        image.add(file)?;
    }
    image.finish()?.flush().context("cannot write the initrd")?;
    machine.interactive(&initrd)
}

/// The last lines of a console, indented: a kernel's last words.
pub(crate) fn tail(console: &str) -> String {
    last_lines(console, CONSOLE_LINES, "console")
}

/// The last lines of a text, each after its name.
pub(crate) fn last_lines(text: &str, count: usize, name: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(count)..];
    last.iter().flat_map(|line| ["  ", name, "| ", line.trim_end(), "\n"]).collect()
}

fn workdir() -> Result<tempfile::TempDir> {
    let parent = super::target();
    std::fs::create_dir_all(&parent)
        .and_then(|()| tempfile::Builder::new().prefix("guest-").tempdir_in(&parent))
        .with_context(|| format!("cannot create a folder in {}", parent.display()))
}

fn create(file: &Path) -> Result<BufWriter<File>> {
    Ok(BufWriter::new(File::create(file).with_context(|| format!("cannot create {}", file.display()))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_short() {
        let console = (0..100).map(|line| format!("line {line}")).collect::<Vec<_>>().join("\r\n");
        let tail = tail(&console);
        assert_eq!(tail.lines().count(), CONSOLE_LINES);
        assert!(tail.starts_with("  console| line 40\n") && tail.ends_with("line 99\n"));
        assert_eq!(super::tail(""), "");
    }
}
