use std::{
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    sync::{
        Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use proptest::prelude::*;

use super::*;

/// A disk with room for so many bytes, which takes at most so many in one write.
struct Disk {
    bytes: Vec<u8>,
    room: usize,
    at_once: usize,
    error: i32,
    foreign: &'static [u8],
}

impl Medium for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.room.saturating_sub(self.bytes.len());
        if room == 0 {
            return Err(io::Error::from_raw_os_error(self.error));
        }
        let count = bytes.len().min(room).min(self.at_once);
        self.bytes.extend(&bytes[..count]);
        Ok(count)
    }

    fn wait(&mut self, _: bool) {}

    fn wait_for_room(&mut self, _: usize, _: &dyn Fn() -> bool) {}

    fn ends(&mut self) -> io::Result<(u64, u64)> {
        let ours = self.bytes.len() as u64;
        self.bytes.extend(self.foreign);
        Ok((ours, self.bytes.len() as u64))
    }

    fn cut(&mut self, end: u64) -> io::Result<()> {
        self.bytes.truncate(usize::try_from(end).unwrap());
        Ok(())
    }
}

const REGULAR: Kind = Kind::File((1, 1));

fn disk(room: usize, at_once: usize, kind: Kind) -> Blocks<Disk> {
    let medium = Disk { bytes: Vec::new(), room, at_once, error: libc::ENOSPC, foreign: b"" };
    let target = Target::File(PathBuf::from("/x/y.csv"));
    Blocks {
        target,
        content: Content::text(),
        medium,
        kind,
        begun: true,
        rows: 0,
        lock_timeout: Duration::ZERO,
        in_place: false,
        is_locked: false,
    }
}

/// Opens an output, and waits for no lock.
fn open(target: &Target, content: Content) -> Result<Blocks, OutputError> {
    Blocks::open(target, content, Duration::ZERO)
}

/// Rows behind this first line, or behind nothing.
fn content(preamble: &[u8]) -> Content {
    Content { preamble: preamble.to_vec(), ..Content::text() }
}

proptest! {
    #[test]
    fn a_disk_that_fills_up_holds_whole_blocks(
        blocks in prop::collection::vec(prop::collection::vec("[a-z]{0,9}\n", 1..5), 1..10),
        room in 0..200usize,
        at_once in 1..50usize,
    ) {
        let mut file = disk(room, at_once, REGULAR);
        let mut whole = String::new();
        let mut rows = 0;
        for block in &blocks {
            let text = block.concat();
            match file.write(text.as_bytes(), block.len() as u64) {
                Ok(()) => {
                    whole.push_str(&text);
                    rows += block.len() as u64;
                }
                Err(OutputError::Write { rows: told, uncut, .. }) => {
                    prop_assert_eq!(told, rows);
                    prop_assert_eq!(uncut, None);
                    prop_assert!(whole.len() + text.len() > room, "there was room for it");
                    break;
                }
                Err(other) => prop_assert!(false, "{}", other),
            }
        }
        prop_assert_eq!(&file.medium.bytes, whole.as_bytes());
    }
}

#[test]
fn what_is_not_a_file_says_that_a_part_is_left() {
    let error = disk(4, 100, Kind::Other).write(b"123456\n", 1).unwrap_err().to_string();
    assert!(error.contains("a part of a row behind them (it is not a file"), "{error}");
}

#[test]
fn nothing_is_told_of_a_part_where_nothing_was_written() {
    let error = disk(0, 100, Kind::Other).write(b"123456\n", 1).unwrap_err().to_string();
    assert!(error.contains("no space left on device") && !error.contains("part"), "{error}");
}

#[test]
fn the_rows_of_another_process_are_not_cut() {
    let mut file = disk(4, 100, REGULAR);
    file.medium.foreign = b"other\n";
    let error = file.write(b"123456\n", 1).unwrap_err().to_string();
    assert!(error.contains("another process has written behind it"), "{error}");
    assert_eq!(file.medium.bytes, b"1234other\n");
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let mut file = disk(0, 1, Kind::Pipe);
    file.medium.error = libc::EPIPE;
    assert!(matches!(file.write(b"x\n", 1), Err(OutputError::ClosedPipe)));
}

#[test]
fn a_new_file_gets_the_preamble_once_and_the_mode_of_all_new_files() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("y.csv");
    let target = Target::File(path.clone());
    for row in [b"one\n", b"two\n"] {
        let accept = |_: &Content, first: &[u8]| {
            assert_eq!(first, b"head\n");
            Ok(())
        };
        let mut file = open(&target, Content { accept, ..content(b"head\n") }).unwrap();
        file.write(row, 1).unwrap();
    }
    assert_eq!(fs::read(&path).unwrap(), b"head\none\ntwo\n");
    // What the umask leaves.
    fs::write(directory.path().join("other"), "").unwrap();
    let mode = |name: &str| fs::metadata(directory.path().join(name)).unwrap().permissions().mode();
    assert_eq!(mode("y.csv"), mode("other"));
}

#[test]
fn other_content_and_partial_lines_are_refused_and_left() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("y.csv");
    let target = Target::File(path.clone());
    fs::write(&path, "other\n").unwrap();
    let refused =
        open(&target, Content { accept: |_, _| Err("it is of others".to_owned()), ..content(b"head\n") })
            .unwrap_err();
    assert!(refused.to_string().contains("y.csv: it is of others; it is left as it is"), "{refused}");
    assert_eq!(fs::read(&path).unwrap(), b"other\n");
    fs::write(&path, "head\npart").unwrap();
    let refused = open(&target, content(b"head\n")).unwrap_err();
    assert!(matches!(refused, OutputError::PartialLine { .. }), "{refused}");
    assert_eq!(fs::read(&path).unwrap(), b"head\npart");
}

#[test]
fn a_missing_directory_and_a_directory_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let gone = directory.path().join("gone/y.csv");
    let error = open(&Target::File(gone.clone()), Content::text()).unwrap_err().to_string();
    assert!(error.contains(gone.to_str().unwrap()) && error.contains("its directory must be there first"));
    let error = open(&Target::File(directory.path().to_owned()), Content::text()).unwrap_err().to_string();
    assert!(error.contains("is a directory; name a file in it"), "{error}");
}

#[test]
fn a_full_device_is_told() {
    let target = Target::File(PathBuf::from("/dev/full"));
    let error = open(&target, content(b"head\n")).and_then(|mut blocks| blocks.begin());
    assert_eq!(
        error.unwrap_err().to_string(),
        "cannot write /dev/full: no space left on device; no row of this run is in it; make room and start again"
    );
}

#[test]
fn two_names_of_one_file_are_one() {
    let directory = tempfile::tempdir().unwrap();
    let (one, two) = (directory.path().join("one"), directory.path().join("two"));
    fs::write(&one, "").unwrap();
    std::os::unix::fs::symlink(&one, &two).unwrap();
    let open = |path: &PathBuf| open(&Target::File(path.clone()), Content::text()).unwrap().identity();
    assert!(open(&one).is_some());
    assert_eq!(open(&one), open(&two));
}

#[test]
fn a_file_that_is_emptied_begins_again_whenever_that_happens() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("y.csv");
    let mut file = open(&Target::File(path.clone()), content(b"head\n")).unwrap();
    let emptied = || fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(0).unwrap();
    file.report(b"one\n", 1).unwrap();
    emptied();
    file.report(b"two\n", 1).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"head\ntwo\n");
    emptied();
    // As if it had happened behind the look.
    file.append(None, b"three\n", 1).unwrap();
    file.append(None, b"four\n", 1).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"head\nthree\nfour\n");
    assert_eq!(file.rows, 4);
    emptied();
    fs::write(&path, "head\nof another\n").unwrap();
    file.report(b"five\n", 1).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"head\nof another\nfive\n");
    // Nobody can read what a shell opened for writing only, but by its name in /proc.
    emptied();
    file.medium = fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.append(None, b"six\n", 1).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"head\nsix\n");
}

/// Whoever holds the lock holds up one write for a moment, and no row is lost.
#[test]
fn a_lock_of_another_process_is_waited_for_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("y.csv");
    let mut file = open(&Target::File(path.clone()), content(b"head\n")).unwrap();
    let other = File::open(&path).unwrap();
    let held = hold(&other, Duration::ZERO).expect("nobody has it");
    let began = std::time::Instant::now();
    for row in [b"one\n", b"two\n", b"six\n"] {
        file.report(row, 1).unwrap();
    }
    assert!(began.elapsed() < 2 * QUIET, "{:?}", began.elapsed());
    unlock(held);
    file.report(b"ten\n", 1).unwrap();
    assert!(!file.is_locked);
    assert_eq!(fs::read(&path).unwrap(), b"head\none\ntwo\nsix\nten\n");
}

/// Two runs write to one file, which is emptied at any instant of their writes. It has one header, first, and every row that was begun
/// behind that.
#[test]
fn two_runs_begin_an_emptied_file_once() {
    const ROWS: usize = 12;
    let directory = tempfile::tempdir().unwrap();
    for round in 0..600_u32 {
        let path = directory.path().join(format!("{round}.csv"));
        let open = || {
            let target = Target::File(path.clone());
            Blocks::open(&target, content(b"head\n"), Duration::from_secs(60)).unwrap()
        };
        let files = [open(), open()];
        let begun = [AtomicUsize::new(0), AtomicUsize::new(0)];
        let start = Barrier::new(3);
        let behind = thread::scope(|scope| {
            for (name, (mut file, begun)) in files.into_iter().zip(&begun).enumerate() {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    for row in 0..ROWS {
                        begun.store(row + 1, Ordering::SeqCst);
                        file.report(format!("{name}:{row}\n").as_bytes(), 1).unwrap();
                    }
                });
            }
            let emptied = fs::OpenOptions::new().write(true).open(&path).unwrap();
            start.wait();
            (0..round * 40).for_each(|_| std::hint::spin_loop());
            emptied.set_len(0).unwrap();
            [&begun[0], &begun[1]].map(|begun| begun.load(Ordering::SeqCst))
        });
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        // Nobody writes a header where all was over before it was emptied.
        if !text.is_empty() {
            assert_eq!(lines[0], "head", "round {round}: {text}");
        }
        assert_eq!(text.matches("head").count(), usize::from(!text.is_empty()), "round {round}: {text}");
        for (name, behind) in behind.into_iter().enumerate() {
            for row in behind..ROWS {
                let row = format!("{name}:{row}");
                let count = lines.iter().filter(|line| **line == row).count();
                assert_eq!(count, 1, "round {round}: {row} is there once: {text}");
            }
        }
        fs::remove_file(&path).unwrap();
    }
}
