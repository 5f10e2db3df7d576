//! The build of a tiny kernel, from package linux-source.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use super::{
    group::{self, Stop},
    software::{self, version},
    workload::{Round, Workload},
};
use crate::bench::units::time;

/// Where Debian's packages put the sources.
const SOURCES: &str = "/usr/src";
/// As in the RFC.
const JOBS: &str = "-j16";

/// The workload.
#[derive(Debug)]
pub(crate) struct KernelBuild {
    /// The unpacked sources.
    tree: PathBuf,
    /// Where builds are made.
    dir: PathBuf,
    /// The folder of the kernel that timed rounds build; all of it where there is none.
    part: Option<String>,
    /// Where that is built, round after round.
    prepared: Option<TempDir>,
}

impl KernelBuild {
    /// Unpacks the sources into `dir`, unless they are there.
    pub(crate) fn prepare(dir: &Path, part: Option<String>, stop: &Stop) -> Result<Self> {
        let (package, archive) = newest_sources()?;
        let tree = dir.join(format!("{package}_{}", version(&package)?.replace('/', "_")));
        if !tree.exists() {
            eprintln!("unpacking {}", archive.display());
            let work = tempdir(dir)?;
            let mut tar = Command::new("tar");
            tar.arg("--extract").arg("--file").arg(&archive).arg("--directory").arg(work.path());
            tar.args(["--strip-components=1", "--no-same-owner"]);
            group::run(&mut tar, &format!("unpacking {}", archive.display()), stop)?;
            // Last: what was interrupted is not taken for a tree.
            fs::rename(work.path(), &tree)
                .with_context(|| format!("cannot move the sources to {}", tree.display()))?;
        }
        Ok(Self { tree, dir: dir.to_owned(), part, prepared: None })
    }

    /// A folder with nothing but a configuration.
    fn configured(&self, stop: &Stop) -> Result<TempDir> {
        let out = tempdir(&self.dir)?;
        self.make(out.path(), &["tinyconfig"], stop)?;
        Ok(out)
    }

    fn make(&self, out: &Path, last: &[&str], stop: &Stop) -> Result<()> {
        let mut make = Command::new("make");
        make.args(self.words(out, last).into_iter().skip(1));
        group::run(&mut make, &format!("make {}", last.join(" ")), stop).map(drop)
    }

    fn words(&self, out: &Path, last: &[&str]) -> Vec<OsString> {
        let mut output = OsString::from("O=");
        output.push(out);
        let first = ["make".into(), "--silent".into(), "-C".into(), self.tree.clone().into(), output];
        first.into_iter().chain(last.iter().map(OsString::from)).collect()
    }

    /// Builds one folder of the kernel anew; the time of that.
    fn build_part(&self, out: &Path, part: &str, stop: &Stop) -> Result<Round> {
        let objects = out.join(part);
        if objects.exists() {
            fs::remove_dir_all(&objects).with_context(|| format!("cannot remove {}", objects.display()))?;
        }
        let begin = Instant::now();
        self.make(out, &[JOBS, &format!("{part}/")], stop)?;
        let seconds = begin.elapsed().as_secs_f64();
        let built = objects.join("built-in.a");
        if !built.exists() {
            bail!("the build ended well and left no {}", built.display());
        }
        Ok(Round { seconds, latency: None })
    }
}

impl Workload for KernelBuild {
    fn name(&self) -> &'static str {
        "kernel build"
    }

    fn describe(&self) -> Result<String> {
        let (package, _) = newest_sources()?;
        let timed = match &self.part {
            None => "the time of the build alone".to_owned(),
            Some(part) => {
                format!("timed rounds build its folder {part}/ anew, `rss-drift run` measures all of it")
            }
        };
        Ok(format!(
            "`make {JOBS}` after `make tinyconfig` of {package} {}, gcc {}, into a fresh folder; {timed}",
            version(&package)?,
            version("gcc")?
        ))
    }

    fn once(&mut self, stop: &Stop, run: &mut dyn FnMut(&[OsString]) -> Result<()>) -> Result<()> {
        let out = self.configured(stop)?;
        run(&self.words(out.path(), &[JOBS]))
    }

    fn begin(&mut self, stop: &Stop) -> Result<()> {
        if let Some(part) = &self.part {
            let out = self.configured(stop)?;
            self.make(out.path(), &[JOBS, "prepare"], stop)?;
            // The first time costs more: what make and the compiler read is in memory afterwards.
            self.build_part(out.path(), part, stop)?;
            self.prepared = Some(out);
        }
        Ok(())
    }

    fn round(&mut self, stop: &Stop) -> Result<Round> {
        if let (Some(part), Some(out)) = (&self.part, &self.prepared) {
            return self.build_part(out.path(), part, stop);
        }
        let out = self.configured(stop)?;
        let begin = Instant::now();
        self.make(out.path(), &[JOBS], stop)?;
        let seconds = begin.elapsed().as_secs_f64();
        if !out.path().join("vmlinux").exists() {
            bail!("the build ended well and left no vmlinux in {}", out.path().display());
        }
        Ok(Round { seconds, latency: None })
    }

    fn end(&mut self) -> Result<()> {
        self.prepared = None;
        Ok(())
    }

    fn show(&self, seconds: f64) -> String {
        time(seconds * 1e9)
    }
}

/// The package and the archive of the newest sources that are installed.
fn newest_sources() -> Result<(String, PathBuf)> {
    let names = software::list(Path::new(SOURCES))?;
    let packages = names.iter().filter_map(|name| name.strip_suffix(".tar.xz"));
    let package = packages
        .filter_map(|package| Some((numbers(package.strip_prefix("linux-source-")?)?, package)))
        .max()
        .map(|(_, package)| package.to_owned());
    let package = package.with_context(|| {
        format!("there is no linux-source-*.tar.xz in {SOURCES}: apt-get install --reinstall linux-source")
    })?;
    let archive = Path::new(SOURCES).join(format!("{package}.tar.xz"));
    Ok((package, archive))
}

/// The numbers of a version, to be compared.
fn numbers(version: &str) -> Option<Vec<u32>> {
    version.split('.').map(|number| number.parse().ok()).collect()
}

fn tempdir(dir: &Path) -> Result<TempDir> {
    tempfile::Builder::new()
        .prefix("build-")
        .tempdir_in(dir)
        .with_context(|| format!("cannot make a folder in {}", dir.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        assert!(numbers("6.12") > numbers("6.2"));
        assert_eq!(numbers("6.1-rt"), None);
    }
}
