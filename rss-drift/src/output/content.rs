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

    /// Looks into a file that has content: whether its first line is agreed to and its last row is whole. Returns where the file must
    /// be cut, because it ends in NUL bytes: where a host crashes while a file grows, the file keeps its length and loses what it held.
    pub(super) fn check(&self, file: &mut File, path: &Path) -> Result<Option<u64>, OutputError> {
        /// No first line of ours is as long.
        const LONGEST: u64 = 64 * 1024;
        let failed = |source| OutputError::Read { target: Target::File(path.to_owned()), source };
        let length = file.metadata().map_err(failed)?.len();
        let end = without_nuls(file, length).map_err(failed)?;
        if end == 0 {
            return Ok(Some(0));
        }
        let mut first = Vec::new();
        file.rewind().map_err(failed)?;
        BufReader::new(&*file).take(LONGEST.min(end)).read_until(b'\n', &mut first).map_err(failed)?;
        (self.accept)(self, &first)
            .map_err(|why| OutputError::OtherContent { path: path.to_owned(), why })?;
        let whole = self.end_of_rows(file, end).map_err(failed)?;
        match (whole, end < length) {
            (Some(whole), true) => Ok(Some(whole)),
            (Some(whole), false) if whole == end => Ok(None),
            _ => Err(OutputError::PartialLine { path: path.to_owned() }),
        }
    }

    /// Where the last whole row of the first `end` bytes ends; `None`: no row was found.
    fn end_of_rows(&self, file: &mut File, end: u64) -> io::Result<Option<u64>> {
        /// What of a large file is looked at: many rows of any length that a row can have.
        const TAIL: u64 = 1 << 20;
        /// A file of CSV that is not larger is read as a whole: only so it is certain what is within quotes.
        const SMALL: u64 = 64 << 20;
        let tail = end.saturating_sub(TAIL);
        let begin = match self.quoted {
            false => tail,
            true if end <= SMALL => 0,
            true => begin_of_row(file, tail, end)?.unwrap_or(0),
        };
        let (mut at, mut within_quotes, mut whole) = (begin, false, None);
        file.seek(SeekFrom::Start(begin))?;
        let mut reader = BufReader::with_capacity(BUFFER, &*file).take(end - begin);
        loop {
            let bytes = reader.fill_buf()?;
            if bytes.is_empty() {
                return Ok(whole);
            }
            for byte in bytes {
                at += 1;
                match byte {
                    b'"' if self.quoted => within_quotes = !within_quotes,
                    b'\n' if !within_quotes => whole = Some(at),
                    _ => {}
                }
            }
            let count = bytes.len();
            reader.consume(count);
        }
    }
}

/// Bytes that are read at once.
const BUFFER: usize = 64 * 1024;

/// Where a file ends without the NUL bytes at its end.
fn without_nuls(file: &mut File, mut end: u64) -> io::Result<u64> {
    let mut bytes = vec![0; BUFFER];
    while end > 0 {
        let begin = end.saturating_sub(BUFFER as u64);
        let bytes = &mut bytes[..usize::try_from(end - begin).unwrap_or(BUFFER)];
        file.seek(SeekFrom::Start(begin))?;
        file.read_exact(bytes)?;
        if let Some(last) = bytes.iter().rposition(|&byte| byte != 0) {
            return Ok(begin + last as u64 + 1);
        }
        end = begin;
    }
    Ok(0)
}

/// The first place from `from` on where a row of CSV begins for certain: no name and no path of a control group holds a line break and
/// a time of day behind it.
fn begin_of_row(file: &mut File, from: u64, end: u64) -> io::Result<Option<u64>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(from))?;
    (&*file).take(end - from).read_to_end(&mut bytes)?;
    let starts = bytes.windows(TIMESTAMP.len() + 2).position(|bytes| {
        bytes.starts_with(b"\r\n")
            && bytes[2..].iter().zip(TIMESTAMP).all(|(byte, of)| match of {
                b'0' => byte.is_ascii_digit(),
                of => byte == of,
            })
    });
    Ok(starts.map(|at| from + at as u64 + 2))
}

/// How a row begins: 0 is any digit.
const TIMESTAMP: &[u8] = b"0000-00-00T00:00:00.000Z,";

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_row_ends_behind_its_line_break() {
        let (csv, text) = (Content::csv(Vec::new()), Content::text());
        assert_eq!(csv.end_of_row(b"1,\"a\r\nb\"\"\n\",2\r\n3"), Some(15));
        assert_eq!(csv.end_of_row(b"1,\"a\r\nb"), None);
        assert_eq!(text.end_of_row(b"a \" b\nc\n"), Some(6));
        assert_eq!(text.end_of_row(b""), None);
    }

    /// What is found in a file of CSV with a header `a,b`.
    fn checked(rest: &[u8]) -> Result<Option<u64>, OutputError> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"a,b\r\n").and_then(|()| file.write_all(rest)).unwrap();
        Content::csv(b"a,b\r\n".to_vec()).check(&mut file, Path::new("/x.csv"))
    }

    #[test]
    fn a_row_that_is_cut_is_recognized() {
        assert!(matches!(checked(b"1,\"x\r\ny\"\r\n"), Ok(None)));
        for cut in [&b"1,2"[..], b"1,\"x\r\n", b"1,2\r\n3,\"\"\"\n"] {
            assert!(matches!(checked(cut), Err(OutputError::PartialLine { .. })), "{cut:?}");
        }
    }

    #[test]
    fn nul_bytes_and_the_row_before_them_are_cut_off() {
        assert!(matches!(checked(b"1,2\r\n\0\0"), Ok(Some(10))));
        assert!(matches!(checked(b"1,2\r\n3,\"x\r\n\0"), Ok(Some(10))));
        assert!(matches!(checked(&vec![0; 200_000]), Ok(Some(5))));
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![0; 70_000]).unwrap();
        assert!(matches!(Content::text().check(&mut file, Path::new("/x.txt")), Ok(Some(0))));
    }

    #[test]
    fn a_large_file_is_not_read_as_a_whole() {
        let row = b"2026-01-02T03:04:05.678Z,\"x\r\n\"\r\n";
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&row.repeat(100)).unwrap();
        let end = file.metadata().unwrap().len();
        // From the middle of a name on.
        let from = 28;
        assert_eq!(begin_of_row(&mut file, from, end).unwrap(), Some(row.len() as u64));
        assert_eq!(begin_of_row(&mut file, end - 10, end).unwrap(), None);
    }
}
