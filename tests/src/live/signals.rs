//! Signals: those that are ignored from the start, those that come at any instant, and what the command of `run` gets of them.

use std::{
    env,
    io::Read as _,
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    sys::{
        signal::{Signal, kill, killpg},
        wait::{WaitPidFlag, waitpid},
    },
    unistd::Pid,
};

use super::runs::Objects;
use crate::{
    command::{Running, finish, rss_drift, run},
    harness::Outcome,
    measure::wait_until,
    soak::{Random, any_seed},
};

/// Lets a command begin with these signals ignored.
fn ignoring(command: &mut Command, signals: &'static [Signal]) {
    // SAFETY: between fork and exec only signal(2) is called.
    unsafe {
        command.pre_exec(move || {
            for &signal in signals {
                libc::signal(signal as i32, libc::SIG_IGN);
            }
            Ok(())
        });
    }
}

/// `nohup`, and `&` in a script: whoever ignores a signal for us does not want us to heed it.
pub fn ignored_at_the_start_stay_ignored() -> Outcome {
    let mut command = rss_drift(&["-i", "0.05"]);
    ignoring(&mut command, &[Signal::SIGINT, Signal::SIGHUP]);
    let mut running = Running::of(&mut command);
    running.read_until("self-check: ");
    for signal in [Signal::SIGHUP, Signal::SIGINT] {
        running.signal(signal);
        for _ in 0..3 {
            running.read_until("self-check: ");
        }
    }
    running.signal(Signal::SIGTERM);
    running.finish().must_be_fine();

    let script = "echo ready; read line; sleep 0.5; exit 7";
    let mut command = rss_drift(&["run", "--format", "json", "--", "sh", "-c", script]);
    ignoring(&mut command, &[Signal::SIGINT, Signal::SIGHUP]);
    let mut running = Running::of(&mut command);
    running.read_until("ready");
    running.signal(Signal::SIGHUP);
    running.signal(Signal::SIGINT);
    let done = running.finish();
    assert_eq!(done.code, Some(7), "{done:#?}");
    assert_eq!(super::run::json(&done)["exit_status"], 7);
    Outcome::Passed
}

/// The kernel reaps the children of a process that ignores SIGCHLD: how they ended must be known all the same.
pub fn sigchld_ignored_by_the_parent() -> Outcome {
    let started = |arguments: &[&str]| {
        let mut command = rss_drift(arguments);
        ignoring(&mut command, &[Signal::SIGCHLD]);
        finish(&mut command)
    };
    let done = started(&["run", "--format", "json", "--", "sh", "-c", "exit 7"]);
    assert_eq!(done.code, Some(7), "{done:#?}");
    assert_eq!(super::run::json(&done)["exit_status"], 7);
    started(&["-n", "2", "-i", "0.05"]).must_be_fine();
    started(&["demo", "--threads", "20"]).must_be_fine();
    started(&["doctor"]).must_be_fine();
    Outcome::Passed
}

/// Limits and signals are those that rss-drift was started with, whatever it needs for itself: as the kernel shows them of the same
/// program when nobody stands in between.
pub fn the_command_gets_them_back() -> Outcome {
    const SHOW: [&str; 3] = ["cat", "/proc/self/status", "/proc/self/limits"];
    let shown = |command: &mut Command, ignored: &'static [Signal]| -> Vec<String> {
        // SAFETY: between fork and exec only system calls are made, with values that live through them.
        unsafe {
            command.pre_exec(|| {
                for (resource, soft, hard) in
                    [(libc::RLIMIT_MEMLOCK, 1 << 16, 1 << 17), (libc::RLIMIT_NOFILE, 200, 300)]
                {
                    let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
                    libc::setrlimit(resource, &raw const limit);
                }
                for signal in [libc::SIGPIPE, libc::SIGXFSZ, libc::SIGCHLD] {
                    libc::signal(signal, libc::SIG_DFL);
                }
                let mut set = std::mem::zeroed();
                libc::sigemptyset(&raw mut set);
                libc::sigaddset(&raw mut set, libc::SIGUSR2);
                libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
                Ok(())
            });
        }
        ignoring(command, ignored);
        let done = finish(command);
        assert_eq!(done.code, Some(0), "{done:#?}");
        let what = ["SigBlk", "SigIgn", "SigCgt", "Max "];
        let lines = done.stdout.lines().filter(|line| what.iter().any(|word| line.starts_with(word)));
        lines.map(str::to_owned).collect()
    };
    for ignored in [&[][..], &[Signal::SIGPIPE, Signal::SIGXFSZ, Signal::SIGCHLD, Signal::SIGINT]] {
        let mut plain = Command::new(SHOW[0]);
        plain.args(&SHOW[1..]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let expected = shown(&mut plain, ignored);
        assert!(expected.len() > 15, "{expected:?}");
        let under = shown(&mut rss_drift(&[&["run", "--"], &SHOW[..]].concat()), ignored);
        assert_eq!(under, expected);
    }
    Outcome::Passed
}

/// SIGUSR1 asks for a report, long before the next one is due.
pub fn a_report_now() -> Outcome {
    let mut running = Running::start(&["-i", "1000", "-n", "3"]);
    running.read_until("self-check: ");
    for _ in 0..2 {
        running.signal(Signal::SIGUSR1);
        running.read_until("self-check: ");
    }
    let done = running.finish();
    done.must_be_fine();
    assert!(done.stdout.contains("3 interval"), "{done:#?}");
    assert!(done.took < Duration::from_secs(100), "{done:#?}");
    Outcome::Passed
}

/// A command that is slow to end is waited for; `--kill-after` bounds that, and a second signal ends the wait.
pub fn a_command_that_is_slow_to_end() -> Outcome {
    // Longer than the two seconds after which the user is told.
    let slow = "trap 'echo ending; sleep 3; exit 9' TERM; echo ready; while :; do sleep 0.05; done";
    let stubborn = "trap '' TERM INT; echo ready; while :; do sleep 0.05; done";
    let begun = |options: &[&str], script: &str| {
        let mut running =
            Running::start(&[&["run", "--format", "json"], options, &["--", "sh", "-c", script]].concat());
        running.read_until("ready");
        running
    };
    let running = begun(&[], slow);
    running.signal(Signal::SIGTERM);
    let done = running.finish();
    done.must_say(9, &["waiting for the command to end"]);
    assert_eq!(super::run::json(&done)["exit_status"], 9);

    let running = begun(&["--kill-after", "0.3"], stubborn);
    running.signal(Signal::SIGTERM);
    let done = running.finish();
    assert_eq!(done.code, Some(137), "{done:#?}");
    assert_eq!(super::run::json(&done)["exit_status"], 137);
    Outcome::Passed
}

/// How many instants are tried; `LIVE_TESTS_INSTANTS` says otherwise.
const INSTANTS: u64 = 60;
/// Where rss-drift takes long to start (an emulated guest), so many as fit into this time, but not fewer than these.
const TIME: Duration = Duration::from_secs(90);
const FEWEST: u64 = 12;

/// What is started, and whether its first words on standard output say that it measures.
const STARTED: [&[&str]; 4] = [
    &["-i", "0.05", "--format", "csv"],
    &["run", "--format", "json", "--", "sleep", "60"],
    &["demo", "--threads", "50"],
    &["run", "-r", "1000", "--format", "json", "--", "sleep", "0.02"],
];

/// A signal at any instant, from the first instruction on, to rss-drift alone or to all of its group as a terminal does: it ends
/// with the signal's status, or when it measures with its own, and nothing is left running or loaded.
pub fn at_any_instant() -> Outcome {
    let start_up = start_up();
    let affordable = TIME.as_millis() / start_up.as_millis().max(1);
    let instants = env::var("LIVE_TESTS_INSTANTS").map_or_else(
        |_| u64::try_from(affordable).map_or(INSTANTS, |some| some.clamp(FEWEST, INSTANTS)),
        |text| text.parse().expect("a number"),
    );
    let seed = any_seed();
    println!("report: seed={seed}, instants={instants}");
    let mut random = Random::new(seed);
    // Orphans come to this process, which reaps them: a zombie is no process that still runs.
    // SAFETY: sets a flag of this process only.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
    let longest = u64::try_from(start_up.as_micros() * 3 / 2).expect("some seconds");
    let mut objects = Objects::default();
    for _ in 0..instants {
        let arguments = random.of(&STARTED);
        let signal = random.of(&[Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
        let wait = Duration::from_micros(random.below(longest));
        let to_all = random.below(2) == 1;
        let what =
            format!("{arguments:?}, {signal} to {} after {wait:?}", if to_all { "all" } else { "one" });
        let mut command = rss_drift(arguments);
        let mut child = command.process_group(0).spawn().expect("start this very program");
        let pid = Pid::from_raw(child.id().cast_signed());
        let output = drain(&mut child);
        thread::sleep(wait);
        objects.add(Objects::of_process(child.id()));
        if to_all { killpg(pid, signal) } else { kill(pid, signal) }.expect("signal a child of ours");
        let code = end(&mut child, &what);
        nothing_runs(pid, &what);
        let [stdout, stderr] = output.map(|thread| thread.join().expect("read a pipe"));
        let expected = 128 + signal as i32;
        match arguments[0] {
            // Not before its first report; then a signal is its usual end.
            "-i" if code == 0 => assert!(stdout.starts_with("timestamp,"), "{what}: {stdout} {stderr}"),
            // It was over before the signal came.
            "demo" if code == 0 => assert!(stdout.contains("missing"), "{what}: {stdout} {stderr}"),
            _ => assert_eq!(code, expected, "{what}: {stdout} {stderr}"),
        }
    }
    wait_until("the kernel has freed all BPF programs and maps", || !objects.are_left());
    Outcome::Passed
}

/// How long rss-drift takes to its first report.
fn start_up() -> Duration {
    let done = run(&["-n", "1"]);
    done.must_be_fine();
    done.took
}

/// Reads all that it writes, so that it never waits for us.
fn drain(child: &mut Child) -> [thread::JoinHandle<String>; 2] {
    let mut stdout = child.stdout.take().expect("it has a pipe");
    let mut stderr = child.stderr.take().expect("it has a pipe");
    let text = |result: std::io::Result<usize>, text| result.map(|_| text).expect("text");
    [
        thread::spawn(move || {
            let mut read = String::new();
            text(stdout.read_to_string(&mut read), read)
        }),
        thread::spawn(move || {
            let mut read = String::new();
            text(stderr.read_to_string(&mut read), read)
        }),
    ]
}

/// Its exit status as a shell gives it.
fn end(child: &mut Child, what: &str) -> i32 {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(status) = child.try_wait().expect("wait for a child") {
            return status.code().unwrap_or_else(|| 128 + status.signal().expect("a signal"));
        }
        assert!(Instant::now() < until, "{what}: it goes on");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Nobody of its process group is there any more: what it had started ends with it.
fn nothing_runs(group: Pid, what: &str) {
    let until = Instant::now() + Duration::from_secs(5);
    loop {
        // Orphans that have come to us.
        while waitpid(Pid::from_raw(-group.as_raw()), Some(WaitPidFlag::WNOHANG))
            .is_ok_and(|status| status.pid().is_some())
        {}
        if killpg(group, None) == Err(Errno::ESRCH) {
            return;
        }
        assert!(Instant::now() < until, "{what}: something of it still runs");
        thread::sleep(Duration::from_millis(1));
    }
}
