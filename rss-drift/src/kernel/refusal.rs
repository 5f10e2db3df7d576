//! Why the kernel refused a BPF program, a map or an iterator: by its error number, by the verifier's words, and by what this process may
//! do.

use nix::{
    errno::Errno,
    sys::resource::{Resource, getrlimit},
};

use super::privileges::Privileges;

/// A cause, and what helps against it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    pub found: String,
    pub remedy: String,
}

impl Cause {
    fn new(found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { found: found.into(), remedy: remedy.into() }
    }
}

/// `ENOTSUPP` (`include/linux/errno.h`), which libc does not name.
const ENOTSUPP: i32 = 524;

/// What the host says, by which equal errors are told apart.
#[derive(Clone, Copy, Debug, Default)]
pub struct Surroundings {
    pub privileges: Privileges,
    /// `RLIMIT_MEMLOCK`, in bytes.
    pub memlock: u64,
    /// `RLIMIT_NOFILE`.
    pub files: u64,
}

impl Surroundings {
    /// Of this process.
    #[must_use]
    pub fn read() -> Self {
        // What cannot be told is taken for unlimited: it is not named as the cause then.
        let limit = |of| getrlimit(of).map_or(u64::MAX, |(soft, _)| soft);
        Self {
            privileges: Privileges::read().unwrap_or_default(),
            memlock: limit(Resource::RLIMIT_MEMLOCK),
            files: limit(Resource::RLIMIT_NOFILE),
        }
    }

    /// The cause of a refusal with the error number `errno`, of whose BPF program the verifier said `words`; `None` where it is not known.
    #[must_use]
    pub fn cause(&self, errno: i32, words: &str) -> Option<Cause> {
        // `kernel/bpf/helpers.c:bpf_base_func_proto` hides these helpers where the kernel is locked down to confidentiality; up to 6.9 the
        // verifier says the former, then the latter.
        let hidden = ["unknown func bpf_probe_read", "program of this type cannot use helper bpf_probe_read"];
        if hidden.iter().any(|hidden| words.contains(hidden)) {
            return Some(Cause::new(
                "the kernel is locked down to confidentiality: BPF programs may not read its memory",
                "boot with lockdown=integrity or without lockdown=; it cannot be lowered on a running kernel",
            ));
        }
        // `kernel/bpf/verifier.c:check_func_call`, `add_subprog_and_kfunc` and `add_kfunc_call`: callbacks (since 5.17), and functions of the
        // kernel, only what the JIT made can call.
        let of_the_jit = ["in non-JITed programs", "JIT is required for calling kernel function"];
        if of_the_jit.iter().any(|of_the_jit| words.contains(of_the_jit)) {
            return Some(no_jit());
        }
        match Errno::from_raw(errno) {
            Errno::EPERM | Errno::EACCES if words.trim().is_empty() => Some(self.not_permitted()),
            Errno::ENOSYS if self.privileges.seccomp => Some(seccomp()),
            Errno::ENOSYS => Some(Cause::new(
                "the kernel has no bpf(2)",
                "boot a kernel of 5.10 or later with CONFIG_BPF_SYSCALL=y (every Debian kernel since 11)",
            )),
            Errno::EMFILE => Some(Cause::new(
                format!("this process may have {} files open", self.files),
                "prlimit --nofile=1024 --pid $$, in the shell that starts it",
            )),
            Errno::ENFILE => {
                Some(Cause::new("the host has no file left to open", "sudo sysctl fs.file-max=1000000"))
            }
            Errno::ENOMEM => Some(Cause::new(
                "there is no memory for it",
                "free memory, raise memory.max of the control group, or make the maps smaller (--max-mms, --max-memory)",
            )),
            // A BPF program that is too large has words of the verifier.
            Errno::E2BIG if words.trim().is_empty() => Some(Cause::new(
                "the kernel has no map of that size",
                "make the maps smaller (--max-mms, --max-memory)",
            )),
            _ if errno == ENOTSUPP => Some(no_jit()),
            _ => None,
        }
    }

    /// Of equal errors the most certain cause first.
    fn not_permitted(&self) -> Cause {
        let Privileges { seccomp: filtered, user_namespace, .. } = self.privileges;
        if user_namespace {
            return Cause::new(
                "this process is in a user namespace, whose root may not load BPF programs",
                self.privileges.remedy(""),
            );
        }
        if filtered {
            return seccomp();
        }
        if self.memlock < MEMLOCK_NEEDED {
            // A kernel that does not mind the limit has no such error for who has the capabilities.
            return Cause::new(
                format!(
                    "ulimit -l is {} KiB, and this kernel counts BPF maps against it",
                    self.memlock / 1024
                ),
                "sudo prlimit --memlock=unlimited --pid $$, in the shell that starts it",
            );
        }
        Cause::new(
            "a security module forbids it, or the kernel is locked down to confidentiality",
            "sudo dmesg | grep -iE 'lockdown|denied' names which; allow the program bpf, or boot with lockdown=integrity",
        )
    }
}

/// Memory of the BPF maps that a kernel before 5.11 counts against the limit, with room: passive mode needs a few pages, full mode
/// some MiB for 4,096 mms.
pub const MEMLOCK_NEEDED: u64 = 16 << 20;

fn no_jit() -> Cause {
    Cause::new(
        "the kernel's JIT for BPF programs is off or missing, and without it this kernel refuses callbacks",
        "sudo sysctl net.core.bpf_jit_enable=1; where that is no key, boot a kernel with CONFIG_BPF_JIT=y",
    )
}

fn seccomp() -> Cause {
    Cause::new(
        "a seccomp filter forbids bpf(2)",
        "start the container with docker run --security-opt seccomp=unconfined, or allow bpf in the unit's SystemCallFilter=",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unlimited() -> Surroundings {
        Surroundings { memlock: u64::MAX, files: 1024, ..Surroundings::default() }
    }

    fn found(surroundings: Surroundings, errno: i32, words: &str) -> String {
        surroundings.cause(errno, words).expect("a cause").found
    }

    #[test]
    fn equal_errors_have_their_own_causes() {
        let of = |seccomp, user_namespace| Surroundings {
            privileges: Privileges { seccomp, user_namespace, ..Privileges::default() },
            ..unlimited()
        };
        assert!(found(of(false, true), libc::EPERM, "").contains("user namespace"));
        assert!(found(of(true, false), libc::EPERM, "").contains("seccomp"));
        assert!(found(of(true, false), libc::ENOSYS, "").contains("seccomp"));
        assert!(found(of(false, false), libc::ENOSYS, "").contains("no bpf(2)"));
        assert!(found(of(false, false), libc::EACCES, "").contains("security module"));
        let tight = Surroundings { memlock: 64 << 10, ..unlimited() };
        assert!(found(tight, libc::EPERM, "").contains("ulimit -l is 64 KiB"));
        assert!(found(unlimited(), libc::EMFILE, "").contains("1024 files"));
        assert!(found(unlimited(), libc::ENOMEM, "").contains("no memory"));
        assert!(found(unlimited(), libc::E2BIG, "").contains("no map of that size"));
        assert!(found(unlimited(), ENOTSUPP, "").contains("JIT"));
    }

    #[test]
    fn the_verifier_tells_lockdown() {
        for words in [
            "unknown func bpf_probe_read_kernel#113\n",
            "program of this type cannot use helper bpf_probe_read_kernel#113\n",
        ] {
            let cause = unlimited().cause(libc::EINVAL, words).unwrap();
            assert!(cause.found.contains("locked down") && cause.remedy.contains("lockdown=integrity"));
        }
    }

    #[test]
    fn the_verifier_tells_that_there_is_no_jit() {
        for words in [
            "callbacks are not allowed in non-JITed programs\n",
            "JIT is required for calling kernel function\n",
        ] {
            let cause = unlimited().cause(libc::EINVAL, words).unwrap();
            assert!(cause.found.contains("JIT") && cause.remedy.contains("sysctl net.core.bpf_jit_enable=1"));
        }
    }

    #[test]
    fn only_what_is_known_is_a_cause() {
        assert_eq!(unlimited().cause(libc::EINVAL, "R1 type=scalar expected=fp"), None);
        // The verifier's refusals are EACCES too: they are no matter of permission.
        assert_eq!(unlimited().cause(libc::EACCES, "invalid access to map value"), None);
        assert_eq!(unlimited().cause(libc::E2BIG, "BPF program is too large"), None);
    }
}
