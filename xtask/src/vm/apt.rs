//! A private apt: packages of other suites, downloaded without a change to the system's configuration.
//!
//! The mirror is the system's own, and so are its proxy and other settings: only the lists of sources and the folders
//! are ours.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, anyhow};

use super::{
    kernels::{Debian, Find},
    tools,
};

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

    /// The same without security updates.
    pub(crate) fn without_security(&self) -> Self {
        Self { archive: self.archive.clone(), security: None }
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
    fn sources(&self, kernel: &Debian, keyring: &str) -> String {
        let options = format!("[arch=amd64 target=Packages signed-by={keyring}]");
        let mut sources = format!("deb {options} {} {} main\n", self.archive, kernel.suite);
        if let (Some(security), Some(suite)) = (&self.security, kernel.security_suite()) {
            sources = format!("{sources}deb {options} {security} {suite} main\n");
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
    pub(crate) fn new(kernel: &Debian, mirrors: &Mirrors, dir: PathBuf) -> Result<Self> {
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
        tools::output(apt.command("apt-get").args(["-q", "update"])).map_err(|error| gone(error, kernel))?;
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

    /// The packages that make up a kernel: its image last.
    pub(crate) fn packages(&self, kernel: &Debian) -> Result<Vec<String>> {
        let image = match kernel.find {
            Find::Current => {
                let meta = format!("linux-image-{}", kernel.flavour.ending());
                self.depends(&meta, &["linux-image-"])?.pop().with_context(|| {
                    format!("package {meta} depends on no linux-image-*: its packaging has changed")
                })?
            }
            Find::OfSeries => {
                let start = format!("linux-image-{}", kernel.prefix);
                let names = tools::output(self.command("apt-cache").args(["pkgnames", &start]))?;
                newest_image(&String::from_utf8_lossy(&names), kernel).with_context(|| {
                    format!("it no longer has a package {start}*-{}", kernel.flavour.ending())
                })?
            }
        };
        // Newer packages of the image are empty and depend on the kernel's and the modules'.
        let mut packages = self.depends(&image, &["linux-binary-", "linux-modules-"])?;
        // Backports keep older kernels without their modules: tests that need one are skipped then.
        let listed = tools::output(self.command("apt-cache").args(["pkgnames", "linux-modules-"]))?;
        let listed = String::from_utf8_lossy(&listed);
        packages.retain(|name| !name.starts_with("linux-modules-") || listed.lines().any(|it| it == name));
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

/// The newest of these packages that is an image of this kernel's series and flavour: `linux-image-6.16.12+deb13-rt-amd64`.
fn newest_image(names: &str, kernel: &Debian) -> Option<String> {
    let ending = format!("-{}", kernel.flavour.ending());
    let patch = |name: &&str| -> Option<u32> {
        let rest = name.strip_prefix("linux-image-")?.strip_prefix(kernel.prefix)?;
        let (version, of_debian) = rest.strip_suffix(&ending)?.split_once('+')?;
        // Another flavour's name has more words: `+deb13-cloud`.
        if of_debian.contains('-') { None } else { version.parse().ok() }
    };
    names.lines().filter(|name| patch(name).is_some()).max_by_key(patch).map(str::to_owned)
}

/// A suite that was moved to an archive is told in one line; apt's own errors are many.
fn gone(error: anyhow::Error, kernel: &Debian) -> anyhow::Error {
    if format!("{error:#}").contains("does not have a Release file") {
        return anyhow!(
            "the mirror in apt's sources has no suite {} (any more): see xtask/src/vm/kernels.rs",
            kernel.suite
        );
    }
    error
}

fn create(dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))
}

#[cfg(test)]
mod tests {
    use super::super::kernels::{Kernel, Source};
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

    fn debian(name: &str) -> &'static Debian {
        match Kernel::of_name(name).unwrap().source() {
            Source::Debian(debian) => debian,
            Source::File(_) => panic!("{name} is Debian's"),
        }
    }

    #[test]
    fn sid_has_no_security_archive() {
        let mirrors = Mirrors::parse(TARGETS).unwrap();
        assert_eq!(
            mirrors.sources(debian("7.x"), "/keys.gpg"),
            "deb [arch=amd64 target=Packages signed-by=/keys.gpg] http://mirror.invalid/debian/ sid main\n"
        );
        let sources = mirrors.sources(debian("6.1"), "/keys.gpg");
        assert!(sources.contains("debian-security/ bookworm-security main\n"), "{sources}");
    }

    #[test]
    fn the_newest_of_a_series_and_flavour_is_taken() {
        let names = "linux-image-6.16.12+deb13-amd64
linux-image-6.16.3+deb13-amd64
\
                     linux-image-6.16.13+deb13-cloud-amd64
linux-image-6.16.14+deb13-rt-amd64
";
        let newest = |kernel| newest_image(names, debian(kernel));
        assert_eq!(newest("6.16-generic").as_deref(), Some("linux-image-6.16.12+deb13-amd64"));
        assert_eq!(newest("6.17-rt"), None);
    }

    #[test]
    fn a_suite_that_is_gone_is_told_in_one_line() {
        let apt = "`apt-get -q update` failed (exit status: 100):\nE: The repository 'http://mirror.invalid/debian \
                   bullseye-backports Release' does not have a Release file.\nN: See apt-secure(8)";
        let error = format!("{:#}", gone(anyhow!(apt), debian("6.12-bpo")));
        assert!(error.contains("has no suite bookworm-backports") && error.lines().count() == 1, "{error}");
        assert!(format!("{:#}", gone(anyhow!("Could not resolve"), debian("6.1"))).contains("resolve"));
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
