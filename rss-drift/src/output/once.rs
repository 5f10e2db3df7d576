//! A file that is written once, at the end, and replaces what was there.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use nix::unistd::{AccessFlags, access};

use super::{
    OutputError, Target,
    file::Blocks,
    place,
    writer::{Unit, Writer},
};

/// The file, which is as it was until there is something to write.
#[derive(Debug)]
pub(crate) struct OnceFile {
    target: Target,
    writer: Option<Writer>,
}

impl OnceFile {
    /// Looks whether the file can be written later, and is no other output's.
    pub(crate) fn check(path: &Path, other: &Target) -> Result<Self, OutputError> {
        let target = Target::new(path);
        if target == *other || is_same(&target, other) {
            return Err(OutputError::SameFile { one: other.clone(), two: target });
        }
        if let Target::File(path) = &target {
            place::check(path).map_err(|refused| OutputError::of(refused, &target))?;
            match fs::metadata(path) {
                Ok(found) if found.is_file() => {
                    drop(place::existing(path).map_err(|refused| OutputError::of(refused, &target))?);
                }
                Ok(_) => {}
                Err(_) => {
                    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
                    let folder = folder.map_or_else(|| PathBuf::from("."), Path::to_owned);
                    access(&folder, AccessFlags::W_OK | AccessFlags::X_OK).map_err(|errno| {
                        OutputError::Open { target: target.clone(), source: io::Error::from(errno) }
                    })?;
                }
            }
        }
        Ok(Self { target, writer: None })
    }

    /// Replaces what is there. Where there is nothing to write, the file stays.
    pub(crate) fn write(&mut self, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            let target = self.target.clone();
            let writer = Writer::start(&self.target, Box::new(move || Blocks::replacing(&target)));
            writer.report(Unit { bytes, rows: 1, counts: true });
            self.writer = Some(writer);
        }
    }

    /// Whether all is written, or nothing can be.
    pub(crate) fn is_drained(&self) -> bool {
        self.writer.as_ref().is_none_or(Writer::is_drained)
    }

    /// Whether that worked.
    pub(crate) fn end(&self) -> Result<(), OutputError> {
        self.writer.as_ref().and_then(Writer::take_failure).map_or(Ok(()), Err)
    }
}

/// Whether two names are of one file.
fn is_same(one: &Target, two: &Target) -> bool {
    let identity = |target: &Target| match target {
        Target::File(path) => fs::metadata(path).ok().map(|found| (found.dev(), found.ino())),
        Target::Stdout | Target::Stderr => None,
    };
    identity(one).is_some_and(|one| identity(two) == Some(one))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_stays_as_it_was_until_something_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let [old, new, link] = ["old", "new", "link"].map(|name| directory.path().join(name));
        fs::write(&old, "before").unwrap();
        fs::hard_link(&old, &link).unwrap();
        let other = Target::File(link);
        for same in [&old, &directory.path().join("./link")] {
            assert!(matches!(OnceFile::check(same, &other), Err(OutputError::SameFile { .. })));
        }
        let mut file = OnceFile::check(&old, &Target::Stderr).unwrap();
        file.write(Vec::new());
        assert!(file.is_drained() && file.end().is_ok());
        assert_eq!(fs::read(&old).unwrap(), b"before");
        OnceFile::check(&new, &other).unwrap();
        assert!(!new.exists());
        let gone = OnceFile::check(&directory.path().join("gone/x"), &other).unwrap_err().to_string();
        assert!(gone.contains("its directory must be there first"), "{gone}");
        file.write(b"after".to_vec());
        while !file.is_drained() {
            std::thread::yield_now();
        }
        assert!(file.end().is_ok());
        assert_eq!(fs::read(&old).unwrap(), b"after");
    }
}
