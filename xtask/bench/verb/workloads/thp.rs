//! Transparent huge pages of the whole host: set for a while, put back by `Drop`.

use std::{fmt, fs, path::Path};

use anyhow::{Context as _, Result};

const ENABLED: &str = "/sys/kernel/mm/transparent_hugepage/enabled";
/// Since 6.8: a setting for each size; `inherit` follows the one above.
const ENABLED_2M: &str = "/sys/kernel/mm/transparent_hugepage/hugepages-2048kB/enabled";

/// When the kernel gives huge pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Thp {
    /// To nobody.
    Never,
    /// Wherever they fit.
    Always,
}

impl Thp {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Never, Self::Always];

    /// The kernel's word for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Always => "always",
        }
    }

    /// Sets it for the whole host, until what is returned is dropped.
    pub(crate) fn set(self) -> Result<Vec<Setting>> {
        let mut changed = vec![Setting::change(ENABLED, self.word())?];
        if Path::new(ENABLED_2M).exists() {
            changed.push(Setting::change(ENABLED_2M, "inherit")?);
        }
        Ok(changed)
    }
}

impl fmt::Display for Thp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A changed setting. Dropping it puts the old value back, also while a panic unwinds.
#[derive(Debug)]
pub(crate) struct Setting {
    path: String,
    old: String,
}

impl Setting {
    fn change(path: &str, value: &str) -> Result<Self> {
        let old = fs::read_to_string(path).with_context(|| {
            format!("cannot read {path}: the workloads need a kernel with transparent huge pages")
        })?;
        let setting = Self { path: path.to_owned(), old: chosen(&old).to_owned() };
        fs::write(path, value).with_context(|| format!("cannot write {value} to {path}"))?;
        Ok(setting)
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        if let Err(error) = fs::write(&self.path, &self.old) {
            eprintln!("error: {} could not be put back to {}: {error}", self.path, self.old);
        }
    }
}

/// The value to write back: the kernel marks the one that holds, as in `always [madvise] never`.
fn chosen(text: &str) -> &str {
    let marked = text.split_whitespace().find_map(|word| word.strip_prefix('[')?.strip_suffix(']'));
    marked.unwrap_or_else(|| text.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marked_value_is_the_chosen_one() {
        assert_eq!(chosen("always [madvise] never\n"), "madvise");
        assert_eq!(chosen("inherit\n"), "inherit");
    }

    #[test]
    fn a_panic_puts_the_old_value_back() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        fs::write(path, "always [madvise] never\n").unwrap();
        let panicked = std::panic::catch_unwind(|| {
            let _setting = Setting::change(path, "never").unwrap();
            assert_eq!(fs::read_to_string(path).unwrap(), "never");
            panic!("in the middle of a round");
        });
        assert!(panicked.is_err());
        assert_eq!(fs::read_to_string(path).unwrap(), "madvise");
    }
}
