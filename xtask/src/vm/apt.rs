//! A private apt: packages of other suites, downloaded without a change to the system's configuration.
//!
//! The mirror is the system's own, and so are its proxy and other settings: only the lists of sources and the folders
//! are ours.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use super::{kernels::Kernel, tools};

/// Debian's keys, as package debian-archive-keyring installs them: the ending has changed over time.
const KEYRINGS: [&str; 2] =
    ["/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp"];

/// The addresses that the system takes Debian's packages from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mirrors {
    archive: String,
    security: Option<String>,
}

impl Mirrors {
    /// Asks apt, which knows every form of its sources. Where the system's lists were never fetched or were deleted,
    /// apt knows nothing: then they are fetched into a folder of ours.
    pub(crate) fn of_system(dir: &Path) -> Result<Self> {
        if let Some(mirrors) = Self::parse(&index_targets(&[])?) {
            return Ok(mirrors);
        }
        let lists = dir.join("system-lists");
        create(&lists.join("partial"))?;
        let lists = format!("Dir::State::Lists={}", lists.display());
        let options = ["-o", lists.as_str(), "-o", "APT::Sandbox::User=root"];
        tools::output(Command::new("apt-get").env("LC_ALL", "C").args(options).args(["-q", "update"]))?;
        Self::parse(&index_targets(&options)?).context(
            "apt's sources have no archive of Debian: kernels are fetched from the mirror named there",
        )
    }

    /// The address of the archive.
    pub(crate) fn archive(&self) -> &str {
        &self.archive
    }

    /// Lines of "origin, label, address".
    fn parse(targets: &str) -> Option<Self> {
        let find = |wanted: &str| {
            let mut lines = targets.lines().map(|line| line.splitn(3, '\t').collect::<Vec<_>>());
            lines.find_map(|fields| match fields[..] {
                ["Debian", label, address] if label == wanted => Some(address.to_owned()),
                _ => None,
            })
        };
        Some(Self { archive: find("Debian")?, security: find("Debian-Security") })
    }

    /// The sources for one kernel.
    fn sources(&self, kernel: Kernel, keyring: &str) -> String {
        let suite = kernel.suite();
        let options = format!("[arch=amd64 target=Packages signed-by={keyring}]");
        let mut sources = format!("deb {options} {} {suite} main\n", self.archive);
        if let Some(security) = self.security.as_ref().filter(|_| kernel.has_security()) {
            sources = format!("{sources}deb {options} {security} {suite}-security main\n");
        }
        sources
    }
}

fn index_targets(options: &[&str]) -> Result<String> {
    let format = "$(ORIGIN)\t$(LABEL)\t$(REPO_URI)";
    let printed = tools::output(Command::new("apt-get").env("LC_ALL", "C").args(options).args([
        "indextargets",
        "--format",
        format,
        "Created-By: Packages",
    ]))?;
    Ok(String::from_utf8_lossy(&printed).into_owned())
}

/// apt with the sources of one kernel.
pub(crate) struct Apt {
    dir: PathBuf,
}

impl Apt {
    /// Makes the configuration in `dir` and fetches the suite's lists.
    pub(crate) fn new(kernel: Kernel, mirrors: &Mirrors, dir: PathBuf) -> Result<Self> {
        let keyring = KEYRINGS
            .into_iter()
            .find(|file| Path::new(file).exists())
            .context("Debian's keys are missing: apt-get install debian-archive-keyring")?;
        for folder in ["lists/partial", "cache/archives/partial", "parts"] {
            create(&dir.join(folder))?;
        }
        let sources = dir.join("sources.list");
        std::fs::write(&sources, mirrors.sources(kernel, keyring))
            .with_context(|| format!("cannot write {}", sources.display()))?;
        let apt = Self { dir };
        tools::output(apt.command("apt-get").args(["-q", "update"]))?;
        Ok(apt)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("LC_ALL", "C");
        let folders = [
            ("Dir::Etc::SourceList", "sources.list"),
            ("Dir::Etc::SourceParts", "parts"),
            ("Dir::State", "."),
            ("Dir::State::Lists", "lists"),
            ("Dir::Cache", "cache"),
        ];
        for (option, folder) in folders {
            command.arg("-o").arg(format!("{option}={}", self.dir.join(folder).display()));
        }
        let settings = [
            // Pins and installed packages are about this system, not about the guest's.
            "Dir::Etc::Preferences=/dev/null",
            "Dir::Etc::PreferencesParts=/dev/null",
            "Dir::State::status=/dev/null",
            "APT::Default-Release=",
            "APT::Architecture=amd64",
            "Acquire::Languages=none",
            // Else a mirror that does not answer is a warning, and the old lists stand.
            "APT::Update::Error-Mode=any",
            // apt's own user cannot write into our folders.
            "APT::Sandbox::User=root",
        ];
        for setting in settings {
            command.args(["-o", setting]);
        }
        command
    }

    /// The packages that make up the newest kernel of the cloud flavour: what the meta package depends on.
    pub(crate) fn newest_kernel(&self) -> Result<Vec<String>> {
        let image = self.depends("linux-image-cloud-amd64", &["linux-image-"])?.pop().context(
            "package linux-image-cloud-amd64 depends on no linux-image-*: its packaging has changed",
        )?;
        // Newer packages of the image are empty and depend on the kernel's and the modules'.
        let mut packages = self.depends(&image, &["linux-binary-", "linux-modules-"])?;
        packages.push(image);
        Ok(packages)
    }

    fn depends(&self, package: &str, prefixes: &[&str]) -> Result<Vec<String>> {
        let depends = self.show(package, "Depends")?.unwrap_or_default();
        Ok(dependencies(&depends, prefixes))
    }

    /// The version of the newest package of this name.
    pub(crate) fn version(&self, package: &str) -> Result<String> {
        self.show(package, "Version")?.with_context(|| format!("package {package} has no version"))
    }

    fn show(&self, package: &str, field: &str) -> Result<Option<String>> {
        let shown =
            tools::output(self.command("apt-cache").args(["show", "--no-all-versions", "--", package]))?;
        let shown = String::from_utf8_lossy(&shown);
        let mut fields = shown.lines().filter_map(|line| line.split_once(": "));
        Ok(fields.find(|(name, _)| *name == field).map(|(_, value)| value.to_owned()))
    }

    /// Downloads packages (apt checks them against the signed lists) and unpacks them into `root`.
    pub(crate) fn unpack(&self, packages: &[String], root: &Path) -> Result<()> {
        let debs = self.dir.join("debs");
        create(&debs)?;
        tools::output(self.command("apt-get").current_dir(&debs).args(["-q", "download"]).args(packages))?;
        let entries = std::fs::read_dir(&debs).with_context(|| format!("cannot list {}", debs.display()))?;
        for entry in entries {
            tools::output(Command::new("dpkg-deb").arg("--extract").arg(entry?.path()).arg(root))?;
        }
        Ok(())
    }
}

/// The packages of a `Depends` field whose names begin with one of `prefixes`.
fn dependencies(depends: &str, prefixes: &[&str]) -> Vec<String> {
    let names = depends.split([',', '|']).filter_map(|word| word.split_whitespace().next());
    names.filter(|name| prefixes.iter().any(|prefix| name.starts_with(prefix))).map(str::to_owned).collect()
}

fn create(dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGETS: &str = "Somebody\tDebian\thttp://other.invalid/debian/\n\
                           Debian\tDebian\thttp://mirror.invalid/debian/\n\
                           Debian\tDebian-Security\thttp://mirror.invalid/debian-security/\n\
                           Debian\tDebian\thttp://second.invalid/debian/\n";

    #[test]
    fn the_first_archives_of_debian_are_taken() {
        let mirrors = Mirrors::parse(TARGETS).unwrap();
        assert_eq!(mirrors.archive, "http://mirror.invalid/debian/");
        assert_eq!(mirrors.security.as_deref(), Some("http://mirror.invalid/debian-security/"));
        assert_eq!(Mirrors::parse("Ubuntu\tUbuntu\thttp://mirror.invalid/ubuntu/\n"), None);
        assert_eq!(Mirrors::parse(""), None);
    }

    #[test]
    fn sid_has_no_security_archive() {
        let mirrors = Mirrors::parse(TARGETS).unwrap();
        assert_eq!(
            mirrors.sources(Kernel::V7, "/keys.gpg"),
            "deb [arch=amd64 target=Packages signed-by=/keys.gpg] http://mirror.invalid/debian/ sid main\n"
        );
        assert!(
            mirrors.sources(Kernel::V6_1, "/keys.gpg").contains("debian-security/ bookworm-security main\n")
        );
    }

    #[test]
    fn dependencies_are_names_without_versions() {
        let depends = "dracut | initramfs-tools (>= 0.120), linux-base-7.2.13 (= 7.2.13-1), \
                       linux-binary-7.2.13+deb14-cloud-amd64 (= 7.2.13-1), linux-modules-7.2.13 (= 7.2.13-1)";
        assert_eq!(
            dependencies(depends, &["linux-binary-", "linux-modules-"]),
            ["linux-binary-7.2.13+deb14-cloud-amd64", "linux-modules-7.2.13"]
        );
        assert!(dependencies("", &["linux-"]).is_empty());
    }
}
