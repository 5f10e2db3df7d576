//! A whole Debian on the image of a disk, by debootstrap: systemd, and a root that logs in on the console by itself.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::group::{self, Stop};
use crate::vm::Mirrors;

/// What a minimal Debian lacks for a boot to a login.
const PACKAGES: &str = "systemd-sysv,udev,dbus,login";

/// Sparse: a fifth of it is filled.
const SIZE: &str = "2G";

/// getty asks nobody: it runs login(1) for root.
const AUTOLOGIN: &str =
    "[Service]\nExecStart=\nExecStart=-/sbin/agetty --autologin root --keep-baud 115200 %I $TERM\n";
/// The same where systemd takes its pid namespace for a container.
const AUTOLOGIN_CONSOLE: &str = "[Service]\nExecStart=\nExecStart=-/sbin/agetty --autologin root --noclear --keep-baud console 115200 $TERM\n";
/// Emulated CPUs beside other work are slow: nothing is to be given up.
const PATIENCE: &str = "[Manager]\nDefaultTimeoutStartSec=1500\nDefaultDeviceTimeoutSec=1500\n";
/// The end of the boot, as the guest's script takes it.
const PROFILE: &str = "[ -p /run/login ] && echo \"login on $(tty)\" >/run/login\n";

/// The system.
#[derive(Debug)]
pub(crate) struct Root {
    /// The image.
    pub(crate) disk: PathBuf,
    /// What is in it.
    pub(crate) description: String,
}

impl Root {
    /// Makes the image of a suite in `dir`, unless it is there.
    pub(crate) fn ensure(dir: &Path, suite: &str, stop: &Stop) -> Result<Self> {
        let folder = dir.join(format!("debian-{suite}"));
        let (disk, about) = (folder.join("disk.ext4"), folder.join("description"));
        if !folder.exists() {
            make(dir, &folder, suite, stop)
                .with_context(|| format!("cannot make a Debian {suite} to boot"))?;
        }
        let description = fs::read_to_string(&about)
            .with_context(|| format!("cannot read {}: delete {}", about.display(), folder.display()))?;
        Ok(Self { disk, description: description.trim().to_owned() })
    }
}

fn make(dir: &Path, folder: &Path, suite: &str, stop: &Stop) -> Result<()> {
    eprintln!("making a Debian {suite} by debootstrap");
    let work = tempfile::Builder::new().prefix("debian-").tempdir_in(dir);
    let work = work.with_context(|| format!("cannot make a folder in {}", dir.display()))?;
    let (root, made) = (work.path().join("root"), work.path().join("made"));
    fs::create_dir(&made).with_context(|| format!("cannot create {}", made.display()))?;
    let mirrors = Mirrors::of_system(work.path())?;
    // What it mounts ends with the namespace, however it ends itself.
    let mut debootstrap = Command::new("unshare");
    debootstrap.args(["--mount", "debootstrap", "--variant=minbase"]).arg(format!("--include={PACKAGES}"));
    debootstrap.arg(suite).arg(&root).arg(mirrors.archive());
    group::run(&mut debootstrap, "debootstrap", stop)?;
    configure(&root)?;
    let version =
        fs::read_to_string(root.join("etc/debian_version")).context("a Debian without a version")?;
    let mut query = Command::new("dpkg-query");
    query.arg("--admindir").arg(root.join("var/lib/dpkg"));
    query.args(["--show", "--showformat", "systemd ${Version}", "systemd"]);
    let systemd = group::run(&mut query, "dpkg-query", stop)?;
    let description = format!("Debian {} ({suite}), {}", version.trim(), systemd.trim());
    write(&made.join("description"), &description)?;
    let mut mke2fs = Command::new("mke2fs");
    mke2fs.args(["-q", "-t", "ext4", "-d"]).arg(&root).arg(made.join("disk.ext4")).arg(SIZE);
    group::run(&mut mke2fs, "mke2fs", stop)?;
    // Last: what was interrupted is not taken for a system.
    fs::rename(&made, folder).with_context(|| format!("cannot create {}", folder.display()))
}

fn configure(root: &Path) -> Result<()> {
    let units = root.join("etc/systemd/system");
    write(&units.join("serial-getty@.service.d/autologin.conf"), AUTOLOGIN)?;
    write(&units.join("console-getty.service.d/autologin.conf"), AUTOLOGIN_CONSOLE)?;
    write(&root.join("etc/systemd/system.conf.d/patience.conf"), PATIENCE)?;
    write(&root.join("etc/hostname"), "guest\n")?;
    let profile = root.join("root/.profile");
    let before = fs::read_to_string(&profile).unwrap_or_default();
    write(&profile, &(before + PROFILE))
}

fn write(file: &Path, text: &str) -> Result<()> {
    let dir = file.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(dir)
        .and_then(|()| fs::write(file, text))
        .with_context(|| format!("cannot write {}", file.display()))
}
