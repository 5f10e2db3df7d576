//! The command of `run`: who it is, and what it shares with rss-drift: a terminal, standard error.

use std::{
    ffi::CString,
    fs,
    os::{
        fd::AsRawFd as _,
        unix::{fs::PermissionsExt as _, process::CommandExt as _},
    },
    process::{Command, Stdio},
    time::Duration,
};

use nix::sys::signal::{Signal, kill};

use super::{run::json, runs::Objects};
use crate::{
    command::{Done, Running, finish, rss_drift},
    harness::{Outcome, Reason},
    measure::wait_until,
    scratch::Scratch,
    terminal::Terminal,
};

/// What the kernel says of who a program is, of its privileges and of its environment.
const SHOW: [&str; 2] = ["cat", "/proc/self/status"];

/// Lines of a status file that say who a process is and what it may do.
fn who(status: &str) -> Vec<&str> {
    let names = ["Uid:", "Gid:", "Groups:", "CapInh:", "CapPrm:", "CapEff:", "CapAmb:"];
    status.lines().filter(|line| names.iter().any(|name| line.starts_with(name))).collect()
}

/// `cat` with these words of `run`, and this environment.
fn shown(options: &[&str], environment: &[(&str, &str)]) -> Done {
    let mut command = rss_drift(&[&["run", "--quiet"], options, &["--"], &SHOW].concat());
    command.envs(environment.iter().copied());
    finish(&mut command)
}

/// A name, a number or sudo's user: as the kernel shows it of a process that was made that user without rss-drift.
pub fn another_user() -> Outcome {
    const NUMBER: u32 = 54_321;
    let mut plain = Command::new(SHOW[0]);
    plain.args(&SHOW[1..]).uid(NUMBER).gid(NUMBER).stdout(Stdio::piped()).stderr(Stdio::piped());
    let plain = finish(&mut plain);
    // The standard library drops all groups of root's; the number's own is left here.
    let expected: Vec<_> =
        who(&plain.stdout).into_iter().filter(|line| !line.starts_with("Groups:")).collect();
    assert_eq!(expected.len(), 6, "{plain:#?}");
    assert!(expected.iter().all(|line| !line.starts_with("CapEff:") || line.ends_with("0000000000000000")));
    let number = NUMBER.to_string();
    let sudo = [("SUDO_UID", number.as_str()), ("SUDO_GID", number.as_str())];
    for (options, environment) in [(["--user", number.as_str()], &[][..]), (["--user", "sudo"], &sudo)] {
        let done = shown(&options, environment);
        assert_eq!(done.code, Some(0), "{done:#?}");
        let mut of = who(&done.stdout);
        let groups = of.iter().position(|line| line.starts_with("Groups:")).map(|at| of.remove(at));
        assert_eq!(of, expected, "{done:#?}");
        assert_eq!(groups.map(str::trim_end), Some(format!("Groups:\t{NUMBER}").as_str()));
    }
    // Root by name keeps what root has, and root's home comes with it.
    let mut command =
        rss_drift(&["run", "--quiet", "--user", "root", "--", "sh", "-c", "echo $HOME $USER $KEPT"]);
    command.env("HOME", "/elsewhere").env("KEPT", "kept").env("PATH", "/usr/bin:/bin");
    let done = finish(&mut command);
    if has_root() {
        assert_eq!((done.code, done.stdout.as_str()), (Some(0), "/root root kept\n"), "{done:#?}");
    }
    shown(&["--user", "no-such-user"], &[]).must_say(125, &["no-such-user", "--user"]);
    shown(&["--user", "sudo"], &[]).must_say(125, &["SUDO_UID is not set", "--user sudo"]);
    shown(&["--user", "sudo"], &[("SUDO_UID", "x"), ("SUDO_GID", "0")]).must_say(125, &["SUDO_UID", "\"x\""]);
    Outcome::Passed
}

/// Whether this system has a file of users with root in it: a guest has none.
fn has_root() -> bool {
    fs::read_to_string("/etc/passwd")
        .is_ok_and(|text| text.lines().any(|line| line.starts_with("root:") && line.contains(":/root:")))
}

/// A file that only root may read is not read by the command, and rss-drift counts its memory all the same.
pub fn another_user_has_no_privileges() -> Outcome {
    let scratch = Scratch::new();
    let secret = scratch.file("secret");
    fs::write(&secret, "secret").expect("write a file of ours");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("hide a file of ours");
    let secret = secret.to_str().expect("a plain path");
    let mut command = rss_drift(&["run", "--format", "json", "--user", "54321", "--", "cat", secret]);
    let done = finish(&mut command);
    assert_eq!((done.code, done.stdout.as_str()), (Some(1), ""), "{done:#?}");
    assert!(json(&done)["command_peak_bytes"].as_i64().is_some_and(|peak| peak > 0), "{done:#?}");
    Outcome::Passed
}

/// A line on a terminal only where it disturbs nobody: not with `-o`, `--quiet`, `--no-progress` or TERM=dumb, and not while a program
/// reads the keys itself.
pub fn no_line_where_it_disturbs() -> Outcome {
    if Terminal::open(120).is_err() {
        return Outcome::Skipped(Reason::NoPty);
    }
    let scratch = Scratch::new();
    let file = scratch.file("report.txt");
    let file = file.to_str().expect("a plain path");
    let shown = |options: &[&str], term: &str, raw: bool| {
        let terminal = Terminal::open(120).expect("it could be made before");
        if raw {
            set_raw(terminal.inside.as_raw_fd());
        }
        let mut command =
            rss_drift(&[&["run", "-i", "0.1"], options, &["--", "sh", "-c", "sleep 0.6"]].concat());
        command.env("TERM", term).stderr(terminal.inside.try_clone().expect("a descriptor"));
        let child = command.spawn().expect("start this very program");
        drop(command);
        let shown = terminal.read_to_end().expect("read the terminal");
        let output = child.wait_with_output().expect("wait for a child");
        assert!(output.status.success(), "{output:?}: {shown}");
        shown
    };
    let line = "page faults, RSS ";
    assert!(shown(&[], "xterm", false).contains(line));
    for (options, term, raw) in [
        (&["--no-progress"][..], "xterm", false),
        (&["--quiet"], "xterm", false),
        (&["-o", file], "xterm", false),
        (&[], "dumb", false),
        (&[], "xterm", true),
    ] {
        let shown = shown(options, term, raw);
        assert!(!shown.contains(line) && !shown.contains("\x1b[K"), "{options:?} {term} {raw}: {shown}");
    }
    Outcome::Passed
}

/// As an editor does it.
fn set_raw(terminal: i32) {
    // SAFETY: all fields are integers: zeroes are a value; it lives through the calls.
    unsafe {
        let mut now: libc::termios = std::mem::zeroed();
        assert_eq!(libc::tcgetattr(terminal, &raw mut now), 0, "ask the terminal");
        libc::cfmakeraw(&raw mut now);
        assert_eq!(libc::tcsetattr(terminal, libc::TCSANOW, &raw const now), 0, "set the terminal");
    }
}

/// While rss-drift is stopped the kernel keeps openings of files of /proc for it: only so many, and that some are lost is said.
pub fn a_full_queue_of_openings() -> Outcome {
    let begun = |format: &str| {
        let script = "echo ready; read line; sleep 0.3";
        let mut running =
            Running::start(&["run", "--system", "-i", "100", "--format", format, "--", "sh", "-c", script]);
        running.read_until("ready");
        running.signal(Signal::SIGSTOP);
        std::thread::sleep(Duration::from_millis(100));
        open_different_files(queue_length() + 1000);
        running.signal(Signal::SIGCONT);
        running.finish()
    };
    let report = json(&begun("json"));
    assert_eq!(report["openings_overflows"], 1, "{report:#}");
    let seen = report["statm_opened"].as_u64().expect("a number");
    assert!(seen > 0, "those before are counted: {report:#}");
    begun("text").must_say(0, &["too low: the kernel's queue was full once"]);
    Outcome::Passed
}

/// What is allowed next to nothing is over soon: the command goes on with nothing of ours on its way, and keeps its exit status.
pub fn goes_on_without_us_when_it_costs_too_much() -> Outcome {
    let script = "echo ready; n=0; while [ $n -lt 20 ]; do sh -c :; sleep 0.02; n=$((n + 1)); done; read line; sleep 12; exit 5";
    let options =
        ["run", "-r", "3", "-i", "0.1", "--max-overhead", "0.000001", "--format", "json", "--", "sh", "-c"];
    let mut running = Running::start(&[&options[..], &[script]].concat());
    running.read_until("ready");
    let objects = Objects::of_process(running.pid());
    assert!(objects.are_left(), "it measures: {objects:?}");
    wait_until("the BPF programs are gone", || !objects.are_left());
    let command = super::run::only_child_of(running.pid());
    assert!(kill(command, None).is_ok(), "the command goes on");
    let done = running.finish();
    done.must_say(5, &["more than --max-overhead 0.000001: the command goes on"]);
    // Of the one run that there was.
    assert_eq!(done.stderr.lines().filter(|line| line.starts_with('{')).count(), 1, "{done:#?}");
    let report = json(&done);
    let seconds = |name: &str| report[name].as_f64().expect("a number");
    assert_eq!(report["exit_status"], 5, "{report:#}");
    assert!(seconds("programs_percent") > 0.000_001, "{report:#}");
    assert!(seconds("duration_seconds") >= 3.0, "{report:#}");
    assert!(seconds("measured_seconds") < seconds("duration_seconds") - 1.0, "{report:#}");
    assert!(seconds("updates") > 0.0, "{report:#}");

    // What is allowed all is never over.
    let (done, report) = super::run::report(&["-i", "0.1", "--max-overhead", "100"], &["sleep", "0.5"]);
    assert_eq!(
        (done.code, &report["measured_seconds"]),
        (Some(0), &report["duration_seconds"]),
        "{report:#}"
    );
    assert!(report["programs_percent"].as_f64().is_some(), "{report:#}");
    Outcome::Passed
}

/// How many events the kernel keeps (`fs/notify/fanotify/fanotify_user.c:FANOTIFY_DEFAULT_MAX_EVENTS`; since 5.13 a sysctl).
fn queue_length() -> usize {
    let set = fs::read_to_string("/proc/sys/fs/fanotify/max_queued_events");
    set.map_or(16384, |text| text.trim().parse().expect("a number"))
}

/// Opens so many files of /proc that are all different: the kernel makes one event of openings of one file by one process.
fn open_different_files(count: usize) {
    let mut opened = 0;
    while opened < count {
        // A child's files are others than those of the child before, as is a child that opens its own.
        let mut child = Command::new("sleep").arg("1000").spawn().expect("start a program");
        let folder = format!("/proc/{}", child.id());
        for entry in fs::read_dir(&folder).expect("list its files") {
            let entry = entry.expect("list its files");
            // No event tells of a directory, and a link leads elsewhere.
            if !entry.file_type().expect("a kind of file").is_file() {
                continue;
            }
            let path = entry.path();
            let path = CString::new(path.to_str().expect("a plain path")).expect("a path");
            // SAFETY: a path that ends with a zero; what was opened is closed.
            unsafe {
                let fd = libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_NONBLOCK | libc::O_CLOEXEC);
                if fd >= 0 {
                    libc::close(fd);
                    opened += 1;
                }
            }
        }
        child.kill().and_then(|()| child.wait()).expect("end a child of ours");
    }
}
