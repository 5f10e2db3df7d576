//! Which guests are tested: kernels and numbers of CPUs.

use super::{
    kernels::Kernel,
    variant::{LOCKDOWN, PLAIN, Variant},
};

/// A guest to be tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    /// Its kernel.
    pub(crate) kernel: Kernel,
    /// Its number of CPUs.
    pub(crate) cpus: u32,
    /// What else it is booted with.
    pub(crate) variant: &'static Variant,
}

/// CPUs of the guests in which everything is tested.
const USUAL: u32 = 8;

/// Parts of the names of tests of words on the command line, exit statuses, files, terminals: no kernel has to do with them, so
/// that the oldest speaks for all, beside this host's.
const WHATEVER_THE_KERNEL: &[&str] = &[
    "usage::",
    "files::",
    "output::",
    "selection::",
    "shared_files::",
    "stalled::",
    "runs::",
    "signals::",
    "commands::",
    "run::gives_the",
    "run::writes_rows",
    "repeated::",
];

/// Parts of the names of tests that other numbers of CPUs have nothing to say to: of one process's memory, of what runs on one CPU
/// or two, of what the kernel lacks or refuses, of how `run` counts a command. On each kernel the guest of the usual size runs them.
/// What sums over CPUs, has a bound by their number or attaches on all of them is not here.
const WHATEVER_THE_CPUS: &[&str] = &[
    "memory::",
    "processes::",
    "foreign::",
    "reclaim::",
    "drift::adds_up",
    "explain::",
    "oom::",
    "shadow::fills",
    "shadow::a_full_map",
    "shadow::two_at_once",
    "slots::a_task",
    "strain::a_",
    "strain::with_256",
    "strain::steps_down",
    "fallback::",
    "groups::",
    "aggregates::",
    "alerts::",
    "labels::",
    "ftrace::",
    "crowds::programs",
    "crowds::attached",
    "crowds::no_room",
    "tight::",
    "reports::",
    "causes::",
    "run::counts_a_program",
    "run::follows",
    "run::waits",
    "run::tells",
    "run::predicts",
    "sites::the_",
    "sites::a",
    "sites::hidden",
    "system::",
];

/// Parts of the names of tests of what happens on one CPU: many others say nothing to it, but it is another thing where there is
/// no other one.
const ON_ONE_CPU: &[&str] = &["shadow::counts", "shadow::flushes", "strain::every_run", "hard::"];

/// Parts of the names of tests to which a single CPU says nothing new.
const NOT_ALONE: &[&str] = &["crowds::"];

/// Parts of the names of tests that no guest runs: a guest's CPUs are emulated, and 20 instances, or reports of a thousand processes,
/// take them many minutes. This host runs them.
const ON_REAL_CPUS: &[&str] = &["endurance::"];

impl Cell {
    /// A guest with nothing special.
    pub(crate) const fn new(kernel: Kernel, cpus: u32) -> Self {
        Self { kernel, cpus, variant: &PLAIN }
    }

    /// Arguments of the live tests by which those are selected that it is for.
    pub(crate) fn arguments(self) -> Vec<String> {
        if !self.variant.tests.is_empty() {
            return self.variant.tests.iter().map(ToString::to_string).collect();
        }
        let mut without = ON_REAL_CPUS.to_vec();
        if self.kernel != Kernel::ALL[0] || self.cpus != USUAL {
            without.extend_from_slice(WHATEVER_THE_KERNEL);
        }
        if self.cpus != USUAL {
            without.extend_from_slice(WHATEVER_THE_CPUS);
        }
        if self.cpus > USUAL {
            without.extend_from_slice(ON_ONE_CPU);
        }
        if self.cpus == 1 {
            without.extend_from_slice(NOT_ALONE);
        }
        vec!["--without".to_owned(), without.join(",")]
    }

    /// Its number of CPUs, and what else is special, in tables.
    pub(crate) fn size(self) -> String {
        match self.variant.name {
            "" => self.cpus.to_string(),
            name => format!("{} ({name})", self.cpus),
        }
    }
}

impl std::fmt::Display for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "kernel {}, {} CPUs", self.kernel, self.cpus)?;
        match self.variant.name {
            "" => Ok(()),
            name => write!(f, ", {name}"),
        }
    }
}

/// What is tested unless told otherwise. Many CPUs matter where each has a slot of its own: with per-cpu accounting, most on 7.x, where
/// a program can be preempted. One CPU, and lockdown, are special on any kernel. In this order two guests side by side end at about
/// the same time.
pub(crate) static DEFAULT: [Cell; 7] = [
    Cell::new(Kernel::V7, 8),
    Cell::new(Kernel::V6_12, 8),
    Cell::new(Kernel::V7, 64),
    Cell::new(Kernel::V6_1, 8),
    Cell::new(Kernel::V5_10, 8),
    Cell::new(Kernel::V6_12, 1),
    Cell { kernel: Kernel::V6_12, cpus: 2, variant: &LOCKDOWN },
];

/// The cells asked for: given numbers of CPUs hold for every kernel, else those of [`DEFAULT`].
pub(crate) fn select(kernels: &[Kernel], cpus: &[u32]) -> Vec<Cell> {
    let wanted = |kernel: Kernel| kernels.is_empty() || kernels.contains(&kernel);
    if cpus.is_empty() {
        let others = kernels.iter().filter(|kernel| DEFAULT.iter().all(|cell| cell.kernel != **kernel));
        let others = others.map(|&kernel| Cell::new(kernel, USUAL));
        return DEFAULT.iter().copied().filter(|cell| wanted(cell.kernel)).chain(others).collect();
    }
    let kernels = if kernels.is_empty() { Kernel::ALL.to_vec() } else { kernels.to_vec() };
    kernels.into_iter().flat_map(|kernel| cpus.iter().map(move |&cpus| Cell::new(kernel, cpus))).collect()
}

/// Whether these cells hold all of [`DEFAULT`].
pub(crate) fn is_complete(cells: &[Cell]) -> bool {
    DEFAULT.iter().all(|cell| cells.contains(cell))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_holds_every_kernel() {
        let cells = select(&[], &[]);
        assert!(is_complete(&cells));
        // The real-time one is asked for by name, until all live tests are right on it.
        let usual = Kernel::ALL.iter().filter(|kernel| **kernel != Kernel::V7_RT);
        assert!(usual.into_iter().all(|kernel| cells.contains(&Cell::new(*kernel, 8))));
    }

    #[test]
    fn a_selection_is_a_part_or_a_product() {
        let part = select(&[Kernel::V6_12], &[]);
        assert_eq!(part.iter().map(|cell| cell.size()).collect::<Vec<_>>(), ["8", "1", "2 (lockdown)"]);
        assert!(!is_complete(&part));
        let product = select(&[Kernel::V5_10, Kernel::V7], &[1, 2]);
        assert_eq!(product.len(), 4);
        assert_eq!(product[3], Cell::new(Kernel::V7, 2));
        assert_eq!(Cell::new(Kernel::V5_10, 8).arguments(), ["--without", "endurance::"]);
        let usual = Cell::new(Kernel::V7, 8).arguments().concat();
        assert!(usual.contains("files::,") && !usual.contains("memory::") && !usual.contains("hard::"));
        let with_64 = Cell::new(Kernel::V7, 64).arguments().concat();
        assert!(with_64.contains("files::,") && with_64.contains("hard::") && !with_64.contains("crowds::,"));
        let alone = Cell::new(Kernel::V6_12, 1).arguments().concat();
        assert!(alone.contains("memory::") && alone.contains("crowds::") && !alone.contains("hard::"));
    }
}
