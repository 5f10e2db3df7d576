//! What an output holds: how it begins, where its rows end, and whether a file that has content may be appended to.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom},
    path::Path,
};

use super::{OutputError, Target};

/// What the rows of a format look like.
#[derive(Clone, Debug)]
pub(super) struct Content {
    /// What an empty output begins with.
    pub preamble: Vec<u8>,
    /// Whether a line break within quotes is part of a row, as in CSV.
    pub quoted: bool,
    /// Why a file whose first line is this one (with its line break) is not to be appended to.
    pub accept: fn(&Content, &[u8]) -> Result<(), String>,
}

impl Content {
    /// Lines of text, behind anything.
    pub(super) fn text() -> Self {
        Self { preamble: Vec::new(), quoted: false, accept: |_, _| Ok(()) }
    }

    /// CSV with this header.
    pub(super) fn csv(header: Vec<u8>) -> Self {
        let accept = |content: &Self, first: &[u8]| {
            if first == content.preamble {
                return Ok(());
            }
            let found = String::from_utf8_lossy(&first[..first.len().min(60)]).into_owned();
            Err(format!("its first line is not the header of our CSV ({:?})", found.trim_end()))
        };
        Self { preamble: header, quoted: true, accept }
    }

    /// Where a row ends that begins at the start of `bytes`: behind its line break. `None`: not in these bytes.
    pub(super) fn end_of_row(&self, bytes: &[u8]) -> Option<usize> {
        let mut within_quotes = false;
        for (at, byte) in bytes.iter().enumerate() {
            match byte {
                b'"' if self.quoted => within_quotes = !within_quotes,
                b'\n' if !within_quotes => return Some(at + 1),
                _ => {}
            }
        }
        None
    }

    /// Looks into a file that has content: whether its last line is complete, and its first one agreed to.
    pub(super) fn check(&self, file: &mut File, path: &Path) -> Result<(), OutputError> {
        /// No first line of ours is as long.
        const LONGEST: u64 = 64 * 1024;
        let failed = |source| OutputError::Read { target: Target::File(path.to_owned()), source };
        let mut first = Vec::new();
        file.rewind().map_err(failed)?;
        BufReader::new(&*file).take(LONGEST).read_until(b'\n', &mut first).map_err(failed)?;
        (self.accept)(self, &first)
            .map_err(|why| OutputError::OtherContent { path: path.to_owned(), why })?;
        let mut last = [0];
        file.seek(SeekFrom::End(-1)).map_err(failed)?;
        let read: io::Result<()> = file.read_exact(&mut last);
        read.map_err(failed)?;
        if last == *b"\n" { Ok(()) } else { Err(OutputError::PartialLine { path: path.to_owned() }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_ends_behind_its_line_break() {
        let (csv, text) = (Content::csv(Vec::new()), Content::text());
        assert_eq!(csv.end_of_row(b"1,\"a\r\nb\"\"\n\",2\r\n3"), Some(15));
        assert_eq!(csv.end_of_row(b"1,\"a\r\nb"), None);
        assert_eq!(text.end_of_row(b"a \" b\nc\n"), Some(6));
        assert_eq!(text.end_of_row(b""), None);
    }
}
