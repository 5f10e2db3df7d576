//! What a figure is called: nothing is called drift that may be none.

use std::{io, os::unix::process::CommandExt as _, process::Command};

use crate::{
    command::{finish, rss_drift},
    harness::Outcome,
    records::parse,
};

/// Where no child can be forked, nobody knows which files of /proc are exact: their figures stand there, and none is called drift.
pub fn no_drift_of_files_that_may_be_exact() -> Outcome {
    const ARGUMENTS: [&str; 4] = ["-n", "2", "-i", "0.05"];
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
    let table = finish(filtered(&mut rss_drift(&ARGUMENTS), &NO_FORK));
    table.must_say(0, &["proc-files"]);
    for words in [
        "sum of stat unknown, exact ",
        "|drift| unknown",
        "|drift| over all readings: unknown",
        "exact /proc files: none",
    ] {
        assert!(table.stdout.contains(words), "{words:?}: {}", table.stdout);
    }
    assert!(!table.stdout.contains("largest drift"), "{}", table.stdout);
    Outcome::Passed
}

/// Full mode that was asked for and cannot be had: standard error says so beside every format, and a column does.
pub fn a_step_down_at_the_start_is_told() -> Outcome {
    for format in ["table", "csv", "jsonl"] {
        let arguments = ["-n", "1", "--format", format];
        let done = finish(filtered(&mut rss_drift(&arguments), &NO_TRACEPOINT));
        done.must_say(0, &["full-mode: ", "passive mode measures"]);
        let told = match format {
            "table" => done.stdout.contains(" passive mode, "),
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
fn filtered<'c>(command: &'c mut Command, filter: &'static [libc::sock_filter]) -> &'c mut Command {
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
