//! Files that cannot take what is written, and files that must not.

use std::fs::{self, File, OpenOptions};

use crate::{
    command::{finish, rss_drift, run},
    harness::{Outcome, Reason},
    helper::Helper,
    records::parse,
    scratch::{Scratch, text},
};

/// The disk gets full: an error, and whole intervals in the file.
pub fn a_full_disk_ends_the_run_and_leaves_whole_rows() -> Outcome {
    if Reason::NoNamespaces.holds() {
        return Outcome::Skipped(Reason::NoNamespaces);
    }
    let disk = Scratch::of_size(64).expect("mount a tmpfs");
    let helpers = [Helper::start_as("live-one"), Helper::start_as("live-two")];
    for name in ["full.csv", "full.jsonl"] {
        let path = disk.file(name);
        let pids = format!("{},{}", helpers[0].pid(), helpers[1].pid());
        let arguments = ["-p", &pids, "-i", "0.01", "-o", text(&path)];
        let done = run(&arguments);
        done.must_say(
            1,
            &[text(&path), "no space left on device", "whole rows of this run are in it", "make room"],
        );
        let written = fs::read_to_string(&path).expect("read what was written");
        let rows = if name == "full.csv" {
            let rows = parse(&written);
            let pids: Vec<i64> = rows.iter().map(crate::records::Record::pid).collect();
            assert!(
                pids.chunks(2).all(|pair| pair.len() == 2 && pair[0] != pair[1]),
                "whole intervals: {pids:?}"
            );
            rows.len()
        } else {
            assert!(written.ends_with('\n'));
            let rows =
                written.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
            rows.filter(|row| row["pid"].is_number()).count()
        };
        assert!(rows > 0 && rows % 2 == 0, "{rows} rows");
        assert!(
            done.stderr.contains(&format!("{rows} whole rows")),
            "{rows} rows are in it: {}",
            done.stderr
        );

        // Nothing is lost by a second try, and with room it goes on.
        run(&arguments).must_say(1, &["no space left on device", "no row of this run is in it"]);
        assert_eq!(fs::read_to_string(&path).expect("read it again"), written);
        fs::remove_file(&path).expect("make room");
    }
    Outcome::Passed
}

/// Standard output that takes nothing.
pub fn a_full_device_is_told() -> Outcome {
    for format in ["table", "csv", "jsonl"] {
        let full = OpenOptions::new().write(true).open("/dev/full").expect("open /dev/full");
        let done = finish(rss_drift(&["-n", "1", "--format", format]).stdout(full));
        done.must_say(1, &["standard output", "no space left on device"]);
    }
    Outcome::Passed
}

/// A file that holds something else, or half a row.
pub fn a_file_of_another_header_is_left_alone() -> Outcome {
    let scratch = Scratch::new();
    let path = scratch.file("other.csv");
    let header = run(&["-p", &std::process::id().to_string(), "-n", "1", "--format", "csv"]).stdout;
    let header = header.lines().next().expect("a header");
    let torn = format!("{header}\r\n2026-01-01T00:00:00.000Z,ho");
    for (content, why) in [("a,b\r\n1,2\r\n", "header"), (&torn, "not complete")] {
        fs::write(&path, content).expect("write a file");
        let done = run(&["-n", "1", "--csv", text(&path)]);
        done.must_say(1, &[text(&path), why, "it is left as it is"]);
        assert_eq!(done.stdout, "", "nothing was measured in vain");
        assert_eq!(fs::read_to_string(&path).expect("read it again"), content);
    }
    Outcome::Passed
}

/// No directory, no file: said at the start.
pub fn a_directory_that_is_not_there() -> Outcome {
    let scratch = Scratch::new();
    let path = scratch.file("gone").join("rows.csv");
    let done = run(&["-n", "1", "-o", text(&path)]);
    done.must_say(1, &[text(&path), "no such file or directory", "its directory must be there first"]);
    run(&["-n", "1", "--csv", text(scratch.path())]).must_say(1, &["is a directory"]);
    Outcome::Passed
}

/// One header, the rows of both runs.
pub fn a_second_run_appends() -> Outcome {
    let scratch = Scratch::new();
    let path = scratch.file("rows.csv");
    File::create(&path).expect("an empty file is as good as none");
    let helper = Helper::start();
    let pid = helper.pid().to_string();
    for runs in 1..=2 {
        run(&["-p", &pid, "-n", "2", "-i", "0.01", "-o", text(&path)]).must_be_fine();
        let written = fs::read_to_string(&path).expect("read what was written");
        assert_eq!(parse(&written).len(), 2 * runs);
        assert_eq!(written.matches("timestamp").count(), 1, "one header");
    }
    Outcome::Passed
}
