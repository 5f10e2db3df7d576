//! The kernels that are tested, and where Debian has them.

use std::{cmp::Ordering, fmt, path::PathBuf, str::FromStr};

/// A kernel, named as on the command line: one of Debian's, or a file of this host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kernel(&'static Line);

/// What is known of a kernel before it is there.
#[derive(Debug)]
struct Line {
    name: &'static str,
    source: Source,
}

/// Where a kernel comes from.
#[derive(Debug)]
pub(crate) enum Source {
    /// Debian's archive.
    Debian(Debian),
    /// A file of this host.
    File(PathBuf),
}

/// A line of kernels in Debian's archive.
#[derive(Debug)]
pub(crate) struct Debian {
    /// The suite that has it.
    pub(crate) suite: &'static str,
    /// How it was configured.
    pub(crate) flavour: Flavour,
    /// How its releases begin. A suite moves on (sid will have 8.0): what was fetched must be what was asked for.
    pub(crate) prefix: &'static str,
    /// How the kernel is found in the suite.
    pub(crate) find: Find,
}

/// Debian's configurations of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// For virtual machines.
    Cloud,
    /// For all machines.
    Generic,
    /// Generic, with `PREEMPT_RT`.
    Rt,
}

/// How a kernel is found in its suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Find {
    /// The one that the suite's meta package depends on.
    Current,
    /// The newest of its series: backports keep older ones too.
    OfSeries,
}

impl Flavour {
    /// The end of its packages' names.
    pub(crate) fn ending(self) -> &'static str {
        match self {
            Self::Cloud => "cloud-amd64",
            Self::Generic => "amd64",
            Self::Rt => "rt-amd64",
        }
    }

    /// The word for it in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cloud => "cloud",
            Self::Generic => "generic",
            Self::Rt => "PREEMPT_RT",
        }
    }
}

impl Debian {
    /// The suite's archive of security updates, where there is one: sid, experimental and backports have their own updates.
    pub(crate) fn security_suite(&self) -> Option<String> {
        let stable = ["bullseye", "bookworm", "trixie"].contains(&self.suite);
        stable.then(|| format!("{}-security", self.suite))
    }
}

const fn line(
    name: &'static str,
    suite: &'static str,
    flavour: Flavour,
    prefix: &'static str,
    find: Find,
) -> Line {
    Line { name, source: Source::Debian(Debian { suite, flavour, prefix, find }) }
}

use Find::{Current, OfSeries};
use Flavour::{Cloud, Generic, Rt};

/// All of them: first those of every run of the tests, then those of `vm test --wide`, oldest first in both.
static LINES: [Line; 25] = [
    line("5.10", "bullseye", Cloud, "5.10.", Current),
    line("6.1", "bookworm", Cloud, "6.1.", Current),
    line("6.12", "trixie", Cloud, "6.12.", Current),
    line("7.x", "sid", Cloud, "7.", Current),
    line("7.x-rt", "trixie-backports", Rt, "7.", Current),
    line("5.10-generic", "bullseye", Generic, "5.10.", Current),
    line("5.10-rt", "bullseye", Rt, "5.10.", Current),
    line("6.1-generic", "bookworm", Generic, "6.1.", Current),
    line("6.1-rt", "bookworm", Rt, "6.1.", Current),
    line("6.12-generic", "trixie", Generic, "6.12.", Current),
    line("6.12-rt", "trixie", Rt, "6.12.", Current),
    line("6.12-bpo", "bookworm-backports", Generic, "6.12.", Current),
    line("6.12-bpo-rt", "bookworm-backports", Rt, "6.12.", Current),
    line("6.16-generic", "trixie-backports", Generic, "6.16.", OfSeries),
    line("6.17-rt", "trixie-backports", Rt, "6.17.", OfSeries),
    line("6.18-generic", "trixie-backports", Generic, "6.18.", OfSeries),
    line("6.18-rt", "trixie-backports", Rt, "6.18.", OfSeries),
    line("6.19-generic", "trixie-backports", Generic, "6.19.", OfSeries),
    line("7.0-generic", "trixie-backports", Generic, "7.0.", OfSeries),
    line("7.1-generic", "trixie-backports", Generic, "7.1.", OfSeries),
    line("7.x-generic", "sid", Generic, "7.", Current),
    line("7.x-sid-rt", "sid", Rt, "7.", Current),
    line("7.x-bpo", "trixie-backports", Generic, "7.", Current),
    line("7.x-exp", "experimental", Generic, "7.", Current),
    line("7.x-exp-rt", "experimental", Rt, "7.", Current),
];

/// How many of [`LINES`] every run of the tests boots.
const USUAL: usize = 5;

impl Kernel {
    pub(crate) const V5_10: Self = Self(&LINES[0]);
    pub(crate) const V6_1: Self = Self(&LINES[1]);
    pub(crate) const V6_12: Self = Self(&LINES[2]);
    pub(crate) const V7: Self = Self(&LINES[3]);
    /// The newest release, and the one with `PREEMPT_RT`.
    pub(crate) const V7_RT: Self = Self(&LINES[4]);

    /// Those that every run of the tests boots, oldest first.
    pub(crate) const ALL: [Self; USUAL] = [Self::V5_10, Self::V6_1, Self::V6_12, Self::V7, Self::V7_RT];

    /// All that have a name: also those of `vm test --wide`.
    pub(crate) fn named() -> impl Iterator<Item = Self> {
        LINES.iter().map(Self)
    }

    /// Those that only `vm test --wide` boots.
    pub(crate) fn wide() -> impl Iterator<Item = Self> {
        LINES[USUAL..].iter().map(Self)
    }

    /// A kernel with this name.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        Self::named().find(|kernel| kernel.name() == name)
    }

    /// The name on the command line and in every table.
    pub(crate) fn name(self) -> &'static str {
        self.0.name
    }

    /// Where it comes from.
    pub(crate) fn source(self) -> &'static Source {
        &self.0.source
    }

    /// The suite of Debian's archive that has it; none for a file.
    pub(crate) fn suite(self) -> Option<&'static str> {
        match self.source() {
            Source::Debian(debian) => Some(debian.suite),
            Source::File(_) => None,
        }
    }

    /// Its place among all.
    fn rank(self) -> usize {
        LINES.iter().position(|line| line.name == self.0.name).unwrap_or(LINES.len())
    }
}

impl FromStr for Kernel {
    type Err = String;

    /// A name, or a path: what has a `/`.
    fn from_str(word: &str) -> Result<Self, String> {
        if let Some(kernel) = Self::of_name(word) {
            return Ok(kernel);
        }
        if !word.contains('/') {
            let names: Vec<_> = Self::named().map(Self::name).collect();
            return Err(format!("neither a file (./vmlinuz) nor one of {}", names.join(", ")));
        }
        let path = PathBuf::from(word).canonicalize().map_err(|error| error.to_string())?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // A few for each command line, and used until its end.
        Ok(Self(Box::leak(Box::new(Line { name: name.leak(), source: Source::File(path) }))))
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl PartialEq for Kernel {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Kernel {}

impl PartialOrd for Kernel {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// In the order of [`LINES`]; files come last.
impl Ord for Kernel {
    fn cmp(&self, other: &Self) -> Ordering {
        let path = |kernel: Self| match kernel.source() {
            Source::Debian(_) => None,
            Source::File(path) => Some(path),
        };
        (self.rank(), path(*self)).cmp(&(other.rank(), path(*other)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_that_of_one_kernel() {
        let all: Vec<_> = Kernel::named().collect();
        assert_eq!(all[..USUAL], Kernel::ALL);
        assert!(Kernel::wide().eq(all[USUAL..].iter().copied()));
        assert!(all.is_sorted() && all.windows(2).all(|two| two[0] != two[1]));
        for kernel in all {
            assert_eq!(kernel.name().parse(), Ok(kernel));
        }
    }

    #[test]
    fn a_path_is_a_kernel_and_another_word_is_told_the_names() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        let kernel: Kernel = path.parse().unwrap();
        assert_eq!(kernel, path.parse().unwrap());
        assert!(kernel > Kernel::named().last().unwrap());
        assert!(matches!(kernel.source(), Source::File(of) if of == file.path()));
        let error = "6.13".parse::<Kernel>().unwrap_err();
        assert!(error.contains("./vmlinuz") && error.contains("6.12-rt"), "{error}");
        assert!("/nowhere/vmlinuz".parse::<Kernel>().unwrap_err().contains("No such file"));
    }

    #[test]
    fn only_stable_suites_have_an_archive_of_security_updates() {
        let suites: Vec<_> = Kernel::named()
            .filter_map(|kernel| match kernel.source() {
                Source::Debian(debian) => debian.security_suite(),
                Source::File(_) => None,
            })
            .collect();
        assert_eq!(suites.len(), 9);
        assert!(suites.iter().all(|suite| !suite.contains("backports")));
    }
}
