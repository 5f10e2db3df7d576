//! Toolchains by rustup, into the project's folder.

use std::{
    env,
    ffi::OsString,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use ebpf_build::{forget_outer_cargo, tools_dir};

use super::say;
use crate::privilege::in_path;

/// A toolchain, pinned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Toolchain {
    /// rustup's name of it.
    name: &'static str,
    /// What it has beside rustc, cargo and std.
    components: &'static [&'static str],
    /// What it is for.
    purpose: &'static str,
    /// The folder of the tools that is its `RUSTUP_HOME`. No two share one: an installation replaces all of it, and the eBPF
    /// build, which looks for compilers in [`COMPILER`]'s, must not find Miri's nightly there.
    folder: &'static str,
}

/// Builds the eBPF programs where the user has no compiler that can. The release that the project is tested with: its LLVM
/// is one that bpf-linker can be built with.
pub(crate) const COMPILER: Toolchain = Toolchain {
    name: "1.95.0",
    components: &["rust-src"],
    purpose: "a compiler with core's source: the BPF target has no ready-made core",
    folder: "rustup",
};
/// The oldest release that Cargo.toml promises for what runs in user space.
pub(crate) const OLDEST: Toolchain = Toolchain {
    name: concat!(env!("CARGO_PKG_RUST_VERSION"), ".0"),
    components: &[],
    purpose: "for lint: the oldest release that has to build rss-drift",
    folder: "msrv",
};
/// The oldest release that the eBPF programs' Cargo.toml promises: [`ebpf_build::MINIMUM_RUSTC`].
pub(crate) const OLDEST_EBPF: Toolchain = Toolchain {
    name: "1.91.0",
    components: &[],
    purpose: "for lint: the oldest release that has to build the eBPF programs",
    folder: "msrv-ebpf",
};
/// Miri. Only nightlies have it, and not every one. That of this date has, and its rustc is 1.95: Miri judges the code by the
/// rules of the compiler that builds the eBPF programs. It moves when [`COMPILER`] does.
pub(crate) const MIRI: Toolchain = Toolchain {
    name: "nightly-2026-02-27",
    components: &["miri", "rust-src"],
    purpose: "for lint: Miri",
    folder: "miri",
};

/// The only host that rss-drift runs on.
const HOST: &str = "x86_64-unknown-linux-gnu";
/// A server that answers does so in a second or two; after this long without a word of a download there is none.
const UNTIL_DOWNLOAD: Duration = Duration::from_secs(20);
/// Enough for 130 MB on a slow line, and an end on one that stands still.
const UNTIL_INSTALLED: Duration = Duration::from_secs(180);

impl Toolchain {
    /// Whether it is there.
    pub(crate) fn is_installed(self, root: &Path) -> bool {
        self.bin(root).join("cargo").is_file()
    }

    /// Installs it where it is missing. False where it is missing and there is no rustup.
    pub(crate) fn ensure(self, root: &Path) -> Result<bool> {
        if self.is_installed(root) {
            return Ok(true);
        }
        if !in_path("rustup") {
            return Ok(false);
        }
        self.install(root).with_context(|| format!("installing {} by rustup", self.name))?;
        Ok(true)
    }

    /// Installs it, or says why not. The user's rustup is not changed: the toolchain goes into a home of the project's own.
    pub(crate) fn install(self, root: &Path) -> Result<()> {
        if !in_path("rustup") {
            bail!("it is not installed");
        }
        let home = self.home(root);
        say(&format!(
            "downloading Rust {} by rustup ({}; into {}, about 125 MB; your own rustup is not changed)",
            self.name,
            self.purpose,
            home.display()
        ));
        // Under another name until it is whole: an interrupted download must not be taken for a toolchain.
        let unfinished = home.with_extension("unfinished");
        remove(&unfinished)?;
        fs::create_dir_all(&unfinished).with_context(|| format!("cannot create {}", unfinished.display()))?;
        if let Err(error) = self.download(&unfinished) {
            remove(&unfinished)?;
            return Err(error);
        }
        remove(&home)?;
        fs::rename(&unfinished, &home).with_context(|| format!("cannot create {}", home.display()))
    }

    /// A command of one of its programs, in the workspace, with the rest of the toolchain first in PATH.
    pub(crate) fn command(self, root: &Path, program: &str) -> Result<Command> {
        let bin = self.bin(root);
        let path = env::var_os("PATH").unwrap_or_default();
        let path: OsString = env::join_paths([bin.clone()].into_iter().chain(env::split_paths(&path)))
            .with_context(|| format!("{} cannot be part of PATH: move the project", bin.display()))?;
        let mut command = Command::new(bin.join(program));
        forget_outer_cargo(&mut command);
        command.current_dir(root).env("PATH", path);
        Ok(command)
    }

    /// Its `RUSTUP_HOME`. A program may keep more there, which goes with the toolchain.
    pub(crate) fn home(self, root: &Path) -> PathBuf {
        tools_dir(root).join(self.folder)
    }

    fn bin(self, root: &Path) -> PathBuf {
        self.home(root).join("toolchains").join(format!("{}-{HOST}", self.name)).join("bin")
    }

    /// Runs rustup with `home` as its home, shows what it says, and ends it where it gets nowhere.
    fn download(self, home: &Path) -> Result<()> {
        let mut command = Command::new("rustup");
        forget_outer_cargo(&mut command);
        command.args(["toolchain", "install", self.name, "--profile", "minimal", "--no-self-update"]);
        for component in self.components {
            command.args(["--component", component]);
        }
        let mut child = command
            .env("RUSTUP_HOME", home)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run rustup")?;
        let stderr = child.stderr.take().context("rustup has no standard error")?;
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });

        let start = Instant::now();
        let mut limit = UNTIL_DOWNLOAD;
        loop {
            match lines.recv_timeout(limit.saturating_sub(start.elapsed())) {
                Ok(line) => {
                    eprintln!("  {line}");
                    if line.contains("downloading") {
                        limit = UNTIL_INSTALLED;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    end(&mut child);
                    bail!("it got nowhere in {} s", limit.as_secs());
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        let status = child.wait().context("cannot wait for rustup")?;
        if !status.success() {
            bail!("it failed ({status}), as told above");
        }
        Ok(())
    }
}

/// Ends rustup and waits for it.
fn end(child: &mut Child) {
    // An error here means that it has ended already.
    let _ = child.kill();
    let _ = child.wait();
}

/// Removes a directory if it is there.
fn remove(dir: &Path) -> Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_oldest_compiler_of_ebpf_programs_is_the_one_that_builds_ask_for() {
        assert_eq!(OLDEST_EBPF.name, ebpf_build::MINIMUM_RUSTC.to_string());
    }

    #[test]
    fn no_two_share_a_home() {
        let all = [COMPILER, OLDEST, OLDEST_EBPF, MIRI];
        let folders: HashSet<_> = all.iter().map(|toolchain| toolchain.folder).collect();
        assert_eq!(folders.len(), all.len());
    }
}
