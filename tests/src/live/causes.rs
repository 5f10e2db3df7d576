//! Why measuring cannot work: each cause is told once, by what it is, with its own remedy.

use std::{
    ffi::CString,
    fs::{self, File},
    io,
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _, process::CommandExt as _},
    path::Path,
    process::{Command, Stdio},
};

use nix::{
    sched::{CloneFlags, unshare},
    sys::resource::{Resource, setrlimit},
};

use crate::{
    command::{AS_RSS_DRIFT, Done, finish, rss_drift},
    harness::{Outcome, Reason},
    scratch::Scratch,
};

/// `include/uapi/linux/capability.h`
const CAPABILITIES: [(&str, u32); 6] = [
    ("cap_sys_ptrace", 19),
    ("cap_sys_admin", 21),
    ("cap_sys_resource", 24),
    ("cap_syslog", 34),
    ("cap_perfmon", 38),
    ("cap_bpf", 39),
];

/// Nobody's ids.
const NOBODY: u32 = 65534;

fn number(name: &str) -> u32 {
    CAPABILITIES.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("{name} is not known")).1
}

/// rss-drift after this step of its own, between fork and exec.
fn after(arguments: &[&str], step: impl FnMut() -> io::Result<()> + Send + Sync + 'static) -> Done {
    let mut command = rss_drift(arguments);
    // SAFETY: the steps of this file make system calls only.
    unsafe { command.pre_exec(step) };
    finish(&mut command)
}

/// Asserts that each of `words` is said, and the first of them once.
fn must_say_once(done: &Done, words: &[&str]) {
    done.must_say(1, words);
    assert_eq!(done.stderr.matches(words[0]).count(), 1, "{}", done.stderr);
    assert_eq!(done.stderr.matches("remedy: ").count(), 1, "{}", done.stderr);
    assert!(!done.stderr.contains("a kernel of 5.10"), "this kernel will do: {}", done.stderr);
}

/// Too few descriptors for the maps.
pub fn too_few_open_files() -> Outcome {
    let done = after(&["-n", "1"], || Ok(setrlimit(Resource::RLIMIT_NOFILE, 16, 16)?));
    must_say_once(&done, &["this process may have 16 files open", "prlimit --nofile=1024"]);
    Outcome::Passed
}

/// Only kernels before 5.11 count BPF maps against the limit: there it is the cause, elsewhere nothing is said of it.
pub fn a_limit_of_locked_memory() -> Outcome {
    let tight = || {
        setrlimit(Resource::RLIMIT_MEMLOCK, 0, 0)?;
        drop_from_bounding_set(&["cap_sys_resource"])
    };
    let done = after(&["--passive", "-n", "1"], tight);
    if done.code == Some(0) {
        done.must_be_fine();
        return Outcome::Passed;
    }
    must_say_once(&done, &["ulimit -l is 0 KiB", "sudo prlimit --memlock=unlimited"]);
    Outcome::Passed
}

/// A filter of system calls, as containers have it.
pub fn a_seccomp_filter() -> Outcome {
    if Reason::NoSeccomp.holds() {
        return Outcome::Skipped(Reason::NoSeccomp);
    }
    for errno in [libc::EPERM, libc::ENOSYS] {
        let done = after(&["-n", "1"], move || refuse_bpf(errno));
        must_say_once(&done, &["a seccomp filter forbids bpf(2)", "--security-opt seccomp=unconfined"]);
    }
    Outcome::Passed
}

/// From here on bpf(2) gets this error.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small constants, of which the kernel's structures have narrower types than libc"
)]
fn refuse_bpf(errno: i32) -> io::Result<()> {
    const fn step(code: u32, k: u32, jf: u8) -> libc::sock_filter {
        libc::sock_filter { code: code as u16, jt: 0, jf, k }
    }
    let filter = [
        // `struct seccomp_data`: the call's number is its first word.
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, libc::SYS_bpf as u32, 1),
        step(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | errno as u32, 0),
        step(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    // SAFETY: the kernel copies the filter, which outlives the calls.
    let refused = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
            || libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) != 0
    };
    if refused { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Root of a user namespace has every capability, and none that counts here.
pub fn a_user_namespace() -> Outcome {
    if Reason::NoNamespaces.holds() {
        return Outcome::Skipped(Reason::NoNamespaces);
    }
    let done = after(&["-n", "1"], || Ok(unshare(CloneFlags::CLONE_NEWUSER)?));
    must_say_once(&done, &["this process is in a user namespace", "as root of the host"]);
    Outcome::Passed
}

/// No program can get a capability here, so that no setcap helps.
fn drop_from_bounding_set(names: &[&str]) -> io::Result<()> {
    for name in names {
        // SAFETY: prctl changes the calling thread's bounding set only.
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, number(name), 0, 0, 0) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// A container's usual set lacks what BPF needs.
pub fn a_bounding_set() -> Outcome {
    let done = after(&["-n", "1"], || drop_from_bounding_set(&["cap_bpf", "cap_perfmon", "cap_sys_admin"]));
    must_say_once(
        &done,
        &["CAP_BPF and CAP_PERFMON missing", "bounding set", "--cap-add BPF --cap-add PERFMON"],
    );
    assert!(!done.stderr.contains("setcap"), "it would not help: {}", done.stderr);
    Outcome::Passed
}

/// A copy of this program that everybody may run, with these capabilities.
fn capable(scratch: &Scratch, names: &[&str]) -> std::path::PathBuf {
    let path = scratch.file("rss-drift");
    let _ = fs::remove_file(&path);
    let mut copy = File::create(&path).expect("make a file of ours");
    io::copy(&mut File::open("/proc/self/exe").expect("open this program"), &mut copy)
        .expect("copy this program");
    copy.set_permissions(fs::Permissions::from_mode(0o755)).expect("let everybody run it");
    give(&path, names).expect("give a file capabilities");
    path
}

/// As `setcap NAMES+ep FILE`: version 2 of `struct vfs_cap_data` (`include/uapi/linux/capability.h`).
fn give(path: &Path, names: &[&str]) -> io::Result<()> {
    const VERSION_2_EFFECTIVE: u32 = 0x0200_0001;
    let mask = names.iter().fold(0_u64, |mask, name| mask | 1 << number(name));
    let mut words = VERSION_2_EFFECTIVE.to_le_bytes().to_vec();
    for half in mask.to_le_bytes().chunks(4) {
        words.extend(half);
        // Inheritable: none.
        words.extend([0; 4]);
    }
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: both names end with a zero, and the value is as long as is said.
    let result = unsafe {
        libc::setxattr(path.as_ptr(), c"security.capability".as_ptr(), words.as_ptr().cast(), words.len(), 0)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// That program as nobody.
fn as_nobody(program: &Path, arguments: &[&str]) -> Done {
    let mut command = Command::new(program);
    command.arg(AS_RSS_DRIFT).args(arguments).env_clear().stdin(Stdio::null()).uid(NOBODY).gid(NOBODY);
    finish(&mut command)
}

/// The line that is offered makes a program that can be run, also where some capabilities cannot be had, and one that measures.
/// What it lacks then is told where it is promised.
pub fn the_setcap_line_runs() -> Outcome {
    if Reason::NoNamespaces.holds() {
        return Outcome::Skipped(Reason::NoNamespaces);
    }
    // A filesystem of its own, because not every one keeps capabilities.
    let scratch = Scratch::of_size(128 << 10).expect("mount a tmpfs: every kernel has it");
    let plain = capable(&scratch, &[]);
    // Kernels before 5.11 count maps against this limit, which nobody could raise then.
    // Root without CAP_SYS_RESOURCE may not raise it either: later kernels measure all the same.
    if let Err(error) = setrlimit(Resource::RLIMIT_MEMLOCK, libc::RLIM_INFINITY, libc::RLIM_INFINITY) {
        println!("the limit of locked memory stays as it is: {error}");
    }
    drop_from_bounding_set(&["cap_sys_resource"]).expect("this process may drop capabilities");
    let done = as_nobody(&plain, &["-n", "1"]);
    done.must_say(1, &["CAP_BPF and CAP_PERFMON missing", "sudo setcap "]);
    let (_, line) = done.stderr.split_once("sudo setcap ").expect("a line");
    let (names, file) = line.trim().split_once("+ep ").expect("capabilities and a file");
    assert_eq!(Path::new(file), plain, "the file that was run");
    let names: Vec<&str> = names.split(',').collect();
    assert!(!names.contains(&"cap_sys_resource"), "nobody can get it here: {names:?}");
    let program = capable(&scratch, &names);
    as_nobody(&program, &["--version"]).must_be_fine();
    let done = as_nobody(&program, &["-n", "1", "--format", "csv"]);
    done.must_say(0, &["nobody watches --max-overhead"]);
    assert!(done.stdout.lines().count() > 1, "it measures: {done:?}");
    let told = as_nobody(&program, &["doctor"]);
    assert!(told.stdout.contains("missing: CAP_SYS_ADMIN (watching --max-overhead"), "{told:?}");
    Outcome::Passed
}
