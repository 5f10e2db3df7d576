//! `vm fetch`: a kernel from Debian's archive into the cache, once.

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail};

use super::{
    apt::{Apt, Mirrors},
    cached::{self, Cached},
    kernels::{Debian, Kernel, Source},
    own, tools,
};

/// What tests may want that is not built into every kernel: compressed swap in memory. One that a kernel has built in is
/// simply not there.
const MODULES: [&str; 6] = ["zram", "zsmalloc", "lzo", "lzo-rle", "lz4_compress", "lz4hc_compress"];

/// Arguments of `vm fetch`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only this kernel (may be given several times)
    #[arg(long, value_name = "K")]
    kernel: Vec<Kernel>,
    /// Also those that only `vm test --wide` boots
    #[arg(long)]
    wide: bool,
    /// Fetch the newest one even if there is one already
    #[arg(long)]
    refresh: bool,
}

/// Fetches what is missing and says what there is.
pub(crate) fn run(args: &Args) -> ExitCode {
    let mut kernels = if args.kernel.is_empty() { Kernel::ALL.to_vec() } else { args.kernel.clone() };
    if args.wide {
        kernels.extend(Kernel::wide());
    }
    let mut missing = 0;
    for kernel in kernels {
        let cached = match kernel.source() {
            Source::Debian(debian) if args.refresh => fetch(kernel, debian),
            _ => ensure(kernel),
        };
        match cached {
            Ok(cached) => println!("{cached}"),
            Err(error) => {
                eprintln!("error: {error:#}");
                missing += 1;
            }
        }
    }
    ExitCode::from(u8::from(missing > 0))
}

/// The kernel's files, fetched if there are none. What is there stays, so that runs can be repeated.
pub(crate) fn ensure(kernel: Kernel) -> Result<Cached> {
    match kernel.source() {
        Source::File(path) => own::open(kernel, path),
        Source::Debian(debian) => match Cached::open(kernel)? {
            Some(cached) => Ok(cached),
            None => fetch(kernel, debian),
        },
    }
}

fn fetch(kernel: Kernel, debian: &Debian) -> Result<Cached> {
    let context = || format!("cannot fetch kernel {kernel} from Debian's {}", debian.suite);
    eprintln!("fetching kernel {kernel} from Debian's {}", debian.suite);
    download(kernel, debian).with_context(context)?;
    Cached::open(kernel)?.with_context(context)
}

fn download(kernel: Kernel, debian: &Debian) -> Result<()> {
    for (program, package) in [("apt-get", "apt"), ("dpkg-deb", "dpkg"), ("sha256sum", "coreutils")] {
        tools::require(program, package)?;
    }
    let busybox = tools::busybox()?;
    let work = tempdir(&super::cache())?;
    let mirrors = Mirrors::of_system(work.path())?;
    let root = work.path().join("root");
    let unpack = |mirrors: &Mirrors, dir: &str| -> Result<String> {
        let apt = Apt::new(debian, mirrors, work.path().join(dir))?;
        let packages = apt.packages(debian)?;
        apt.unpack(&packages, &root)?;
        apt.version(packages.last().context("no package was fetched")?)
    };
    // An archive of security updates can name a package that it no longer has: the suite itself has an older one.
    let version = unpack(&mirrors, "apt").or_else(|error| {
        if debian.security_suite().is_none() || !format!("{error:#}").contains("404") {
            return Err(error);
        }
        eprintln!(
            "the archive of security updates does not have what it names: taking that of {}",
            debian.suite
        );
        unpack(&mirrors.without_security(), "older").map_err(|_| error)
    })?;
    let (release, vmlinuz) = find_kernel(&root)?;
    let Debian { suite, prefix, .. } = debian;
    if !release.starts_with(prefix) {
        bail!("Debian's {suite} now has kernel {release}, not {prefix}*: see xtask/src/vm/kernels.rs");
    }
    let made = work.path().join("kernel");
    std::fs::create_dir(&made).with_context(|| format!("cannot create {}", made.display()))?;
    std::fs::copy(&vmlinuz, made.join("vmlinuz"))
        .with_context(|| format!("cannot copy {}", vmlinuz.display()))?;
    copy_modules(&root, &made.join("modules"), &release, &busybox)?;
    let sums =
        tools::output(Command::new("sh").current_dir(&made).args([
            "-c",
            "find vmlinuz modules -type f | LC_ALL=C sort | tr '\\n' '\\0' | xargs -0 sha256sum",
        ]))?;
    write(&made.join("sha256"), &sums)?;
    // Last: a folder without this file is not a kernel.
    write(&made.join("version"), format!("{release} {version}\n").as_bytes())?;
    replace(&made, &cached::dir(kernel))
}

/// Finds the one kernel among unpacked packages: below /boot, or in newer packages with its modules.
fn find_kernel(root: &Path) -> Result<(String, PathBuf)> {
    for modules in ["lib/modules", "usr/lib/modules"] {
        let Ok(entries) = std::fs::read_dir(root.join(modules)) else { continue };
        for entry in entries {
            let entry = entry.with_context(|| format!("cannot list {}", root.display()))?;
            let release = entry.file_name().to_string_lossy().into_owned();
            let places = [root.join("boot").join(format!("vmlinuz-{release}")), entry.path().join("vmlinuz")];
            if let Some(vmlinuz) = places.into_iter().find(|place| place.is_file()) {
                return Ok((release, vmlinuz));
            }
        }
    }
    bail!("the packages hold no vmlinuz beside a folder of modules: their layout has changed")
}

pub(super) fn copy_modules(root: &Path, into: &Path, release: &str, busybox: &Path) -> Result<()> {
    // busybox's depmod takes three numbers for a release only, which `7.3-amd64` has not: its folder gets the name at the end.
    const ANY: &str = "0.0.0";
    let folder = into.join("lib/modules").join(ANY);
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let found = tools::output(Command::new("find").arg(root).args(["-type", "f", "-name", "*.ko*"]))?;
    for path in String::from_utf8_lossy(&found).lines().map(Path::new) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let (stem, ending) = name.split_once(".ko").unwrap_or((&name, ""));
        if !MODULES.contains(&stem) {
            continue;
        }
        let module = match ending {
            "" => std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?,
            ".xz" => tools::output(Command::new(busybox).arg("xzcat").arg(path))?,
            ".gz" => tools::output(Command::new(busybox).arg("zcat").arg(path))?,
            ".zst" => tools::output(Command::new(tools::require("zstd", "zstd")?).arg("-dcq").arg(path))?,
            other => bail!("{} is packed as {other}: only .xz, .gz and .zst are known here", path.display()),
        };
        write(&folder.join(format!("{stem}.ko")), &module)?;
    }
    // modprobe in the guest, and the kernel's own loading on demand, go by these lists.
    tools::output(Command::new(busybox).args(["depmod", "-b"]).arg(into).arg(ANY))?;
    let named = into.join("lib/modules").join(release);
    std::fs::rename(&folder, &named).with_context(|| format!("cannot make {}", named.display()))
}

/// Moves a finished kernel to its place, in place of an older one.
fn replace(made: &Path, dir: &Path) -> Result<()> {
    if dir.exists() {
        std::fs::remove_dir_all(dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    }
    if let Some(parent) = dir.parent() {
        std::fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    }
    std::fs::rename(made, dir).with_context(|| format!("cannot move the kernel to {}", dir.display()))
}

fn tempdir(parent: &Path) -> Result<tempfile::TempDir> {
    std::fs::create_dir_all(parent)
        .and_then(|()| tempfile::TempDir::new_in(parent))
        .with_context(|| format!("cannot create a folder in {}", parent.display()))
}

pub(super) fn write(file: &Path, content: &[u8]) -> Result<()> {
    std::fs::write(file, content).with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(file: &Path) {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, "").unwrap();
    }

    #[test]
    fn a_kernel_is_found_in_both_layouts() {
        let old = tempfile::tempdir().unwrap();
        touch(&old.path().join("boot/vmlinuz-5.10.0-46"));
        touch(&old.path().join("lib/modules/5.10.0-46/kernel/mm/zsmalloc.ko"));
        let (release, vmlinuz) = find_kernel(old.path()).unwrap();
        assert_eq!(release, "5.10.0-46");
        assert!(vmlinuz.ends_with("boot/vmlinuz-5.10.0-46"));

        let new = tempfile::tempdir().unwrap();
        touch(&new.path().join("usr/lib/modules/7.2.13/vmlinuz"));
        assert!(find_kernel(new.path()).unwrap().1.ends_with("7.2.13/vmlinuz"));
        assert!(find_kernel(&new.path().join("nothing")).is_err());
    }
}
