//! The largest figures that the live tests found on each kernel, for `vm report`.

use super::{
    kernels::Kernel,
    report::{Guest, section},
};

/// How the facts end that a column is the largest of, and its heading.
const COLUMNS: [(&str, &str); 7] = [
    ("_idle", "idle, checked"),
    ("_error", "shadow error"),
    ("_repaired", "corrected"),
    ("_missed", "missed events"),
    ("_late", "found at the end"),
    ("_deaths", "ended"),
    ("_residues", "residues"),
];

/// How the facts begin that count a BPF program's instructions.
const INSTRUCTIONS: &str = "instructions_";

const TEXT: &str = "\
The live tests compare full mode with the kernel's own counters: in a minute of random orders to processes (`cargo xtask soak` \
gives them for longer), and in hard cases: CPUs that go off- and online under load, huge pages that are split, io_uring \
workers, khugepaged, addresses that are used again, mms that end with their reader, forks, short lives, long arguments, more \
processes than there is room for. Each figure is the largest that one test found in any guest with that kernel.

- idle, checked: readings of idle mms whose shadow was compared with the exact figure
- shadow error: the largest difference of an idle mm, in pages
- corrected: pages that a reading had to correct in idle mms
- missed events: runs of a BPF program that the kernel skipped
- found at the end: pages that were not seen before the end of their mm
- ended, residues: mms that ended, and those of them whose counters were not 0 then
- instructions verified: what the verifier walked of the largest BPF program, loaded for a host with 256 CPU numbers (with \
per-task accounting of the passive reader); empty where the kernel does not tell it";

/// The table; nothing where the tests reported no figure.
pub(super) fn figures(guests: &[Guest<'_>]) -> String {
    let titles = COLUMNS.iter().map(|(_, title)| *title);
    let heading: Vec<_> = ["kernel"].into_iter().chain(titles).chain(["instructions verified"]).collect();
    let rows = Kernel::ALL.into_iter().filter_map(|kernel| {
        let of_kernel: Vec<_> = guests.iter().filter(|guest| guest.cell.kernel == kernel).collect();
        let mut figures: Vec<_> =
            COLUMNS.iter().map(|(end, _)| largest(&of_kernel, |fact| fact.ends_with(end))).collect();
        // A kernel that does not tell them says 0.
        let instructions = largest(&of_kernel, |fact| fact.starts_with(INSTRUCTIONS));
        figures.push(instructions.filter(|&instructions| instructions > 0));
        let cells = figures.iter().map(|figure| figure.map_or(String::new(), |figure| figure.to_string()));
        let row = [kernel.to_string()].into_iter().chain(cells).collect();
        figures.iter().any(Option::is_some).then_some(row)
    });
    section("Largest figures of the tests", TEXT, &heading, rows)
}

/// The largest of these facts in any of the guests.
fn largest(guests: &[&Guest<'_>], wanted: impl Fn(&str) -> bool) -> Option<u64> {
    let facts = guests.iter().flat_map(|guest| guest.facts()).filter(|(fact, _)| wanted(fact));
    facts.filter_map(|(_, figure)| figure.parse().ok()).max()
}
