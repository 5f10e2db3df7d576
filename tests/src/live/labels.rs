//! What a figure is called: nothing is called drift that may be none.

use std::{fs, io, os::unix::process::CommandExt as _, process::Command};

use serde_json::Value;

use crate::{
    command::{Running, finish, rss_drift, run},
    harness::{Outcome, Reason},
    helper::Helper,
    records::parse,
    scratch::Scratch,
    terminal::Terminal,
    truth::stat_field,
};

/// Where no child can be forked, nobody knows which files of /proc are exact: their figures stand there, and none is called drift.
pub fn no_drift_of_files_that_may_be_exact() -> Outcome {
    const ARGUMENTS: [&str; 4] = ["-n", "2", "-i", "0.05"];
    if Reason::NoSeccomp.holds() {
        return Outcome::Skipped(Reason::NoSeccomp);
    }
    for source in ["stat", "status"] {
        let csv = finish(filtered(
            &mut rss_drift(&[&ARGUMENTS[..], &["--source", source, "--format", "csv"]].concat()),
            &NO_FORK,
        ));
        csv.must_say(0, &["proc-files", "no figure of stat, statm, status is called drift", "pids.max"]);
        let rows = parse(&csv.stdout);
        assert!(rows.iter().any(|row| row.number("reported_bytes").is_some()), "{}", csv.stdout);
        for row in &rows {
            for column in ["drift_bytes", "band_low_bytes", "band_high_bytes", "peak_drift_bytes"] {
                assert_eq!(row.text(column), "", "{column}: {row:#?}");
            }
        }
    }
    let table = finish(filtered(&mut rss_drift(&[&ARGUMENTS[..], &["-v"]].concat()), &NO_FORK));
    table.must_say(0, &["proc-files"]);
    for words in [
        "sum of stat unknown, exact ",
        "|drift|: unknown",
        "what stat shows is not called drift",
        "|drift| over all readings: unknown",
        "exact here: smaps\nexact or not, that is unknown here: ps (/proc/PID/status), ",
    ] {
        assert!(table.stdout.contains(words), "{words:?}: {}", table.stdout);
    }
    assert!(!table.stdout.contains("largest drift"), "{}", table.stdout);
    Outcome::Passed
}

/// Full mode that was asked for and cannot be had: standard error says so beside every format, and a column does.
pub fn a_step_down_at_the_start_is_told() -> Outcome {
    if Reason::NoSeccomp.holds() {
        return Outcome::Skipped(Reason::NoSeccomp);
    }
    for format in ["table", "csv", "jsonl"] {
        let arguments = ["-n", "1", "--format", format];
        let done = finish(filtered(&mut rss_drift(&arguments), &NO_TRACEPOINT));
        done.must_say(0, &["full-mode: ", "passive mode measures"]);
        let told = match format {
            "table" => done.stdout.contains(" passive mode; "),
            "csv" => parse(&done.stdout)
                .iter()
                .all(|row| (row.text("mode"), row.text("step_down")) == ("passive", "unavailable")),
            _ => done.stdout.lines().all(|line| line.contains("\"step_down\":\"unavailable\"")),
        };
        assert!(told, "{done:#?}");
    }
    // Passive mode that was asked for is none.
    let done = finish(filtered(&mut rss_drift(&["--passive", "-n", "1", "--format", "csv"]), &NO_TRACEPOINT));
    done.must_be_fine();
    assert!(parse(&done.stdout).iter().all(|row| row.text("step_down").is_empty()), "{done:#?}");
    Outcome::Passed
}

/// What a name, an argument or a path may hold to move a terminal's cursor: the start of a code in one byte and in two, and DEL.
const ROGUE: &str = "\x1b[2J\u{9b}\u{7f}x";
/// How it is shown.
const SHOWN: &str = "\\u{1b}[2J\\u{9b}\\u{7f}x";

/// Asserts that nothing in it moves a cursor but line breaks and, where they are taken out before, colours.
fn assert_harmless(text: &str) {
    let codes: Vec<_> = text.chars().filter(|it| it.is_control() && !['\n', '\r'].contains(it)).collect();
    assert!(codes.is_empty(), "{codes:?} in {text:?}");
}

/// On a terminal every format escapes names; in a file CSV has them byte for byte.
pub fn no_name_moves_the_cursor() -> Outcome {
    if Terminal::open(80).is_err() {
        return Outcome::Skipped(Reason::NoPty);
    }
    let helper = Helper::start_as(ROGUE);
    let pid = helper.pid().to_string();
    let watch = ["--passive", "-p", &pid, "-n", "1", "--format"];
    for (format, name) in [("table", SHOWN), ("csv", SHOWN), ("jsonl", "\\u001b[2J\\u009b\\u007fx")] {
        let terminal = Terminal::open(1000).expect("it could be made before");
        let mut command = rss_drift(&[&watch[..], &[format]].concat());
        command.stdout(terminal.inside.try_clone().expect("a descriptor")).env("NO_COLOR", "1");
        let child = command.spawn().expect("start this very program");
        drop(command);
        let shown = terminal.read_to_end().expect("read the terminal");
        assert!(child.wait_with_output().expect("wait for a child").status.success(), "{shown}");
        assert_harmless(&shown);
        assert!(shown.contains(name), "{name} in {shown}");
    }
    let csv = run(&[&watch[..], &["csv"]].concat());
    csv.must_be_fine();
    assert_eq!(parse(&csv.stdout)[0].text("comm"), ROGUE, "no terminal: as it is");
    Outcome::Passed
}

/// Words of the command line come back in error texts: escaped.
pub fn no_argument_moves_the_cursor() -> Outcome {
    let gone = format!("/gone/{ROGUE}.csv");
    let unknown = format!("--{ROGUE}");
    for arguments in [
        &["-o", ROGUE][..],
        &["-o", &gone, "-n", "1"],
        &["-o", "a.csv", "-o", "a.csv", &unknown],
        &["--fields", ROGUE],
        &["--sort", ROGUE],
        &["--source", ROGUE],
        &["-i", ROGUE],
        &["--comm", ROGUE, "-n", "1"],
        &[ROGUE],
        &["run", "--", ROGUE],
        &["run", "-o", &gone, "--", "true"],
        &["run", "--folded", &gone, "--", "true"],
        &["demo", "--threads", ROGUE],
    ] {
        let done = run(arguments);
        assert_ne!(done.code, Some(0), "{done:?}");
        assert_harmless(&done.stderr);
        assert!(done.stderr.contains(SHOWN), "{arguments:?}: {}", done.stderr);
    }
    Outcome::Passed
}

/// A process without a name has a word in its row all the same.
pub fn an_empty_name_is_a_dash() -> Outcome {
    let helper = Helper::start_as("");
    let pid = helper.pid();
    let comm = fs::read_to_string(format!("/proc/{pid}/comm")).expect("read /proc");
    assert_eq!(comm, "\n", "it has no name");
    let mut running =
        Running::start(&["-p", &pid.to_string(), "-i", "0.05", "--fields", "pid,comm,exact", "--where"]);
    let row = running.read_until(&format!("{pid} "));
    assert_eq!(row.split_whitespace().nth(1), Some("-"), "{row:?}");
    running.read_until(&format!("pid {pid} (-): "));
    drop(helper);
    running.read_until(&format!("pid {pid} (-) is gone"));
    let done = running.finish();
    assert!(done.stdout.contains(&format!("pid {pid} (-) at ")), "{}", done.stdout);
    Outcome::Passed
}

/// In a time namespace field 22 of a process's stat is by the namespace's clock, and so is the column.
pub fn a_start_in_a_time_namespace() -> Outcome {
    const SECONDS: i64 = 1000;
    if Reason::NoNamespaces.holds() || fs::metadata("/proc/self/timens_offsets").is_err() {
        return Outcome::Skipped(Reason::NoNamespaces);
    }
    let helper = Helper::start();
    let pid = helper.pid().to_string();
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("read /proc");
    let outside = stat_field(&stat, 22).expect("field 22");
    let ticks =
        nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).expect("a number").expect("it is there");
    let arguments = ["--passive", "-p", &pid, "-n", "1", "--format", "csv"];
    let done = run(&arguments);
    done.must_be_fine();
    assert_eq!(parse(&done.stdout)[0].must("start_time"), outside);
    let mut command = rss_drift(&arguments);
    // SAFETY: between fork and exec only system calls are made.
    unsafe {
        command.pre_exec(|| {
            const CLONE_NEWTIME: libc::c_int = 0x80;
            let offsets = c"/proc/self/timens_offsets".as_ptr();
            let line = "boottime 1000 0\n";
            if libc::unshare(CLONE_NEWTIME) != 0 {
                return Err(io::Error::last_os_error());
            }
            let file = libc::open(offsets, libc::O_WRONLY);
            if file < 0 || libc::write(file, line.as_ptr().cast(), line.len()) < 0 {
                return Err(io::Error::last_os_error());
            }
            libc::close(file);
            // The namespace is that of children; only later kernels take it at exec, too.
            match libc::fork() {
                -1 => Err(io::Error::last_os_error()),
                0 => Ok(()),
                child => {
                    // The pipe by which the standard library learns of the exec is the child's alone.
                    libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0);
                    let mut status = 0;
                    libc::waitpid(child, &raw mut status, 0);
                    libc::_exit(if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 1 })
                }
            }
        });
    }
    let done = finish(&mut command);
    done.must_be_fine();
    assert_eq!(parse(&done.stdout)[0].must("start_time"), outside + SECONDS * ticks, "{}", done.stdout);
    Outcome::Passed
}

/// `run` names the largest process as it calls itself, not as it was called when it executed its program: while it lives, and when
/// it has ended.
pub fn a_name_that_a_process_gave_itself() -> Outcome {
    // What it holds is given back before it ends, so that its peak is behind it when it is seen.
    const GROW: &str =
        "printf live-renamed >/proc/self/comm; x=$(head -c 8000000 /dev/zero | tr '\\0' x); x=; sleep";
    let scratch = Scratch::new();
    let path = scratch.file("report.json");
    for script in [format!("{GROW} 1; exit 0"), format!("({GROW} 6; exit 0) & sleep 2")] {
        let _ = fs::remove_file(&path);
        let report = path.to_str().expect("UTF-8");
        run(&["run", "-i", "0.05", "--format", "json", "-o", report, "--", "sh", "-c", &script]);
        let text = fs::read_to_string(&path).expect("read the report");
        let found: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(found["largest_comm"], "live-renamed", "{found:#}");
    }
    Outcome::Passed
}

const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const IF_ANY_BIT: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
/// Where `struct seccomp_data` has the low word of a call's first argument; its first word is the call's number.
const FIRST_ARGUMENT: u32 = 16;

/// One step of a filter of system calls; `jt` and `jf` are the steps that are left out where it holds and where not.
#[expect(clippy::cast_possible_truncation, reason = "libc's constants are small")]
const fn step(code: u32, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt, jf, k }
}

/// A constant of libc as a filter compares it.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "libc's constants are small")]
const fn word(number: libc::c_long) -> u32 {
    number as u32
}

const fn refuse(errno: i32) -> libc::sock_filter {
    step(RETURN, libc::SECCOMP_RET_ERRNO | word(errno as libc::c_long), 0, 0)
}

const ALLOW: libc::sock_filter = step(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0);

/// Threads can be started, but no process forked. The flags of clone3 lie in memory: the C library falls back to clone.
static NO_FORK: [libc::sock_filter; 9] = [
    step(LOAD, 0, 0, 0),
    step(IF_EQUAL, word(libc::SYS_fork), 5, 0),
    step(IF_EQUAL, word(libc::SYS_clone3), 5, 0),
    step(IF_EQUAL, word(libc::SYS_clone), 0, 2),
    step(LOAD, FIRST_ARGUMENT, 0, 0),
    step(IF_ANY_BIT, word(libc::CLONE_VM as libc::c_long), 0, 1),
    ALLOW,
    refuse(libc::EAGAIN),
    refuse(libc::ENOSYS),
];

/// No thread can be made: each call fails as with `pids.max`.
pub(super) static NO_THREAD: [libc::sock_filter; 8] = [
    step(LOAD, 0, 0, 0),
    step(IF_EQUAL, word(libc::SYS_clone3), 5, 0),
    step(IF_EQUAL, word(libc::SYS_clone), 0, 2),
    step(LOAD, FIRST_ARGUMENT, 0, 0),
    step(IF_ANY_BIT, word(libc::CLONE_THREAD as libc::c_long), 1, 0),
    ALLOW,
    refuse(libc::EAGAIN),
    refuse(libc::ENOSYS),
];

/// `enum bpf_cmd` (`include/uapi/linux/bpf.h`): what attaches to a tracepoint.
const BPF_RAW_TRACEPOINT_OPEN: u32 = 17;

/// No BPF program can be attached to a tracepoint; an iterator can be opened.
static NO_TRACEPOINT: [libc::sock_filter; 6] = [
    step(LOAD, 0, 0, 0),
    step(IF_EQUAL, word(libc::SYS_bpf), 0, 2),
    step(LOAD, FIRST_ARGUMENT, 0, 0),
    step(IF_EQUAL, BPF_RAW_TRACEPOINT_OPEN, 1, 0),
    ALLOW,
    refuse(libc::EPERM),
];

/// The command's system calls go through `filter`.
pub(super) fn filtered<'c>(
    command: &'c mut Command,
    filter: &'static [libc::sock_filter],
) -> &'c mut Command {
    let len = u16::try_from(filter.len()).expect("a short filter");
    // SAFETY: between fork and exec only prctl is called; the filter lives for ever.
    unsafe {
        command.pre_exec(move || {
            let program = libc::sock_fprog { len, filter: filter.as_ptr().cast_mut() };
            let mode = libc::c_ulong::from(libc::SECCOMP_MODE_FILTER);
            if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
                || libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program) != 0
            {
                return Err(io::Error::last_os_error());
            }
            Ok(())
        })
    }
}
