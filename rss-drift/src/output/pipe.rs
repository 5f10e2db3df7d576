//! How rows go into a pipe. A pipe cannot be cut back, and nobody knows when its reader stalls or we are killed: so that no reader
//! ever sees a part of a row, rows go in pieces that the kernel takes as a whole or not at all.

use std::{
    io,
    os::fd::{AsFd, AsRawFd as _},
};

use nix::fcntl::{FcntlArg, fcntl};

use super::content::Content;

/// What the kernel writes into a pipe in one go (pipe(7)). A page: each buffer of a pipe has one.
const PIPE_BUF: usize = libc::PIPE_BUF;

/// Where the pieces of a report end: each holds as many whole rows as go in one go. A row that is longer is a piece of its own,
/// which the kernel may split.
pub(super) fn ends_of_pieces(bytes: &[u8], content: &Content) -> Vec<usize> {
    let (mut ends, mut begin, mut end) = (Vec::new(), 0, 0);
    while end < bytes.len() {
        let row = content.end_of_row(&bytes[end..]).map_or(bytes.len(), |row| end + row);
        if row - begin > PIPE_BUF && end > begin {
            ends.push(end);
            begin = end;
        }
        end = row;
    }
    if end > begin {
        ends.push(end);
    }
    ends
}

/// Buffers that we give a pipe at most: a mebibyte, as much as any user may (`fs.pipe-max-size`).
const MOST_BUFFERS: usize = 256;

/// Whether a pipe takes so many pieces for certain, or never will take them all at once: then there is nothing to wait for. A pipe that
/// is too small gets more buffers, where the kernel lets us.
///
/// # Errors
/// Of what is no pipe.
pub(super) fn may_begin(pipe: impl AsFd, pieces: usize) -> io::Result<bool> {
    let mut buffers = count(fcntl(&pipe, FcntlArg::F_GETPIPE_SZ)?) / PIPE_BUF;
    if pieces > buffers && pieces <= MOST_BUFFERS {
        let size = libc::c_int::try_from(pieces * PIPE_BUF).unwrap_or(libc::c_int::MAX);
        if let Ok(size) = fcntl(&pipe, FcntlArg::F_SETPIPE_SZ(size)) {
            buffers = count(size) / PIPE_BUF;
        }
    }
    let mut unread: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int to the address that it is given.
    let result = unsafe { libc::ioctl(pipe.as_fd().as_raw_fd(), libc::FIONREAD, &raw mut unread) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(pieces > buffers || used(count(unread)) + pieces <= buffers)
}

/// What the kernel counts is not below 0.
fn count(number: libc::c_int) -> usize {
    usize::try_from(number).unwrap_or(0)
}

/// The most buffers that hold so many bytes of our pieces. A piece goes into a new buffer only where it does not fit behind the one
/// before (`fs/pipe.c:pipe_write`): two neighbours hold more than a page together. The reader may be in the middle of the first.
const fn used(unread: usize) -> usize {
    if unread == 0 { 0 } else { 2 * unread / PIPE_BUF + 2 }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        io::{Read as _, Write as _},
    };

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pieces_are_whole_rows_that_go_in_one_go(lengths in prop::collection::vec(1..5000usize, 0..40)) {
            let rows: Vec<String> = lengths.iter().map(|length| "x".repeat(length - 1) + "\n").collect();
            let ends = ends_of_pieces(rows.concat().as_bytes(), &Content::text());
            let mut of_rows = vec![0];
            for length in &lengths {
                of_rows.push(of_rows[of_rows.len() - 1] + length);
            }
            let mut begin = 0;
            for &end in &ends {
                let (first, last) = (of_rows.binary_search(&begin), of_rows.binary_search(&end));
                prop_assert!(first.is_ok() && last.is_ok(), "{begin} to {end} are whole rows");
                prop_assert!(end - begin <= PIPE_BUF || last.unwrap() - first.unwrap() == 1);
                begin = end;
            }
            prop_assert_eq!(begin, lengths.iter().sum::<usize>());
        }

        /// Where the pipe takes it for certain, no write of a report has to wait.
        #[test]
        fn a_report_that_may_begin_fits(
            reports in prop::collection::vec((1..40usize, 1..700usize), 1..60),
            reads in prop::collection::vec(0..9000usize, 60),
        ) {
            let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_NONBLOCK).unwrap();
            let (mut read, mut write) = (File::from(read), File::from(write));
            for ((rows, length), take) in reports.into_iter().zip(reads) {
                let report = ("x".repeat(length) + "\n").repeat(rows);
                let ends = ends_of_pieces(report.as_bytes(), &Content::text());
                if may_begin(&write, ends.len()).unwrap() {
                    let mut begin = 0;
                    for end in ends {
                        let count = write.write(&report.as_bytes()[begin..end]).unwrap();
                        prop_assert_eq!(count, end - begin);
                        begin = end;
                    }
                }
                let _ = read.read(&mut vec![0; take]);
            }
        }
    }

    #[test]
    fn what_never_fits_is_not_waited_for() {
        let (_read, write) = nix::unistd::pipe().unwrap();
        let mut write = File::from(write);
        assert!(may_begin(&write, 16).unwrap());
        write.write_all(b"x").unwrap();
        assert!(!may_begin(&write, 16).unwrap());
        assert!(may_begin(&write, MOST_BUFFERS + 1).unwrap());
        assert_eq!(fcntl(&write, FcntlArg::F_GETPIPE_SZ).unwrap(), 16 * 4096);
    }

    #[test]
    fn a_pipe_that_is_too_small_grows() {
        let (_read, write) = nix::unistd::pipe().unwrap();
        assert!(may_begin(&write, 17).unwrap());
        assert_eq!(fcntl(&write, FcntlArg::F_GETPIPE_SZ).unwrap(), 32 * 4096);
    }
}
