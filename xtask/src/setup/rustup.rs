//! A compiler with core's source by rustup, into the project's folder.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use ebpf_build::{forget_outer_cargo, tools_dir};

use super::say;
use crate::privilege::in_path;

/// The release that the project is tested with. Pinned: its LLVM is one that bpf-linker can be built with.
const TOOLCHAIN: &str = "1.95.0";
/// A server that answers does so in a second or two; after this long without a word of a download there is none.
const UNTIL_DOWNLOAD: Duration = Duration::from_secs(20);
/// Enough for 120 MB on a slow line, and an end on one that stands still.
const UNTIL_INSTALLED: Duration = Duration::from_secs(180);

/// Installs it, or says why not. The user's rustup is not changed: the toolchain goes into a home of the project's own.
pub(crate) fn install(root: &Path) -> Result<()> {
    if !in_path("rustup") {
        bail!("it is not installed");
    }
    let home = tools_dir(root).join("rustup");
    say(&format!(
        "downloading rustc {TOOLCHAIN} and core's source by rustup (the BPF target has no ready-made core; into {}, \
         about 120 MB; your own rustup is not changed)",
        home.display()
    ));
    // Under another name until it is whole: an interrupted download must not be taken for a toolchain.
    let unfinished = tools_dir(root).join("rustup.unfinished");
    remove(&unfinished)?;
    fs::create_dir_all(&unfinished).with_context(|| format!("cannot create {}", unfinished.display()))?;
    if let Err(error) = download(&unfinished) {
        remove(&unfinished)?;
        return Err(error);
    }
    remove(&home)?;
    fs::rename(&unfinished, &home).with_context(|| format!("cannot create {}", home.display()))
}

/// Runs rustup with `home` as its home, shows what it says, and ends it where it gets nowhere.
fn download(home: &Path) -> Result<()> {
    let mut command = Command::new("rustup");
    forget_outer_cargo(&mut command);
    let mut child = command
        .args(["toolchain", "install", TOOLCHAIN, "--profile", "minimal", "--component", "rust-src"])
        .arg("--no-self-update")
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
