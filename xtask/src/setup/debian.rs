//! Debian's packages, by apt.

use std::{
    collections::HashSet,
    ffi::OsStr,
    io::{self, BufRead, Write},
    process::Command,
};

use anyhow::{Context, Result, bail};
use ebpf_build::{MINIMUM_RUSTC, Version};

use super::say;
use crate::{
    cargo::succeed,
    privilege::{as_root, has_terminal, in_path, is_root},
};

/// Packages that serve one purpose.
#[derive(Debug)]
pub(crate) struct Group {
    /// What they are needed for.
    reason: &'static str,
    /// Their names.
    packages: &'static [&'static str],
    /// The oldest version that will do, where it matters.
    minimum: Option<Version>,
}

/// A Rust compiler with core's source, and with it the LLVM library that bpf-linker is built against.
pub(crate) const COMPILER: Group = Group {
    reason: "a Rust compiler with core's source: the BPF target has no ready-made core",
    packages: &["rustc-web", "rust-web-src"],
    minimum: Some(MINIMUM_RUSTC),
};

/// What `cargo xtask vm` calls and not every Debian has.
pub(crate) const VIRTUAL_MACHINES: Group = Group {
    reason: "virtual machines: an emulator, and a busybox without shared libraries",
    packages: &["qemu-system-x86", "busybox-static"],
    minimum: None,
};

/// What `cargo xtask bench` compares rss-drift with.
pub(crate) const BENCH: Group = Group {
    reason: "what the bench compares rss-drift with: ps, top, htop, pidstat, perf and bpftrace",
    packages: &["procps", "htop", "sysstat", "linux-perf", "bpftrace"],
    minimum: None,
};

/// What `cargo xtask bench instructions` disassembles with.
pub(crate) const DISASSEMBLER: Group =
    Group { reason: "a disassembler: objdump", packages: &["binutils"], minimum: None };

/// The RFC's workloads, for `cargo xtask bench workloads`.
pub(crate) const PGBENCH: Group = Group {
    reason: "pgbench: PostgreSQL, whose package starts a server of its own, which the bench leaves alone",
    packages: &["postgresql", "util-linux"],
    minimum: None,
};

/// As [`PGBENCH`].
pub(crate) const HACKBENCH: Group = Group { reason: "hackbench", packages: &["rt-tests"], minimum: None };

/// As [`PGBENCH`].
pub(crate) const KERNEL_BUILD: Group = Group {
    reason: "a kernel build: the sources, and what builds them",
    packages: &["linux-source", "bc", "bison", "flex", "gcc", "make", "xz-utils"],
    minimum: None,
};

/// As [`PGBENCH`].
pub(crate) const DEBIAN_ROOT: Group = Group {
    reason: "a whole Debian to boot in a virtual machine",
    packages: &["debootstrap", "e2fsprogs"],
    minimum: None,
};

/// Installs the packages of this group that are missing. Asks first where there is somebody to ask, unless `yes`.
pub(crate) fn install(group: &Group, yes: bool) -> Result<()> {
    for tool in ["apt-get", "apt-cache", "dpkg-query"] {
        if !in_path(tool) {
            bail!(
                "{} are apt's packages for it, and there is no {tool} here ({})",
                group.packages.join(", "),
                group.reason
            );
        }
    }
    let missing = missing(group.packages, &installed(group.packages)?);
    if missing.is_empty() {
        return Ok(());
    }
    let command = format!("apt-get install --no-install-recommends {}", missing.join(" "));
    say(&format!("{command} ({})", group.reason));
    consent(yes, &command)?;

    let mut updated = false;
    if !offered(&missing, group.minimum)? {
        update()?;
        updated = true;
        if !offered(&missing, group.minimum)? {
            let least = group.minimum.map(|version| format!(" {version} or newer")).unwrap_or_default();
            bail!(
                "apt's sources have no {}{least}; is Debian's security suite among them?",
                group.packages.join(", ")
            );
        }
    }
    let first = apt_install(&missing);
    if first.is_err() && !updated {
        // The usual reason: the lists name versions that the mirror has replaced.
        update()?;
        return apt_install(&missing);
    }
    first
}

/// Those of `wanted` that are not installed.
fn missing<'a>(wanted: &[&'a str], installed: &HashSet<String>) -> Vec<&'a str> {
    wanted.iter().copied().filter(|package| !installed.contains(*package)).collect()
}

/// Those of `packages` that are installed.
fn installed(packages: &[&str]) -> Result<HashSet<String>> {
    // It fails when it does not know one of them, and still tells about the others.
    let output = Command::new("dpkg-query")
        .args(["--show", "--showformat", "${db:Status-Status} ${Package}\n"])
        .args(packages)
        .output()
        .context("cannot run dpkg-query")?;
    Ok(parse_installed(&String::from_utf8_lossy(&output.stdout)))
}

/// Reads dpkg-query's lines.
fn parse_installed(text: &str) -> HashSet<String> {
    text.lines().filter_map(|line| line.strip_prefix("installed ")).map(str::to_owned).collect()
}

/// Whether apt could install all of them, new enough.
fn offered(packages: &[&str], minimum: Option<Version>) -> Result<bool> {
    let output = Command::new("apt-cache")
        .arg("policy")
        .args(packages)
        // The words are translated otherwise.
        .env("LC_ALL", "C")
        .output()
        .context("cannot run apt-cache")?;
    let candidates = parse_candidates(&String::from_utf8_lossy(&output.stdout));
    let new_enough = |version: &Version| minimum.is_none_or(|minimum| *version >= minimum);
    Ok(candidates.iter().filter(|version| new_enough(version)).count() == packages.len())
}

/// The versions that apt would install, without epochs.
fn parse_candidates(text: &str) -> Vec<Version> {
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("Candidate: "))
        .filter_map(|version| Version::parse(version.split_once(':').map_or(version, |(_, rest)| rest)))
        .collect()
}

/// Fetches apt's lists.
fn update() -> Result<()> {
    say("apt-get update (apt does not know these packages yet, or in versions that are gone)");
    succeed(apt()?.args(["update", "--quiet"]), "apt-get update")
}

/// Installs the packages.
fn apt_install(packages: &[&str]) -> Result<()> {
    let mut command = apt()?;
    command.args(["install", "--quiet", "--yes", "--no-install-recommends"]).args(packages);
    succeed(&mut command, &format!("apt-get install --no-install-recommends {}", packages.join(" ")))
}

/// apt-get as root, asking nothing.
fn apt() -> Result<Command> {
    as_root(OsStr::new("apt-get"), &[("DEBIAN_FRONTEND", "noninteractive")], "installing Debian's packages")
}

/// Asks whether the packages may be installed.
fn consent(yes: bool, command: &str) -> Result<()> {
    if yes {
        return Ok(());
    }
    if !has_terminal() {
        if is_root() {
            return Ok(());
        }
        bail!("not installed without being asked: run it again with --yes, or as root `{command}`");
    }
    eprint!("Install these packages? [Y/n] ");
    io::stderr().flush().context("cannot ask")?;
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer).context("cannot read the answer")?;
    if read > 0 && is_yes(&answer) {
        return Ok(());
    }
    bail!("you said no; `{command}` as root does the same");
}

/// Whether an answer to a question with yes as its default is a yes.
fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_lowercase().as_str(), "" | "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_wholly_installed_counts() {
        let text = "installed rustc-web\nconfig-files rust-web-src\nnot-installed libllvm22\n";
        let installed = parse_installed(text);
        assert_eq!(missing(&["rustc-web", "rust-web-src"], &installed), ["rust-web-src"]);
        assert_eq!(missing(&["rustc-web"], &installed), [""; 0]);
        assert_eq!(missing(&["rustc-web"], &parse_installed("")), ["rustc-web"]);
    }

    #[test]
    fn candidates_with_and_without_epoch() {
        let text = "rustc-web:\n  Installed: (none)\n  Candidate: 1.96.0+dfsg1-1~deb12u2\n  Version table:\n\
            gone:\n  Installed: (none)\n  Candidate: (none)\n  Version table:\n\
            llvm:\n  Installed: (none)\n  Candidate: 1:22.1.8-1~deb12u1\n";
        assert_eq!(parse_candidates(text), [Version::new(1, 96, 0), Version::new(22, 1, 8)]);
    }

    #[test]
    fn answers() {
        for yes in ["\n", "y\n", "Yes\n", " Y \n"] {
            assert!(is_yes(yes), "{yes:?}");
        }
        for no in ["n\n", "no\n", "what?\n"] {
            assert!(!is_yes(no), "{no:?}");
        }
    }
}
