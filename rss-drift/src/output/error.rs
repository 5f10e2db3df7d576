//! What can go wrong with an output, told with the file, the failure and what to do.

use std::{io, path::PathBuf, time::Duration};

use nix::errno::Errno;

use super::{Target, place::Refused, plan::shown_path};

/// An output that cannot be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// Whoever read our output has closed it: the end of the run, and no failure.
    #[error("the reader of the output has closed it")]
    ClosedPipe,
    /// Nobody read it before a signal ended the wait.
    #[error("nobody reads the output")]
    GivenUp {
        /// Whether a part of a row was taken.
        torn: bool,
    },
    /// The thread of an output has panicked, and has said why.
    #[error("an output ended by an error in rss-drift itself, which stands above; please report it")]
    Panicked,
    /// Standard output takes nothing.
    #[error("cannot write to standard output: {0}")]
    Print(io::Error),
    /// The file cannot be opened or created.
    #[error("cannot open {target} for writing: {}{}", reason(.source), open_remedy(.source))]
    Open {
        /// Which output.
        target: Target,
        source: io::Error,
    },
    /// The file's path has another user's link in a folder where everybody may make one.
    #[error(
        "cannot open {target}: {} is a symbolic link of user {user} in a folder where every user may make one: name the file that is meant",
        shown_path(link)
    )]
    ForeignLink {
        /// Which output.
        target: Target,
        link: PathBuf,
        /// Whose link it is.
        user: u32,
    },
    /// Another process holds a lock on the file.
    #[error(
        "cannot append to {target}: another process has held a lock on it for {}: wait until it is done, name another file, or \
         raise --lock-timeout",
        humantime::format_duration(*longest)
    )]
    Locked {
        /// Which output.
        target: Target,
        /// How long it was waited for.
        longest: Duration,
    },
    /// What the file holds already cannot be read, so that it cannot be told whether it may be appended to.
    #[error("cannot read {target} to see whether it can be appended to: {}", reason(.source))]
    Read {
        /// Which output.
        target: Target,
        source: io::Error,
    },
    /// A write failed.
    #[error("cannot write {target}: {}; {}{}", reason(.source), left(*.rows, .uncut.as_deref()), write_remedy(.source))]
    Write {
        /// Which output.
        target: Target,
        source: io::Error,
        /// Whole rows of this run that are in it.
        rows: u64,
        /// Why a part of a row is still at its end, if one is.
        uncut: Option<String>,
    },
    /// The file holds something else than our rows.
    #[error("cannot append to {}: {why}; it is left as it is: name another file", shown_path(path))]
    OtherContent {
        path: PathBuf,
        /// What is different.
        why: String,
    },
    /// The file's last line has no end.
    #[error(
        "cannot append to {}: its last line is not complete; it is left as it is: complete or remove that line, or name \
         another file",
        shown_path(path)
    )]
    PartialLine { path: PathBuf },
    /// Two outputs are one file.
    #[error("{one} and {two} are the same file: each output needs its own")]
    SameFile {
        /// The first name of the file.
        one: Target,
        /// The second.
        two: Target,
    },
}

impl OutputError {
    /// Of a file that was not opened.
    pub(super) fn of(refused: Refused, target: &Target) -> Self {
        let target = target.clone();
        match refused {
            Refused::Failed(source) => Self::Open { target, source },
            Refused::ForeignLink { link, user } => Self::ForeignLink { target, link, user },
        }
    }
}

/// The kernel's words without the number that `io::Error` adds.
fn reason(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => {
            let text = Errno::from_raw(number).desc();
            text.chars().take(1).flat_map(char::to_lowercase).chain(text.chars().skip(1)).collect()
        }
        None => error.to_string(),
    }
}

fn errno(error: &io::Error) -> Option<Errno> {
    error.raw_os_error().map(Errno::from_raw)
}

fn open_remedy(error: &io::Error) -> &'static str {
    match errno(error) {
        Some(Errno::ENOENT | Errno::ENOTDIR) => "; its directory must be there first",
        Some(Errno::EISDIR) => "; name a file in it",
        Some(Errno::EACCES | Errno::EPERM | Errno::EROFS) => "; name a file that may be written",
        _ => "",
    }
}

fn write_remedy(error: &io::Error) -> &'static str {
    match errno(error) {
        Some(Errno::ENOSPC | Errno::EDQUOT) => "; make room and start again",
        Some(Errno::EFBIG) => "; raise the limit of a file's size (ulimit -f) or name another file",
        _ => "",
    }
}

/// What a failed write left behind.
fn left(rows: u64, uncut: Option<&str>) -> String {
    let rows = match rows {
        0 => "no row of this run is in it".to_owned(),
        1 => "1 whole row of this run is in it".to_owned(),
        rows => format!("{rows} whole rows of this run are in it"),
    };
    uncut.map_or_else(|| rows.clone(), |why| format!("{rows}, and a part of a row behind them ({why})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_with_the_file_the_rows_and_the_remedy() {
        let mut error = OutputError::Write {
            target: Target::File(PathBuf::from("/x/y.csv")),
            source: io::Error::from_raw_os_error(libc::ENOSPC),
            rows: 12,
            uncut: None,
        };
        assert_eq!(
            error.to_string(),
            "cannot write /x/y.csv: no space left on device; 12 whole rows of this run are in it; make room and \
             start again"
        );
        if let OutputError::Write { uncut, rows, .. } = &mut error {
            *uncut = Some("it is not a file".to_owned());
            *rows = 0;
        }
        assert!(error.to_string().contains(
            "; no row of this run is in it, and a part of a row behind them (it is not a file); make room"
        ));
    }

    #[test]
    fn a_missing_directory_is_told_with_the_path() {
        let error = OutputError::Open {
            target: Target::File(PathBuf::from("/gone/y.csv")),
            source: io::Error::from_raw_os_error(libc::ENOENT),
        };
        assert_eq!(
            error.to_string(),
            "cannot open /gone/y.csv for writing: no such file or directory; its directory must be there first"
        );
    }
}
