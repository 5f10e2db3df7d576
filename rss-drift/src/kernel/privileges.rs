//! What this process may do: its capabilities, and what takes them away.

use std::{fmt::Write as _, fs, io};

/// A capability that rss-drift uses, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    /// Its number (`include/uapi/linux/capability.h`).
    number: u32,
    pub name: &'static str,
    /// What does not work without.
    pub purpose: &'static str,
    pub need: Need,
}

/// When a capability is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing works without.
    Always,
    /// A part does not.
    ForAPart,
    /// Only a refusal tells whether this kernel needs it.
    OnSomeKernels,
}

impl Capability {
    const fn new(number: u32, name: &'static str, purpose: &'static str, need: Need) -> Self {
        Self { number, name, purpose, need }
    }
}

/// All of them, those first without which nothing works.
pub const CAPABILITIES: &[Capability] = &[
    Capability::new(39, "CAP_BPF", "loading BPF programs", Need::Always),
    Capability::new(38, "CAP_PERFMON", "BPF programs that read the kernel's memory", Need::Always),
    Capability::new(
        21,
        "CAP_SYS_ADMIN",
        "watching --max-overhead, and counting in `run` how often RSS was read",
        Need::ForAPart,
    ),
    Capability::new(34, "CAP_SYSLOG", "telling the call sites of `run` apart by their names", Need::ForAPart),
    Capability::new(19, "CAP_SYS_PTRACE", "--resident for processes of other users", Need::ForAPart),
    // For BPF maps beyond `ulimit -l`: kernels since 5.11 do not mind that limit.
    Capability::new(24, "CAP_SYS_RESOURCE", "raising ulimit -l", Need::OnSomeKernels),
];

/// `include/uapi/linux/capability.h`
const CAP_SYS_ADMIN: u32 = 21;
/// `SECCOMP_MODE_FILTER` (`include/uapi/linux/seccomp.h`), as the line `Seccomp` has it.
const SECCOMP_FILTER: u64 = 2;

/// What /proc says of this process's privileges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Privileges {
    /// `CapEff`: what it may do, a bit for each capability.
    pub effective: u64,
    /// `CapBnd`: what it and the programs that it starts can ever get.
    pub bounding: u64,
    /// Whether a filter looks at its system calls.
    pub seccomp: bool,
    /// Whether it runs in a user namespace of its own: the kernel asks the host's for everything about BPF.
    pub user_namespace: bool,
}

impl Privileges {
    /// Of this process.
    ///
    /// # Errors
    /// When `/proc/self/status` cannot be read.
    pub fn read() -> io::Result<Self> {
        let status = fs::read_to_string("/proc/self/status")?;
        // A kernel without user namespaces has no such file.
        let map = fs::read_to_string("/proc/self/uid_map").ok();
        Ok(Self::parse(&status, map.as_deref()))
    }

    /// Of these files' text.
    pub(super) fn parse(status: &str, uid_map: Option<&str>) -> Self {
        let number = |name: &str, radix| {
            let rest = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            rest.and_then(|rest| u64::from_str_radix(rest.trim(), radix).ok()).unwrap_or(0)
        };
        // The host's own maps every id to itself, a new one none (`user_namespaces(7)`).
        let whole = ["0", "0", "4294967295"];
        Self {
            effective: number("CapEff", 16),
            bounding: number("CapBnd", 16),
            seccomp: number("Seccomp", 10) == SECCOMP_FILTER,
            user_namespace: uid_map.is_some_and(|map| !map.split_ascii_whitespace().eq(whole)),
        }
    }

    /// Whether it has this capability. The kernel takes `CAP_SYS_ADMIN` for those of BPF (`bpf_capable`, `perfmon_capable`).
    #[must_use]
    pub const fn has(&self, capability: Capability) -> bool {
        has_bit(self.effective, capability.number)
            || (matches!(capability.need, Need::Always) && has_bit(self.effective, CAP_SYS_ADMIN))
    }

    /// Whether it, or a program that it starts, can get this capability.
    const fn can_get(&self, capability: Capability) -> bool {
        has_bit(self.bounding, capability.number)
    }

    /// Those that it lacks of such a need.
    pub fn missing(&self, need: Need) -> impl Iterator<Item = Capability> + use<'_> {
        CAPABILITIES.iter().copied().filter(move |&it| it.need == need && !self.has(it))
    }

    /// How to get what is missing; `program` is the file that would get it.
    #[must_use]
    pub fn remedy(&self, program: &str) -> String {
        if self.user_namespace {
            return "run it as root of the host, outside of this user namespace (not below unshare --user, nor in a rootless \
                    container)"
                .to_owned();
        }
        let lost: Vec<Capability> = CAPABILITIES
            .iter()
            .copied()
            .filter(|&it| it.need == Need::Always && !self.can_get(it) && !self.has(it))
            .collect();
        if !lost.is_empty() {
            let of = |start: &str| {
                lost.iter().fold(String::new(), |mut text, it| {
                    // Writing to a String cannot fail.
                    let _ = write!(text, "{start}{}", it.name.trim_start_matches("CAP_"));
                    text
                })
            };
            return format!(
                "no program can get them here, because the bounding set lacks them: start the container with docker run{}, or \
                 name them in the unit's CapabilityBoundingSet=",
                of(" --cap-add ")
            );
        }
        // A file with a capability that the bounding set lacks cannot be run at all (capabilities(7)).
        let offered: Vec<String> = CAPABILITIES
            .iter()
            .filter(|&&it| self.can_get(it) && it.number != CAP_SYS_ADMIN)
            .map(|it| it.name.to_lowercase())
            .collect();
        format!("sudo {program}; or once: sudo setcap {}+ep {program}", offered.join(","))
    }
}

const fn has_bit(mask: u64, bit: u32) -> bool {
    mask & (1 << bit) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: Option<&str> = Some("         0          0 4294967295\n");

    fn privileges(effective: u64, bounding: u64) -> Privileges {
        let status = format!("Name:\tx\nCapEff:\t{effective:016x}\nCapBnd:\t{bounding:016x}\nSeccomp:\t0\n");
        Privileges::parse(&status, HOST)
    }

    fn missing(of: Privileges) -> Vec<&'static str> {
        of.missing(Need::Always).map(|it| it.name).collect()
    }

    #[test]
    fn capabilities_by_mask() {
        const BPF: u64 = 1 << 39;
        const PERFMON: u64 = 1 << 38;
        assert_eq!(missing(privileges(0, u64::MAX)), ["CAP_BPF", "CAP_PERFMON"]);
        assert_eq!(missing(privileges(BPF, u64::MAX)), ["CAP_PERFMON"]);
        assert!(missing(privileges(1 << CAP_SYS_ADMIN, u64::MAX)).is_empty());
        assert!(missing(privileges(BPF | PERFMON, 0)).is_empty());
        assert_eq!(missing(Privileges::parse("Name:\tx\n", None)), ["CAP_BPF", "CAP_PERFMON"]);
        let others: Vec<_> =
            privileges(BPF | PERFMON | 1 << 34, 0).missing(Need::ForAPart).map(|it| it.name).collect();
        assert_eq!(others, ["CAP_SYS_ADMIN", "CAP_SYS_PTRACE"]);
    }

    #[test]
    fn each_loss_has_its_own_remedy() {
        let all = privileges(0, u64::MAX).remedy("/opt/rss-drift");
        assert_eq!(
            all,
            "sudo /opt/rss-drift; or once: sudo setcap \
             cap_bpf,cap_perfmon,cap_syslog,cap_sys_ptrace,cap_sys_resource+ep /opt/rss-drift"
        );
        // Docker's own set lacks all but the usual ones.
        let docker = privileges(0xa804_25fb, 0xa804_25fb).remedy("x");
        assert!(docker.contains("docker run --cap-add BPF --cap-add PERFMON,"), "{docker}");
        // What is offered can be run: nothing is in it that the bounding set lacks.
        let without_ptrace = privileges(0, !(1 << 19)).remedy("x");
        assert!(
            without_ptrace.contains("cap_bpf,cap_perfmon,cap_syslog,cap_sys_resource+ep"),
            "{without_ptrace}"
        );
        let rootless = Privileges { user_namespace: true, ..privileges(u64::MAX, u64::MAX) }.remedy("x");
        assert!(rootless.contains("user namespace"), "{rootless}");
    }

    #[test]
    fn what_stands_in_the_way() {
        let status = "CapEff:\t000001ffffffffff\nCapBnd:\t000001ffffffffff\nNoNewPrivs:\t0\nSeccomp:\t2\nSeccomp_filters:\t1\n";
        let filtered = Privileges::parse(status, HOST);
        assert!(filtered.seccomp && !filtered.user_namespace);
        assert!(!privileges(0, 0).seccomp);
        for map in ["", "0 1000 1\n", "0 100000 65536\n", "0 0 1\n1 1 4294967294\n"] {
            assert!(Privileges::parse(status, Some(map)).user_namespace, "{map}");
        }
    }
}
