//! What is written where: CSV, JSON, the table in a pipe and on a terminal.

use std::fs;

use serde_json::Value;

use crate::{
    command::{Running, finish, rss_drift, run},
    harness::{Outcome, Reason},
    helper::Helper,
    records::parse,
    scratch::Scratch,
    terminal::Terminal,
};

/// The header word for word (`docs/csv.md`): a change here breaks the files of every user.
pub(super) const HEADER: &str = "timestamp,host,boot_id,kernel,mode,accounting,pid,start_time,mm_generation,comm,uid,cgroup,threads,\
    source,reported_bytes,exact_bytes,shadow_bytes,drift_bytes,uncertainty_bytes,moved_bytes,bound_bytes,stat_bytes,\
    statm_bytes,status_bytes,resident_bytes,exact_file_bytes,exact_anon_bytes,exact_shmem_bytes,exact_swap_bytes,\
    global_file_bytes,global_anon_bytes,global_shmem_bytes,global_swap_bytes,peak_exact_bytes,peak_drift_bytes,\
    vm_hwm_bytes,hits,misses,flushes,faults,missed_events,note,interval,reading_time,band_low_bytes,\
    band_high_bytes,step_down,mm_pid\r\n";

/// Every column, and what the kernel itself says of this process in them.
pub fn csv_has_the_contract() -> Outcome {
    // A name that a writer of CSV gets wrong, and a reader of /proc/PID/stat too.
    let helper = Helper::start_as("a,\"b\") 1 \n2");
    let pid = helper.pid().to_string();
    let done = run(&["--passive", "-p", &pid, "-n", "1", "--format", "csv"]);
    done.must_be_fine();
    assert!(done.stdout.starts_with(HEADER), "{}", done.stdout);
    let row = &parse(&done.stdout)[0];
    let of_kernel = |path: &str| fs::read_to_string(path).expect("read /proc").trim().to_owned();
    assert_eq!(row.text("boot_id"), of_kernel("/proc/sys/kernel/random/boot_id"));
    assert_eq!(row.text("kernel"), of_kernel("/proc/sys/kernel/osrelease"));
    assert_eq!(row.text("host"), of_kernel("/proc/sys/kernel/hostname"));
    assert_eq!(
        row.text("comm"),
        fs::read_to_string(format!("/proc/{pid}/comm")).expect("read /proc").trim_end_matches('\n')
    );
    assert_eq!(row.text("uid"), "0");
    assert_eq!(row.must("threads"), 1);
    let stat = of_kernel(&format!("/proc/{pid}/stat"));
    assert_eq!(Some(row.must("start_time")), crate::truth::stat_field(&stat, 22));
    assert_eq!(row.text("mode"), "passive");
    for column in
        ["shadow_bytes", "uncertainty_bytes", "resident_bytes", "peak_drift_bytes", "hits", "missed_events"]
    {
        assert_eq!(row.text(column), "", "{column} cannot be had and is empty");
    }
    Outcome::Passed
}

/// One object per line, the same keys, numbers as numbers, what is empty as null.
pub fn jsonl_has_the_same_rows() -> Outcome {
    let helper = Helper::start();
    let pid = helper.pid().to_string();
    let done = run(&["--passive", "-p", &pid, "-n", "2", "-i", "0.01", "--format", "jsonl"]);
    done.must_be_fine();
    assert_eq!(done.stdout.lines().count(), 2);
    for line in done.stdout.lines() {
        let Value::Object(row) = serde_json::from_str(line).expect("JSON") else {
            panic!("no object: {line}")
        };
        let mut expected: Vec<&str> = HEADER.trim_end().split(',').collect();
        let mut keys: Vec<&str> = row.keys().map(String::as_str).collect();
        expected.sort_unstable();
        keys.sort_unstable();
        assert_eq!(keys, expected);
        assert_eq!(row["pid"], helper.pid());
        let bytes = |key: &str| row[key].as_i64().unwrap_or_else(|| panic!("{key} is no number: {line}"));
        assert_eq!(bytes("reported_bytes") + bytes("drift_bytes"), bytes("exact_bytes"));
        assert_eq!(row["shadow_bytes"], Value::Null);
    }
    Outcome::Passed
}

/// `--csv`: the table for the eye and the file for later, of the same readings.
pub fn csv_beside_the_table() -> Outcome {
    let scratch = Scratch::new();
    let path = scratch.file("rows.csv");
    let helper = Helper::start();
    let pid = helper.pid().to_string();
    let done = run(&["-p", &pid, "-n", "1", "--csv", path.to_str().expect("UTF-8")]);
    done.must_be_fine();
    let rows = parse(&fs::read_to_string(&path).expect("read what was written"));
    assert_eq!(rows.len(), 1);
    let kib = (rows[0].must("exact_bytes") / 1024).to_string();
    let line = done.stdout.lines().find(|line| line.split_whitespace().nth(1) == Some(pid.as_str()));
    let line = line.unwrap_or_else(|| panic!("no row of the table: {}", done.stdout));
    assert!(line.split_whitespace().any(|word| word == kib), "{kib} KiB exact: {line}");
    Outcome::Passed
}

/// A pipe gets no escape codes, whatever a process calls itself, and all columns.
pub fn nothing_but_text_where_there_is_no_terminal() -> Outcome {
    let helper = Helper::start_as("\x1b[2Jrogue");
    let done = run(&["-p", &helper.pid().to_string(), "-n", "2", "-i", "0.01"]);
    done.must_be_fine();
    let codes = done.stdout.chars().filter(|character| character.is_control() && *character != '\n').count();
    assert_eq!(codes, 0, "{:?}", done.stdout);
    for column in ["TIME", "PID", "COMM", "REPORTED", "EXACT", "DRIFT", "DRIFT%", "BOUND"] {
        assert!(done.stdout.contains(column), "{column}: {}", done.stdout);
    }
    Outcome::Passed
}

/// On a terminal no line is longer than it is wide; what does not fit is left out.
pub fn a_narrow_terminal_drops_columns() -> Outcome {
    if Terminal::open(80).is_err() {
        return Outcome::Skipped(Reason::NoPty);
    }
    let helper = Helper::start();
    let pid = helper.pid().to_string();
    let mut columns_before = 0;
    for width in [24, 40, 60, 80, 200] {
        let terminal = Terminal::open(width).expect("it could be made before");
        let mut command = rss_drift(&["-p", &pid, "-n", "1"]);
        command.stdout(terminal.inside.try_clone().expect("a descriptor")).env("TERM", "xterm");
        let child = command.spawn().expect("start this very program");
        drop(command);
        let shown = terminal.read_to_end().expect("read the terminal");
        let output = child.wait_with_output().expect("wait for a child");
        assert!(output.status.success(), "{output:?}");
        let lines: Vec<String> = shown.lines().map(without_colour).collect();
        for line in &lines {
            assert!(line.chars().count() <= width.into(), "wider than {width}: {line:?}");
        }
        let header = lines.iter().find(|line| line.contains("PID") && line.contains("DRIFT"));
        let header = header.unwrap_or_else(|| panic!("no header at {width}: {shown}"));
        let row = lines
            .iter()
            .find(|line| line.split_whitespace().any(|word| word == pid) && !line.contains("self-check:"));
        let columns = header.split_whitespace().count();
        // A size has its unit beside it.
        let words = |row: &str| row.split_whitespace().filter(|word| !word.ends_with("iB")).count();
        assert_eq!(row.map(|row| words(row)), Some(columns), "as many words as columns: {shown}");
        assert!(columns >= columns_before, "{columns} columns at {width}, {columns_before} in less");
        columns_before = columns;
    }
    assert!(columns_before >= 8, "all columns where there is room: {columns_before}");
    Outcome::Passed
}

/// Takes out the codes for bold and colour; any other code is left and seen.
fn without_colour(line: &str) -> String {
    let mut plain = String::new();
    let mut rest = line;
    while let Some((before, code)) = rest.split_once("\x1b[") {
        plain += before;
        let end = code.find(|character: char| !character.is_ascii_digit() && character != ';');
        match end {
            Some(end) if code[end..].starts_with('m') => rest = &code[end + 1..],
            _ => panic!("a code that is no colour: {line:?}"),
        }
    }
    plain + rest
}

/// `rss-drift | head -1`: no error, no word.
pub fn a_closed_pipe_is_a_quiet_end() -> Outcome {
    for format in ["table", "csv", "jsonl"] {
        let mut running = Running::start(&["-i", "0.01", "--format", format]);
        assert!(running.line().is_some());
        running.close_output().must_be_fine();
    }
    // Also where the reader is gone before the first word, and for what is no report.
    for arguments in [&["-n", "1"][..], &["doctor"], &["--fields", "help"], &["--help"]] {
        let (read, write) = nix::unistd::pipe().expect("a pipe");
        drop(read);
        finish(rss_drift(arguments).stdout(write)).must_be_fine();
    }
    Outcome::Passed
}
