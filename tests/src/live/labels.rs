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
        let csv = finish(without_fork(&mut rss_drift(
            &[&ARGUMENTS[..], &["--source", source, "--format", "csv"]].concat(),
        )));
        csv.must_say(0, &["proc-files", "no figure of stat, statm, status is called drift", "pids.max"]);
        let rows = parse(&csv.stdout);
        assert!(rows.iter().any(|row| row.number("reported_bytes").is_some()), "{}", csv.stdout);
        for row in &rows {
            for column in ["drift_bytes", "band_low_bytes", "band_high_bytes", "peak_drift_bytes"] {
                assert_eq!(row.text(column), "", "{column}: {row:#?}");
            }
        }
    }
    let table = finish(without_fork(&mut rss_drift(&ARGUMENTS)));
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

/// The command may start threads, but fork no process.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small constants, of which the kernel's structures have narrower types than libc"
)]
fn without_fork(command: &mut Command) -> &mut Command {
    const fn code(code: u32) -> u16 {
        code as u16
    }
    const LOAD: u16 = code(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS);
    const IF_EQUAL: u16 = code(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K);
    const IF_ANY_BIT: u16 = code(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K);
    const RETURN: u16 = code(libc::BPF_RET | libc::BPF_K);
    const fn step(code: u16, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
        libc::sock_filter { code, jt, jf, k }
    }
    const fn number(call: libc::c_long) -> u32 {
        call as u32
    }
    const REFUSED: u32 = libc::SECCOMP_RET_ERRNO | libc::EAGAIN as u32;
    const NOT_THERE: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;
    // `struct seccomp_data`: the call's number is its first word, the first argument lies at 16.
    static FILTER: [libc::sock_filter; 9] = [
        step(LOAD, 0, 0, 0),
        step(IF_EQUAL, number(libc::SYS_fork), 5, 0),
        // Its flags lie in memory: the C library falls back to clone.
        step(IF_EQUAL, number(libc::SYS_clone3), 5, 0),
        step(IF_EQUAL, number(libc::SYS_clone), 0, 2),
        step(LOAD, 16, 0, 0),
        step(IF_ANY_BIT, libc::CLONE_VM as u32, 0, 1),
        step(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0),
        step(RETURN, REFUSED, 0, 0),
        step(RETURN, NOT_THERE, 0, 0),
    ];
    // SAFETY: between fork and exec only prctl is called; the filter lives for ever.
    unsafe {
        command.pre_exec(|| {
            let program = libc::sock_fprog { len: FILTER.len() as u16, filter: FILTER.as_ptr().cast_mut() };
            let filter = libc::c_ulong::from(libc::SECCOMP_MODE_FILTER);
            if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
                || libc::prctl(libc::PR_SET_SECCOMP, filter, &raw const program) != 0
            {
                return Err(io::Error::last_os_error());
            }
            Ok(())
        })
    }
}
