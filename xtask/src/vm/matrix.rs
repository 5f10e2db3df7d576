//! Which guests are tested: kernels and numbers of CPUs.

use super::kernels::Kernel;

/// A guest to be tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    /// Its kernel.
    pub(crate) kernel: Kernel,
    /// Its number of CPUs.
    pub(crate) cpus: u32,
}

impl std::fmt::Display for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "kernel {}, {} CPUs", self.kernel, self.cpus)
    }
}

/// What is tested unless told otherwise. Many CPUs matter where each has a slot of its own: with per-cpu accounting. The
/// slow ones come first, so that they do not run alone at the end.
pub(crate) const DEFAULT: [Cell; 6] = [
    Cell { kernel: Kernel::V7, cpus: 64 },
    Cell { kernel: Kernel::V6_12, cpus: 64 },
    Cell { kernel: Kernel::V5_10, cpus: 8 },
    Cell { kernel: Kernel::V6_1, cpus: 8 },
    Cell { kernel: Kernel::V6_12, cpus: 8 },
    Cell { kernel: Kernel::V7, cpus: 8 },
];

/// The cells asked for: given numbers of CPUs hold for every kernel, else those of [`DEFAULT`].
pub(crate) fn select(kernels: &[Kernel], cpus: &[u32]) -> Vec<Cell> {
    let wanted = |kernel: Kernel| kernels.is_empty() || kernels.contains(&kernel);
    if cpus.is_empty() {
        return DEFAULT.into_iter().filter(|cell| wanted(cell.kernel)).collect();
    }
    let kernels = Kernel::ALL.into_iter().filter(|kernel| wanted(*kernel));
    kernels.flat_map(|kernel| cpus.iter().map(move |&cpus| Cell { kernel, cpus })).collect()
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
        assert!(Kernel::ALL.iter().all(|kernel| cells.contains(&Cell { kernel: *kernel, cpus: 8 })));
    }

    #[test]
    fn a_selection_is_a_part_or_a_product() {
        let part = select(&[Kernel::V6_12], &[]);
        assert_eq!(part.iter().map(|cell| cell.cpus).collect::<Vec<_>>(), [64, 8]);
        assert!(!is_complete(&part));
        let product = select(&[Kernel::V5_10, Kernel::V7], &[1, 2]);
        assert_eq!(product.len(), 4);
        assert_eq!(product[3], Cell { kernel: Kernel::V7, cpus: 2 });
    }
}
