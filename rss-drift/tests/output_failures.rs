//! Outputs that really fail: a limit of a file's size, a reader that goes away.
//!
//! Limits and closed descriptors are of a process: each test runs itself again as a child.

#![expect(clippy::unwrap_used, reason = "a test says by its panic what went wrong")]

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, SystemTime},
};

use rss_drift::{
    drift::{
        behaviour::Precisions,
        sample::{Host, Process, ReportId, Row},
        stats::Summary,
        verdict::Verdict,
    },
    kernel::accounting::Accounting,
    output::{
        Block, Columns, Detail, Format, Headline, Look, OutputError, OutputSpec, Outputs, Rows, SelfCheck,
        Target,
    },
    proc::{Precision, ProcFigures, Source},
};

const LOOK: Look = Look { units: None, detail: Detail::Happened };
/// Bytes that a child may write into one file.
const LIMIT: u64 = 10_000;
/// Rows per interval.
const ROWS: usize = 7;

fn row(comm: &str) -> Row {
    Row {
        report: ReportId::NONE,
        time: SystemTime::UNIX_EPOCH,
        process: Process { pid: 1, comm: comm.to_owned(), ..Process::default() },
        source: Source::Stat,
        precision: Precision::Approximate,
        exact: [0, 10, 0, 0],
        global: [0, 9, 0, 0],
        files: ProcFigures { stat: Some(9), ..ProcFigures::default() },
        moved: None,
        bound: None,
        shadow: None,
        missed_events: None,
        notes: Vec::new(),
    }
}

/// Writes intervals until it fails.
fn write_until_it_fails(format: Format, target: Target) -> OutputError {
    let host = Host {
        hostname: "box".to_owned(),
        boot_id: "id".to_owned(),
        kernel: "6.12.0".to_owned(),
        accounting: Accounting::PerCpu,
        mode: "passive",
        step_down: None,
        page_size: 4096,
    };
    let headline = Headline {
        source: Source::Stat,
        precisions: Precisions::UNKNOWN,
        bound: 0,
        verdict: Verdict::new(4096, None),
        processes: 0,
        selected_of: None,
        summary: Summary::default(),
        groups: None,
    };
    let rows = vec![row("a \"name\",\nof two lines"); ROWS];
    let mut outputs = match Outputs::open(
        &[OutputSpec { format, target }],
        &Columns::Processes(None),
        LOOK,
        Duration::ZERO,
    ) {
        Ok(outputs) => outputs,
        Err(error) => return error,
    };
    for interval in 1.. {
        let block = Block {
            host: &host,
            interval,
            time: SystemTime::UNIX_EPOCH,
            headline: &headline,
            rows: Rows::Processes(&rows),
            shown: rows.len(),
            holders: &[],
            left_out: 0,
            events: &[],
            check: &SelfCheck::default(),
            since: None,
        };
        if let Err(error) = outputs.report(&block) {
            return error;
        }
    }
    unreachable!("the loop ends with an error only")
}

/// What the children do; without their variable it does nothing.
#[test]
fn child() {
    let Ok(word) = env::var("OUTPUT_TEST_CHILD") else { return };
    let (format, target) = match word.split_once(':') {
        Some(("csv", "")) => (Format::Csv, Target::Stdout),
        Some(("csv", path)) => (Format::Csv, Target::File(path.into())),
        Some(("jsonl", path)) => (Format::Jsonl, Target::File(path.into())),
        other => panic!("{other:?}"),
    };
    let error = write_until_it_fails(format, target);
    let code = if matches!(error, OutputError::ClosedPipe) { 10 } else { 11 };
    eprintln!("{error}");
    std::process::exit(code);
}

fn spawn(word: &str, stdout: Stdio) -> Child {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "child", "--nocapture", "--quiet"]).env("OUTPUT_TEST_CHILD", word);
    command.stdout(stdout).stderr(Stdio::piped());
    // SAFETY: between fork and exec only setrlimit and signal are called, which are async-signal-safe.
    unsafe {
        command.pre_exec(|| {
            let limit = libc::rlimit { rlim_cur: LIMIT, rlim_max: LIMIT };
            libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit);
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            Ok(())
        });
    }
    command.spawn().unwrap()
}

fn run(word: &str, stdout: Stdio) -> Output {
    spawn(word, stdout).wait_with_output().unwrap()
}

fn csv_rows(path: &Path) -> usize {
    let mut reader = csv::Reader::from_path(path).unwrap();
    // Every record has as many fields as the header, or reading it is an error.
    reader.records().map(|record| assert_eq!(&record.unwrap()[9], "a \"name\",\nof two lines")).count()
}

fn told(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(11), "{text}");
    text
}

fn path(directory: &tempfile::TempDir, name: &str) -> PathBuf {
    directory.path().join(name)
}

#[test]
fn csv_at_a_limit_holds_whole_intervals_and_is_appended_to_later() {
    let directory = tempfile::tempdir().unwrap();
    let path = path(&directory, "full.csv");
    let text = told(&run(&format!("csv:{}", path.display()), Stdio::null()));
    let rows = csv_rows(&path);
    assert!(rows > 0 && rows.is_multiple_of(ROWS), "{rows}");
    assert!(fs::metadata(&path).unwrap().len() < LIMIT, "the last write did not come to be short");
    assert!(
        text.contains(&format!(
            "{}: file too large; {rows} whole rows of this run are in it",
            path.display()
        )),
        "{text}"
    );

    let text = told(&run(&format!("csv:{}", path.display()), Stdio::null()));
    assert!(text.contains("no row of this run is in it"), "{text}");
    assert_eq!(csv_rows(&path), rows);
}

#[test]
fn jsonl_at_a_limit_holds_whole_intervals() {
    let directory = tempfile::tempdir().unwrap();
    let path = path(&directory, "full.jsonl");
    told(&run(&format!("jsonl:{}", path.display()), Stdio::null()));
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.ends_with('\n') && text.lines().count().is_multiple_of(ROWS));
    for line in text.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
}

#[test]
fn standard_output_that_is_a_file_is_cut_back_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = path(&directory, "redirected");
    told(&run("csv:", fs::File::create(&path).unwrap().into()));
    let text = fs::read_to_string(&path).unwrap();
    // Before the header the test harness may have written lines of its own.
    let start = text.find("timestamp,").unwrap();
    let rows = csv::Reader::from_reader(&text.as_bytes()[start..]).records().map(Result::unwrap).count();
    assert!(rows > 0 && rows.is_multiple_of(ROWS), "{rows}");
}

#[test]
fn a_closed_pipe_is_told_from_a_failure() {
    let mut child = spawn("csv:", Stdio::piped());
    // The test harness of the child writes to the pipe too: it is closed when our rows are coming.
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("timestamp,") {
        line.clear();
        assert_ne!(reader.read_line(&mut line).unwrap(), 0, "no header came");
    }
    drop(reader);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(10), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_file_of_another_header_is_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = path(&directory, "other.csv");
    fs::write(&path, "a,b\r\n1,2\r\n").unwrap();
    let error = write_until_it_fails(Format::Csv, Target::File(path.clone())).to_string();
    assert!(error.contains("its first line is not the header of our CSV (\"a,b\")"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"a,b\r\n1,2\r\n");
}

#[test]
fn two_names_of_one_file_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (one, two) = (path(&directory, "one.csv"), path(&directory, "two.csv"));
    fs::write(&one, "").unwrap();
    fs::hard_link(&one, &two).unwrap();
    let spec = |path: PathBuf| OutputSpec { format: Format::Csv, target: Target::File(path) };
    let error = Outputs::open(&[spec(one), spec(two)], &Columns::Processes(None), LOOK, Duration::ZERO)
        .err()
        .unwrap();
    assert!(matches!(error, OutputError::SameFile { .. }), "{error}");
}
