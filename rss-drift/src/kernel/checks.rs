//! What measuring needs of the host: each check says what was found, what is missing, and the remedy. `doctor` prints
//! them; start-up runs the very same ones.

use std::fs;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

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
    vec![architecture(), capabilities(), lockdown(), pid_namespace(), proc_visible(), memlock()]
}

fn architecture() -> Check {
    let found = format!("{} on {}", super::release(), std::env::consts::ARCH);
    if cfg!(target_arch = "x86_64") {
        Check::ok("kernel", found)
    } else {
        Check::failed("kernel", found, "rss-drift measures x86_64 only")
    }
}

/// `include/uapi/linux/capability.h`
const CAP_SYS_ADMIN: u32 = 21;
/// `include/uapi/linux/capability.h`, since 5.8
const CAP_PERFMON: u32 = 38;
/// `include/uapi/linux/capability.h`, since 5.8
const CAP_BPF: u32 = 39;

fn capabilities() -> Check {
    const NAME: &str = "capabilities";
    let status = match fs::read_to_string("/proc/self/status") {
        Ok(status) => status,
        Err(error) => {
            return Check::failed(
                NAME,
                format!("cannot read /proc/self/status: {error}"),
                "mount proc on /proc",
            );
        }
    };
    let effective = effective_capabilities(&status);
    let missing = missing_capabilities(effective);
    if missing.is_empty() {
        return Check::ok(NAME, "CAP_BPF and CAP_PERFMON");
    }
    Check::failed(
        NAME,
        format!("{} missing", missing.join(" and ")),
        "run as root (sudo rss-drift), or give the file what it needs: \
         sudo setcap cap_bpf,cap_perfmon,cap_sys_ptrace,cap_sys_resource+ep FILE",
    )
}

/// `CapEff` of a status file; no capability where there is no such line.
fn effective_capabilities(status: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

fn missing_capabilities(effective: u64) -> Vec<&'static str> {
    let has = |capability: u32| effective & (1 << capability) != 0;
    [(CAP_BPF, "CAP_BPF"), (CAP_PERFMON, "CAP_PERFMON")]
        .into_iter()
        // The kernel takes CAP_SYS_ADMIN for either (bpf_capable, perfmon_capable).
        .filter(|&(capability, _)| !has(capability) && !has(CAP_SYS_ADMIN))
        .map(|(_, name)| name)
        .collect()
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

/// Memory of the BPF maps that a kernel before 5.11 counts against the limit, with room: passive mode needs a few pages, full mode
/// some MiB for 4,096 mms.
const MEMLOCK_NEEDED: u64 = 16 << 20;

fn memlock() -> Check {
    const NAME: &str = "memlock";
    let (soft, hard) = match getrlimit(Resource::RLIMIT_MEMLOCK) {
        Ok(limits) => limits,
        Err(error) => return Check::warning(NAME, format!("getrlimit: {error}"), "ulimit -l unlimited"),
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
    if now >= MEMLOCK_NEEDED {
        Check::ok(NAME, found)
    } else {
        Check::warning(
            NAME,
            format!("{found}: kernels before 5.11 count BPF maps against it, so full mode may not start"),
            "run as root, or: ulimit -l unlimited",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_by_mask() {
        assert_eq!(missing_capabilities(0), ["CAP_BPF", "CAP_PERFMON"]);
        assert_eq!(missing_capabilities(1 << CAP_BPF), ["CAP_PERFMON"]);
        assert!(missing_capabilities(1 << CAP_SYS_ADMIN).is_empty());
        assert!(missing_capabilities((1 << CAP_BPF) | (1 << CAP_PERFMON)).is_empty());
        assert_eq!(effective_capabilities("Name:\tx\nCapEff:\t000001ffffffffff\n"), 0x1ff_ffff_ffff);
        assert_eq!(effective_capabilities("Name:\tx\n"), 0);
    }

    #[test]
    fn lockdown_by_its_file() {
        assert_eq!(lockdown_state("[none] integrity confidentiality\n").state, State::Ok);
        assert_eq!(lockdown_state("none [integrity] confidentiality\n").state, State::Ok);
        assert_eq!(lockdown_state("none integrity [confidentiality]\n").state, State::Failed);
        assert_eq!(lockdown_state("").state, State::Ok);
    }
}
