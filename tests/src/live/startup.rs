//! Where measuring works, and where it cannot: named, with the remedy.

use std::{
    fs::{self, File},
    io,
    os::{
        fd::{AsRawFd as _, FromRawFd as _},
        unix::{fs::PermissionsExt as _, process::CommandExt as _},
    },
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sched::{CloneFlags, unshare},
    sys::signal::Signal,
};
use serde_json::Value;

use crate::{
    command::{AS_RSS_DRIFT, Running, finish, rss_drift, run},
    harness::{Outcome, Reason, kib_of},
    scratch,
};

/// Everything is found here, as text and as JSON, and both say the same.
pub fn doctor_finds_all_that_is_needed() -> Outcome {
    let done = run(&["doctor"]);
    done.must_be_fine();
    assert!(done.stdout.ends_with("measuring works\n"), "{}", done.stdout);
    let json = run(&["doctor", "--json"]);
    json.must_be_fine();
    let report: Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!(report["works"], true);
    let checks = report["checks"].as_array().expect("a list of checks");
    for name in [
        "kernel",
        "capabilities",
        "more-capabilities",
        "lockdown",
        "pid-namespace",
        "memlock",
        "btf",
        "accounting",
        "iterator",
        "proc-files",
        "bound",
    ] {
        let check =
            checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("{name}: {report:#}"));
        assert_ne!(check["state"], "failed", "{check:#}");
        assert!(done.stdout.contains(name), "{name}: {}", done.stdout);
    }
    for check in checks {
        assert_eq!(
            check["remedy"].is_null(),
            check["state"] == "ok",
            "a remedy where one is needed: {check:#}"
        );
    }
    Outcome::Passed
}

/// The failed checks of `doctor --json`.
fn failed(report: &str) -> Vec<String> {
    let report: Value = serde_json::from_str(report).expect("JSON");
    assert_eq!(report["works"], false);
    let checks = report["checks"].as_array().expect("a list of checks");
    let failed = checks.iter().filter(|check| check["state"] == "failed");
    failed.map(|check| check["name"].as_str().expect("a name").to_owned()).collect()
}

/// In a container the iterator would see only the container.
pub fn doctor_in_a_pid_namespace() -> Outcome {
    if Reason::NoNamespaces.holds() {
        return Outcome::Skipped(Reason::NoNamespaces);
    }
    // From here on the children of this process are in a namespace of their own.
    unshare(CloneFlags::CLONE_NEWPID).expect("unshare");
    // The first child is its init; when it ends, no other can be made. It shows both.
    let json = finish(&mut rss_drift(&["doctor", "--json"]));
    assert_eq!(json.code, Some(1), "{json:?}");
    assert_eq!(failed(&json.stdout), ["pid-namespace"]);
    assert!(json.stdout.contains("--pid=host"), "with the remedy: {}", json.stdout);
    Outcome::Passed
}

/// A kernel that is locked down to confidentiality lets nobody read its memory: one line, and the remedy.
pub fn lockdown_to_confidentiality() -> Outcome {
    if Reason::NoLockdown.holds() {
        return Outcome::Skipped(Reason::NoLockdown);
    }
    cannot_measure(
        "lockdown",
        &["confidentiality: BPF programs may not read", "boot with lockdown=integrity"],
    );
    Outcome::Passed
}

/// A kernel without BTF, or with a file of it that holds none.
pub fn a_kernel_without_btf() -> Outcome {
    const VMLINUX: &str = "/sys/kernel/btf/vmlinux";
    if Reason::NoNamespaces.holds() {
        return Outcome::Skipped(Reason::NoNamespaces);
    }
    let remedy = "boot a kernel built with CONFIG_DEBUG_INFO_BTF=y";
    scratch::hide("/sys/kernel/btf").expect("mount over /sys/kernel/btf");
    cannot_measure("btf", &[VMLINUX, remedy]);
    for content in ["", "no types"] {
        fs::write(VMLINUX, content).expect("write a file of ours");
        cannot_measure("btf", &["not BTF", remedy]);
    }
    Outcome::Passed
}

/// A kernel since 5.17 whose JIT is off refuses the reader's callbacks: the remedy names the switch.
pub fn the_jit_is_off() -> Outcome {
    if Reason::JitOn.holds() {
        return Outcome::Skipped(Reason::JitOn);
    }
    cannot_measure("iterator", &["JIT", "sudo sysctl net.core.bpf_jit_enable=1"]);
    Outcome::Passed
}

/// Types from a file: the running kernel's are taken, those of any other are refused in one line.
pub fn types_from_a_file() -> Outcome {
    const REMEDY: &str = "leave --btf out";
    if Reason::NoNamespaces.holds() {
        return Outcome::Skipped(Reason::NoNamespaces);
    }
    let scratch = scratch::Scratch::new();
    let [copy, other] = ["copy.btf", "other.btf"].map(|name| scratch.file(name));
    let mut types = fs::read("/sys/kernel/btf/vmlinux").expect("this kernel has BTF");
    fs::write(&copy, &types).expect("write a copy");
    // Another build of the same release differs in as little as this: a byte of a name.
    let last = types.len() - 2;
    types[last] ^= 1;
    fs::write(&other, &types).expect("write another kernel's");
    let [copy, other] = [&copy, &other].map(|file| file.to_str().expect("a path of letters"));
    run(&["--btf", copy, "-n", "1", "--top", "1"]).must_be_fine();
    for (file, words) in [
        (other, "of another kernel"),
        ("/proc/version", "of another kernel"),
        ("/nowhere", "cannot be read: No such file"),
    ] {
        cannot_measure_with(&["--btf", file], "btf", &[file, words, REMEDY]);
    }
    scratch::hide("/sys/kernel/btf").expect("mount over /sys/kernel/btf");
    cannot_measure_with(
        &["--btf", copy],
        "btf",
        &["nothing proves that it is of the running kernel", REMEDY],
    );
    Outcome::Passed
}

/// Asserts that this check alone fails, and is told in one line with its remedy: by `watch`, and by `doctor`.
fn cannot_measure(check: &str, words: &[&str]) {
    cannot_measure_with(&[], check, words);
}

/// The same with these options.
fn cannot_measure_with(options: &[&str], check: &str, words: &[&str]) {
    let done = run(&[options, &["-n", "1"]].concat());
    done.must_say(1, words);
    assert_eq!(done.stdout, "");
    let lines: Vec<_> = done.stderr.lines().collect();
    let [head, found, remedy] = lines[..] else { panic!("a line and its remedy: {}", done.stderr) };
    assert!(head.contains("cannot measure"), "{head}");
    assert!(
        found.starts_with(&format!("  {check}: ")) && remedy.starts_with("    remedy: "),
        "{}",
        done.stderr
    );
    let done = run(&[&["doctor", "--json"], options].concat());
    assert_eq!(done.code, Some(1), "{done:?}");
    assert_eq!(failed(&done.stdout), [check]);
}

/// Not root: what is missing and how to give it.
pub fn without_privileges() -> Outcome {
    let program = readable_by_all().expect("copy this program");
    let unprivileged = |arguments: &[&str]| {
        let mut command = Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()));
        command.arg(AS_RSS_DRIFT).args(arguments).env_clear().stdin(Stdio::null()).uid(65534).gid(65534);
        finish(&mut command)
    };
    let done = unprivileged(&["-n", "1"]);
    done.must_say(
        1,
        &["cannot measure", "CAP_BPF and CAP_PERFMON missing", "remedy: sudo ", "setcap cap_bpf,cap_perfmon"],
    );
    assert_eq!(done.stdout, "");
    let done = unprivileged(&["doctor", "--json"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert_eq!(failed(&done.stdout), ["capabilities"]);
    // Usage is told to everybody.
    unprivileged(&["-i", "0"]).must_say(2, &["--interval"]);
    Outcome::Passed
}

/// All that a start takes at once, in bytes.
const MOST_AT_START: u64 = 16 << 20;

/// The largest RSS from the start to the first report, by the kernel's own peak; and the report tells it.
pub fn takes_little_memory() -> Outcome {
    for arguments in
        [&["-v", "-i", "3600", "--top", "1"][..], &["-v", "--passive", "-i", "3600", "--top", "1"]]
    {
        let mut running = Running::start(arguments);
        let check = running.read_until("self-check: ");
        let peak = kib_of(&format!("/proc/{}/status", running.pid()), "VmHWM:").expect("it lives");
        let told = check.split_once("(peak ").and_then(|(_, rest)| rest.split_once(" KiB)"));
        let told: u64 = told.expect(&check).0.parse().expect("a number");
        println!("report: start_peak_kib={peak}");
        assert!(peak << 10 <= MOST_AT_START, "{arguments:?}: {peak} KiB");
        // It was read before the report was written, which may take some more.
        assert!((peak / 2..=peak).contains(&told), "{told} KiB of {peak}");
        running.kill();
    }
    // `run` reads the names of all functions of the kernel too.
    let mut running = Running::of(&mut rss_drift(&["run", "--", "sleep", "3600"]));
    let pid = running.pid();
    let file = format!("/proc/{pid}/task/{pid}/children");
    let end = Instant::now() + Duration::from_secs(60);
    while !started(&file, "sleep") {
        assert!(Instant::now() < end, "the command does not start");
        thread::sleep(Duration::from_millis(50));
    }
    let peak = kib_of(&format!("/proc/{pid}/status"), "VmHWM:").expect("it lives");
    println!("report: run_start_peak_kib={peak}");
    assert!(peak << 10 <= MOST_AT_START, "run: {peak} KiB");
    running.signal(Signal::SIGTERM);
    assert_eq!(running.line(), None);
    running.finish();
    Outcome::Passed
}

/// Whether one of the children in this file runs a program of this name.
fn started(children: &str, name: &str) -> bool {
    let pids = fs::read_to_string(children).expect("the kernel lists children");
    pids.split_whitespace()
        .any(|pid| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == name))
}

/// This program in a file that every user may run, wherever it lies itself. Not closed on exec: the script-like path
/// `/proc/self/fd/N` is opened after that.
fn readable_by_all() -> io::Result<File> {
    // SAFETY: a name that ends with a zero; the descriptor is nobody else's.
    let mut copy = unsafe { File::from_raw_fd(libc::memfd_create(c"rss-drift".as_ptr(), 0)) };
    io::copy(&mut File::open("/proc/self/exe")?, &mut copy)?;
    copy.set_permissions(fs::Permissions::from_mode(0o755))?;
    // A program that is open for writing cannot be run.
    File::open(format!("/proc/self/fd/{}", copy.as_raw_fd()))
}
