//! The guests of `vm test --wide`: every kernel that people run, and what they boot it with.

use anyhow::{Result, bail};

use super::{kernels::Kernel, matrix::Cell, variant::Variant};

/// CPUs of the guests.
pub(crate) const CPUS: u32 = 4;

/// Parts of the names of the tests for a place where measuring works: nothing is missing, the shadow is exact for every idle
/// process, updates, faults and the peak are right to the page, the demo's exact figure is what is resident, and so is what
/// `run` counts.
const WORKS: &[&str] = &[
    "startup::doctor_finds",
    "shadow::is_exact",
    "shadow::counts_what",
    "demo::of_ten_thousand",
    "run::counts_a_program",
];

/// The guests that differ in nothing but the kernel.
static SHORT: Variant = works("");

/// The others: kernel, CPUs, what it boots with.
static SPECIAL: [(&str, u32, Variant); 17] = [
    ("7.x-rt", CPUS, works("")),
    ("7.x-rt", 128, works("")),
    ("6.1-generic", CPUS, works("preempt=full")),
    ("6.12-generic", CPUS, works("preempt=full")),
    ("6.12-generic", CPUS, works("preempt=none")),
    ("6.12-generic", CPUS, works("threadirqs")),
    ("6.12", CPUS, works("nr_cpus=2")),
    ("6.12", 64, works("maxcpus=4")),
    ("6.1-generic", CPUS, works("possible_cpus=1024")),
    ("6.12", CPUS, works("sysctl.net.core.bpf_jit_harden=2")),
    ("7.x", CPUS, works("transparent_hugepage=always thp_anon=16K-64K:always;128K-1M:inherit")),
    ("6.12", CPUS, works("numa=fake=4")),
    ("7.x", CPUS, works("zswap.enabled=1")),
    ("6.1", CPUS, works("vmcgroup=1")),
    ("6.12", CPUS, works("lockdown=integrity")),
    ("6.1", CPUS, works("sysctl.kernel.ftrace_enabled=0")),
    ("6.12", CPUS, Variant::of_words(JIT_OFF, &["startup::the_jit"])),
];

const JIT_OFF: &str = "sysctl.net.core.bpf_jit_enable=0";

const fn works(words: &'static str) -> Variant {
    Variant::of_words(words, WORKS)
}

/// All of them.
pub(crate) fn cells() -> Vec<Cell> {
    let plain = Kernel::wide().map(|kernel| Cell { kernel, cpus: CPUS, variant: &SHORT });
    let special = SPECIAL.iter().filter_map(|(name, cpus, variant)| {
        Kernel::of_name(name).map(|kernel| Cell { kernel, cpus: *cpus, variant })
    });
    plain.chain(special).collect()
}

/// Those in whose name there is `part`.
pub(crate) fn select(part: &str) -> Result<Vec<Cell>> {
    let all = cells();
    let names: Vec<_> = all.iter().map(ToString::to_string).collect();
    let chosen: Vec<_> = all.into_iter().filter(|cell| cell.to_string().contains(part)).collect();
    if chosen.is_empty() {
        bail!("none of the wide guests has {part:?} in its name:\n  {}", names.join("\n  "));
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_is_there_once() {
        let names: Vec<_> = cells().iter().map(ToString::to_string).collect();
        let different: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(different.len(), names.len());
        assert_eq!(names.len(), Kernel::wide().count() + SPECIAL.len(), "each name is that of a kernel");
    }

    #[test]
    fn a_part_of_a_name_selects() {
        assert_eq!(select("").unwrap(), cells());
        let jit: Vec<_> = select("bpf_jit_enable=0").unwrap();
        assert_eq!(jit.iter().map(|cell| cell.kernel.name()).collect::<Vec<_>>(), ["6.12"]);
        assert!(select("4.19").unwrap_err().to_string().contains("kernel 6.12-rt, 4 CPUs"));
    }
}
