//! What measuring needs of the host: each check says what was found, what is missing, and the remedy. `doctor` prints
//! them; start-up runs the very same ones.

use std::fs;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::privileges::{CAPABILITIES, Capability, Need, Privileges};

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// As it should be.
    Ok,
    /// Measuring works, but less than all of it.
    Warning,
    /// Measuring cannot work.
    Failed,
}

impl State {
    /// The word in `doctor`'s output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was looked at: a stable word.
    pub name: &'static str,
    pub state: State,
    pub found: String,
    /// What is missing and how to get it; `None` when nothing is.
    pub remedy: Option<String>,
}

impl Check {
    /// Nothing is missing.
    #[must_use]
    pub fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, state: State::Ok, found: found.into(), remedy: None }
    }

    /// Something is missing without which measuring still works.
    #[must_use]
    pub fn warning(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, state: State::Warning, found: found.into(), remedy: Some(remedy.into()) }
    }

    /// Something is missing without which measuring cannot work.
    #[must_use]
    pub fn failed(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, state: State::Failed, found: found.into(), remedy: Some(remedy.into()) }
    }
}

/// All checks that need no BPF program.
#[must_use]
pub fn host_checks() -> Vec<Check> {
    let mut checks = vec![architecture()];
    checks.extend(capabilities());
    checks.extend([lockdown(), pid_namespace(), proc_visible(), memlock()]);
    checks
}

fn architecture() -> Check {
    let found = format!("{} on {}", super::release(), std::env::consts::ARCH);
    if cfg!(target_arch = "x86_64") {
        Check::ok("kernel", found)
    } else {
        Check::failed("kernel", found, "rss-drift measures x86_64 only")
    }
}

fn capabilities() -> Vec<Check> {
    const NAME: &str = "capabilities";
    let privileges = match Privileges::read() {
        Ok(privileges) => privileges,
        Err(error) => {
            let found = format!("cannot read /proc/self/status: {error}");
            return vec![Check::failed(NAME, found, "mount -t proc proc /proc")];
        }
    };
    // Some kernels take CAP_PERFMON for that.
    let reads_others = fs::File::open("/proc/1/smaps_rollup").is_ok();
    of_privileges(&privileges, reads_others, &own_program())
}

/// What the privileges are enough for; `program` is the file that would get those that are missing. Where `smaps_rollup` of others can be
/// read, `CAP_SYS_PTRACE` is not missing.
fn of_privileges(privileges: &Privileges, reads_others: bool, program: &str) -> Vec<Check> {
    const NAME: &str = "capabilities";
    const OPTIONAL: &str = "more-capabilities";
    let names = |need| privileges.missing(need).map(|it| it.name).collect::<Vec<_>>().join(" and ");
    let missing = names(Need::Always);
    let remedy = || privileges.remedy(program);
    if privileges.user_namespace {
        // The capabilities that it has there are of no use.
        let found = "this process is in a user namespace, whose root may not load BPF programs";
        return vec![Check::failed(NAME, found, remedy())];
    }
    if !missing.is_empty() {
        return vec![Check::failed(NAME, format!("{missing} missing"), remedy())];
    }
    let lacks: Vec<_> = privileges
        .missing(Need::ForAPart)
        .filter(|it| !(reads_others && it.name == "CAP_SYS_PTRACE"))
        .map(|Capability { name, purpose, .. }| format!("{name} ({purpose})"))
        .collect();
    vec![
        Check::ok(NAME, "CAP_BPF and CAP_PERFMON"),
        if lacks.is_empty() {
            let all = CAPABILITIES.iter().filter(|it| it.need == Need::ForAPart);
            let all: Vec<_> =
                all.map(|Capability { name, purpose, .. }| format!("{name} ({purpose})")).collect();
            Check::ok(OPTIONAL, all.join(", "))
        } else {
            Check::warning(OPTIONAL, format!("missing: {}", lacks.join(", ")), format!("sudo {program}"))
        },
    ]
}

/// The file of this program, as a shell takes it.
fn own_program() -> String {
    let path =
        std::env::current_exe().map_or_else(|_| "rss-drift".to_owned(), |path| path.display().to_string());
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._+-".contains(&byte);
    if path.bytes().all(plain) { path } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

fn lockdown() -> Check {
    const NAME: &str = "lockdown";
    match fs::read_to_string("/sys/kernel/security/lockdown") {
        Ok(text) => lockdown_state(&text),
        // Without the file there is no lockdown, or securityfs is not mounted: loading the BPF programs will tell.
        Err(_) => Check::ok(NAME, "off, or not shown (no /sys/kernel/security/lockdown)"),
    }
}

fn lockdown_state(text: &str) -> Check {
    const NAME: &str = "lockdown";
    let active = text.split_whitespace().find_map(|word| word.strip_prefix('[')?.strip_suffix(']'));
    match active {
        Some("confidentiality") => Check::failed(
            NAME,
            "confidentiality: BPF programs may not read kernel memory",
            "boot with lockdown=integrity or without lockdown=; it cannot be lowered on a running kernel",
        ),
        Some(level) => Check::ok(NAME, level),
        None => Check::ok(NAME, format!("not understood: {:?}", text.trim())),
    }
}

/// Inode of the initial PID namespace (`include/linux/proc_ns.h:PROC_PID_INIT_INO`, 5.10 to 7.2).
const INITIAL_PID_NAMESPACE: &str = "pid:[4026531836]";

fn pid_namespace() -> Check {
    const NAME: &str = "pid-namespace";
    match fs::read_link("/proc/self/ns/pid") {
        Ok(link) if link.as_os_str() == INITIAL_PID_NAMESPACE => Check::ok(NAME, "the host's"),
        Ok(link) => Check::failed(
            NAME,
            format!("{}, not the host's: the iterator would see only its tasks", link.display()),
            "run on the host or with the host's PID namespace: docker run --pid=host, nsenter -t 1 -p -m",
        ),
        Err(error) => {
            Check::failed(NAME, format!("cannot read /proc/self/ns/pid: {error}"), "mount proc on /proc")
        }
    }
}

fn proc_visible() -> Check {
    const NAME: &str = "proc";
    match fs::read("/proc/1/statm") {
        Ok(_) => Check::ok(NAME, "every process's files can be read"),
        Err(error) => Check::warning(
            NAME,
            format!(
                "cannot read /proc/1/statm: {error}: the reported figures of other users' processes stay empty"
            ),
            "run as root, or mount /proc without hidepid",
        ),
    }
}

/// Raises the limit as far as this process may. Whether it is too low only a refusal tells: kernels since 5.11 do not mind it.
fn memlock() -> Check {
    const NAME: &str = "memlock";
    let (soft, hard) = match getrlimit(Resource::RLIMIT_MEMLOCK) {
        Ok(limits) => limits,
        Err(error) => return Check::ok(NAME, format!("cannot be read: {error}")),
    };
    // Of this process alone. Kernels since 5.11 count maps by memory cgroup and do not mind the limit.
    let raised = setrlimit(Resource::RLIMIT_MEMLOCK, libc::RLIM_INFINITY, libc::RLIM_INFINITY).is_ok()
        || setrlimit(Resource::RLIMIT_MEMLOCK, hard, hard).is_ok();
    let now = getrlimit(Resource::RLIMIT_MEMLOCK).map_or(soft, |(soft, _)| soft);
    let show = |limit: u64| {
        if limit == libc::RLIM_INFINITY { "unlimited".to_owned() } else { format!("{} KiB", limit / 1024) }
    };
    let found = if raised && now != soft {
        format!("{}, raised to {} for this process", show(soft), show(now))
    } else {
        show(now)
    };
    Check::ok(NAME, found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_capability_is_told_with_its_purpose() {
        let nothing = of_privileges(&Privileges::default(), false, "/x");
        let [failed] = &nothing[..] else { panic!("{nothing:?}") };
        assert_eq!((failed.state, &*failed.found), (State::Failed, "CAP_BPF and CAP_PERFMON missing"));
        let root = Privileges::parse("CapEff:\t000001ffffffffff\nCapBnd:\t000001ffffffffff\n", None);
        assert!(of_privileges(&root, false, "/x").iter().all(|check| check.state == State::Ok));
        // CAP_BPF and CAP_PERFMON alone.
        let little = Privileges::parse("CapEff:\t000000c000000000\nCapBnd:\t000001ffffffffff\n", None);
        let checks = of_privileges(&little, false, "/x");
        let [_, more] = &checks[..] else { panic!("{checks:?}") };
        assert_eq!(more.state, State::Warning);
        for words in ["CAP_SYS_ADMIN (watching --max-overhead", "CAP_SYSLOG (", "CAP_SYS_PTRACE (--resident"]
        {
            assert!(more.found.contains(words), "{more:?}");
        }
        assert!(!of_privileges(&little, true, "/x")[1].found.contains("CAP_SYS_PTRACE"));
        let inside = Privileges { user_namespace: true, ..root };
        assert!(of_privileges(&inside, false, "/x")[0].found.contains("user namespace"));
    }

    #[test]
    fn lockdown_by_its_file() {
        assert_eq!(lockdown_state("[none] integrity confidentiality\n").state, State::Ok);
        assert_eq!(lockdown_state("none [integrity] confidentiality\n").state, State::Ok);
        assert_eq!(lockdown_state("none integrity [confidentiality]\n").state, State::Failed);
        assert_eq!(lockdown_state("").state, State::Ok);
    }
}
