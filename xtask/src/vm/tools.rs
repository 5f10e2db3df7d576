//! The programs of the host that the virtual machines need.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::setup;

const QEMU: &str = "qemu-system-x86_64";

/// Installs what is missing. Asks first where there is somebody to ask, unless `yes`.
pub(crate) fn ensure(yes: bool) -> Result<()> {
    // Programs that came another way than by packages will do as well.
    if find(QEMU).is_some() && busybox().is_ok() { Ok(()) } else { setup::virtual_machines(yes) }
}

/// The emulator.
pub(crate) fn qemu() -> Result<PathBuf> {
    require(QEMU, "qemu-system-x86")
}

/// Fails with the package to install when a program is missing.
pub(crate) fn require(program: &str, package: &str) -> Result<PathBuf> {
    find(program).with_context(|| format!("no `{program}` in PATH: apt-get install {package}"))
}

/// The static busybox: the dynamically linked one of package `busybox` does not start in a guest.
pub(crate) fn busybox() -> Result<PathBuf> {
    let busybox = require("busybox", "busybox-static")?;
    let program = std::fs::read(&busybox).with_context(|| format!("cannot read {}", busybox.display()))?;
    if needs_libraries(&program) {
        bail!("{} is dynamically linked: apt-get install busybox-static", busybox.display());
    }
    Ok(busybox)
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    // /usr/sbin is not in everybody's PATH.
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

/// Whether this is an ELF program that names a dynamic loader (`PT_INTERP`).
pub(crate) fn needs_libraries(program: &[u8]) -> bool {
    const PT_INTERP: u64 = 3;
    let field = |at: usize, len: usize| -> Option<u64> {
        let bytes = program.get(at..at.checked_add(len)?)?;
        Some(bytes.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte)))
    };
    let headers = || -> Option<bool> {
        let (start, size, count) = (field(32, 8)?, field(54, 2)?, field(56, 2)?);
        let interp = (0..count).any(|header| {
            let at = usize::try_from(start + header * size).ok();
            at.and_then(|at| field(at, 4)) == Some(PT_INTERP)
        });
        Some(interp)
    };
    program.starts_with(b"\x7fELF\x02\x01") && headers().unwrap_or(false)
}

/// Runs a program to its end and returns what it printed; its errors go into the error.
pub(crate) fn output(command: &mut Command) -> Result<Vec<u8>> {
    let what = describe(command);
    let Output { status, stdout, stderr } =
        command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {what}"))?;
    if !status.success() {
        bail!("{what} failed ({status}):\n{}", String::from_utf8_lossy(&stderr).trim_end());
    }
    Ok(stdout)
}

/// The words of a command that tell it from others: `-o` and its setting would drown them.
fn describe(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let mut words = vec![program.to_string_lossy().into_owned()];
    let mut args = command.get_args();
    while let Some(arg) = args.next() {
        if arg == OsStr::new("-o") {
            args.next();
        } else {
            words.push(arg.to_string_lossy().into_owned());
        }
    }
    format!("`{}`", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elf(segment: u8) -> Vec<u8> {
        let mut program = vec![0; 64 + 2 * 56];
        program[..6].copy_from_slice(b"\x7fELF\x02\x01");
        program[32] = 64;
        program[54] = 56;
        program[56] = 2;
        program[64] = 1;
        program[64 + 56] = segment;
        program
    }

    #[test]
    fn a_loader_is_seen_in_the_program_headers() {
        assert!(needs_libraries(&elf(3)));
        assert!(!needs_libraries(&elf(2)));
        assert!(!needs_libraries(b"#!/bin/sh\n"));
        assert!(!needs_libraries(&elf(3)[..70]), "a cut file is not judged");
    }

    #[test]
    fn a_command_is_described_without_its_settings() {
        let mut command = Command::new("/usr/bin/apt-get");
        command.args(["-o", "Dir::Cache=x", "download", "linux-image"]);
        assert_eq!(describe(&command), "`apt-get download linux-image`");
    }
}
