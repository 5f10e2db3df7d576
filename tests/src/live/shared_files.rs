//! Files that others have a hand in: rotated, emptied, locked, linked, cut by a crash.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::Write as _,
    os::unix::{
        fs::{PermissionsExt as _, lchown, symlink},
        process::CommandExt as _,
    },
    path::Path,
    time::Duration,
};

use nix::{
    fcntl::{Flock, FlockArg},
    sys::signal::Signal,
};

use super::{output::HEADER, run::SELF};
use crate::{
    command::{Running, finish, rss_drift, run},
    harness::{Outcome, Reason},
    helper::{AS_HELPER, Helper},
    measure::wait_until,
    records::parse,
    scratch::{Scratch, text},
};

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Log rotation, as logrotate does it: the file is renamed, or deleted, or copied and emptied. No signal is needed.
pub fn a_rotated_file_is_followed() -> Outcome {
    let scratch = Scratch::new();
    let helper = Helper::start();
    let pid = helper.pid().to_string();
    let (path, old, lines) =
        (scratch.file("rows.csv"), scratch.file("rows.csv.1"), scratch.file("rows.jsonl"));
    let mut running = Running::start(&["-p", &pid, "-i", "0.05", "-o", text(&path), "-o", text(&lines)]);
    let rows = |path: &Path| read(path).matches("\r\n").count();
    let must_begin_anew = |how: &str| {
        wait_until(how, || rows(&path) >= 3);
        assert!(read(&path).starts_with(HEADER), "{how}: {}", read(&path));
        assert_eq!(read(&path).matches("timestamp").count(), 1, "{how}: one header");
    };
    must_begin_anew("the first file");
    fs::rename(&path, &old).expect("rename a file of ours");
    must_begin_anew("a file that was renamed");
    let first = read(&old);
    parse(&first);
    fs::remove_file(&path).expect("delete a file of ours");
    must_begin_anew("a file that was deleted");
    // It was not written to any more.
    assert_eq!(read(&old), first);
    OpenOptions::new()
        .write(true)
        .open(&path)
        .and_then(|file| file.set_len(0))
        .expect("empty a file of ours");
    must_begin_anew("a file that was emptied");
    // No header, but the same end.
    fs::rename(&lines, &old).expect("rename a file of ours");
    wait_until("a file of JSON lines that was renamed", || read(&lines).lines().count() >= 3);
    // What comes in its place may be something else: that is not appended to.
    fs::rename(&path, &old)
        .and_then(|()| fs::write(&path, "a,b\r\n1,2\r\n"))
        .expect("put another file there");
    let done = running.finish();
    done.must_say(1, &[text(&path), "is not the header of our CSV"]);
    assert_eq!(read(&path), "a,b\r\n1,2\r\n");
    for line in read(&lines).lines() {
        serde_json::from_str::<serde_json::Value>(line).expect("a whole object");
    }

    // Standard output that a shell opened without O_APPEND.
    let path = scratch.file("redirected.csv");
    let stdout = File::create(&path).expect("make a file of ours");
    let mut command = rss_drift(&["-p", &pid, "-i", "0.05", "--format", "csv"]);
    let mut child = command.stdout(stdout).spawn().expect("start this very program");
    wait_until("rows come", || rows(&path) >= 5);
    File::create(&path).expect("empty a file of ours");
    wait_until("rows come again", || rows(&path) >= 3);
    running = Running::start(&["-p", &pid, "-n", "1"]);
    running.finish().must_be_fine();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM)
        .expect("signal a child of ours");
    assert!(child.wait().expect("wait for a child").success());
    assert!(read(&path).starts_with(HEADER), "{:?}", read(&path));
    parse(&read(&path));
    Outcome::Passed
}

/// Another process holds a lock on the file: that is said, and not waited for forever.
pub fn a_lock_of_another_process() -> Outcome {
    let scratch = Scratch::new();
    let path = scratch.file("rows.csv");
    let helper = Helper::start();
    let pid = helper.pid().to_string();
    let lock = || {
        let file = OpenOptions::new().create(true).append(true).open(&path).expect("make a file of ours");
        Flock::lock(file, FlockArg::LockExclusive).expect("lock a file of ours")
    };
    let held = lock();
    let arguments = ["-p", &pid, "-n", "1", "-o", text(&path)];
    let done = run(&[&arguments[..], &["--lock-timeout", "1.5"]].concat());
    done.must_say(1, &["waiting up to 1s 500ms", text(&path), "has held a lock on it", "--lock-timeout"]);
    assert!(done.took >= Duration::from_millis(1500), "{done:?}");
    let done = run(&["run", "--lock-timeout", "0.1", "-o", text(&path), "--", "sh", "-c", "echo ran"]);
    done.must_say(125, &["has held a lock on it"]);
    assert_eq!(done.stdout, "", "nothing ran in vain");
    assert_eq!(read(&path), "");
    // One that is given back is only waited for.
    let said = scratch.file("said");
    let mut command = rss_drift(&arguments);
    command.stderr(File::create(&said).expect("make a file of ours"));
    let mut child = command.spawn().expect("start this very program");
    wait_until("it says that it waits", || read(&said).contains("waiting up to 10s"));
    drop(held);
    assert!(child.wait().expect("wait for a child").success(), "{}", read(&said));
    assert_eq!(parse(&read(&path)).len(), 1);
    Outcome::Passed
}

/// New files have the mode that the umask leaves, whichever output they are.
pub fn modes_follow_the_umask() -> Outcome {
    let scratch = Scratch::new();
    let helper = Helper::start();
    let pid = helper.pid().to_string();
    for umask in [0o027, 0o002] {
        let [csv, lines, table, report, folded] =
            ["csv", "jsonl", "txt", "json", "folded"].map(|end| scratch.file(&format!("{umask:o}.{end}")));
        let of_watch = ["-p", &pid, "-n", "1", "-o", text(&lines), "-o", text(&table), "--csv", text(&csv)];
        let of_run = [
            "run",
            "-o",
            text(&report),
            "--folded",
            text(&folded),
            "--",
            SELF,
            AS_HELPER,
            "grow",
            "100",
            "0",
        ];
        for arguments in [&of_watch[..], &of_run] {
            let mut command = rss_drift(arguments);
            // SAFETY: between fork and exec only umask is called.
            unsafe {
                command.pre_exec(move || {
                    libc::umask(umask);
                    Ok(())
                });
            }
            finish(&mut command).must_be_fine();
        }
        for path in [csv, lines, table, report, folded] {
            let mode = fs::metadata(&path).expect("an output was made").permissions().mode() & 0o777;
            assert_eq!(mode, 0o666 & !umask, "{}", path.display());
        }
    }
    Outcome::Passed
}

/// In a folder where everybody may make a link, another user's link is not followed, whatever `fs.protected_symlinks` says.
pub fn links_of_others_in_a_sticky_folder() -> Outcome {
    const NOBODY: u32 = 65534;
    let scratch = Scratch::new();
    let helper = Helper::start();
    let pid = helper.pid().to_string();
    let folder = scratch.file("sticky");
    let (target, link) = (scratch.file("target.csv"), folder.join("link.csv"));
    fs::create_dir(&folder)
        .and_then(|()| fs::set_permissions(&folder, Permissions::from_mode(0o1777)))
        .expect("make a folder");
    fs::create_dir(folder.join("theirs")).expect("make a folder");
    symlink(&target, &link).expect("make a link");
    symlink(scratch.path(), folder.join("way")).expect("make a link");
    for link in [&link, &folder.join("way")] {
        lchown(link, Some(NOBODY), Some(NOBODY)).expect("give a link away");
    }
    for path in [&link, &folder.join("way/target.csv")] {
        let watch = ["-p", &pid, "-n", "1", "-o", text(path)];
        run(&watch).must_say(1, &[text(path), "symbolic link of user 65534"]);
        run(&["run", "-o", text(path), "--", "sh", "-c", "exit 0"])
            .must_say(125, &["symbolic link of user 65534"]);
        fs::write(&target, "").expect("make a file of ours");
        run(&["run", "--folded", text(path), "--", "sh", "-c", "exit 0"])
            .must_say(125, &["symbolic link of user 65534"]);
        assert_eq!(read(&target), "");
        fs::remove_file(&target).expect("delete a file of ours");
    }
    // Our own leads where it leads.
    lchown(&link, Some(0), Some(0)).expect("take a link back");
    run(&["-p", &pid, "-n", "1", "-o", text(&link)]).must_be_fine();
    assert_eq!(parse(&read(&target)).len(), 1);
    Outcome::Passed
}

/// A file that a crash cut: within a quoted name, or with NUL bytes where its last rows were.
pub fn files_that_a_crash_cut() -> Outcome {
    let scratch = Scratch::new();
    let path = scratch.file("rows.csv");
    let helper = Helper::start_as("a,\"b\"\nname");
    let pid = helper.pid().to_string();
    let arguments = ["-p", &pid, "-n", "1", "-o", text(&path)];
    run(&arguments).must_be_fine();
    let whole = read(&path);
    // Behind the line break in the name.
    let cut =
        whole.len() - whole.split_once("\nname").expect("the name has a line break").1.len() - "name".len();
    fs::write(&path, &whole[..cut]).expect("cut a file of ours");
    run(&arguments).must_say(1, &[text(&path), "its last line is not complete", "it is left as it is"]);
    assert_eq!(read(&path), whole[..cut]);
    for torn in ["", "2026-01-02T03:04:05.678Z,box,\"a\r\n"] {
        let mut file = File::create(&path).expect("make a file of ours");
        file.write_all([whole.as_bytes(), torn.as_bytes(), &[0; 5000]].concat().as_slice())
            .expect("write it");
        let done = run(&arguments);
        done.must_say(0, &[text(&path), &format!("cut back by {} bytes", torn.len() + 5000), "NUL bytes"]);
        let rows = read(&path);
        assert!(rows.starts_with(&whole), "{rows}");
        assert_eq!(parse(&rows).len(), 2);
    }
    let lines = scratch.file("rows.jsonl");
    fs::write(&lines, [0; 100]).expect("make a file of ours");
    let done = run(&["-p", &pid, "-n", "1", "-o", text(&lines)]);
    done.must_say(0, &["cut back by 100 bytes"]);
    assert_eq!(read(&lines).lines().count(), 1);
    Outcome::Passed
}

/// `run`: standard output by its name, one file for one output, no file without anything in it, and no report that is lost with its file.
pub fn outputs_of_run() -> Outcome {
    if Reason::NoNamespaces.holds() {
        return Outcome::Skipped(Reason::NoNamespaces);
    }
    let scratch = Scratch::new();
    let done = run(&["run", "--format", "csv", "-o", "-", "--", "sh", "-c", "exit 0"]);
    done.must_be_fine();
    assert_eq!(parse(&done.stdout).len(), 1, "{done:?}");

    let (path, link) = (scratch.file("x"), scratch.file("link"));
    symlink(&path, &link).expect("make a link");
    for folded in [&path, &link] {
        let arguments = ["run", "--folded", text(folded), "-o", text(&path), "--", "sh", "-c", "echo ran"];
        let done = run(&arguments);
        done.must_say(125, &["are the same file"]);
        assert_eq!(done.stdout, "", "nothing ran in vain");
    }
    // A command that does not run has no chains: what was there stays.
    fs::write(&path, "before").expect("make a file of ours");
    run(&["run", "--folded", text(&path), "--", "no-such-command-here"])
        .must_say(127, &["no-such-command-here"]);
    assert_eq!(read(&path), "before");

    let disk = Scratch::of_size(4).expect("mount a tmpfs");
    let full = disk.file("run.csv");
    fs::write(disk.file("filler"), [1; 4096]).expect("fill a disk of ours");
    let command = [SELF, AS_HELPER, "grow", "100", "0"];
    let done = run(&[&["run", "--format", "json", "-o", text(&full), "--"], &command[..]].concat());
    done.must_say(125, &["no space left on device", "the report is on standard error instead"]);
    let report = done.stderr.lines().find_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    assert_eq!(report.expect("the report")["exit_status"], 0, "{done:?}");
    Outcome::Passed
}
