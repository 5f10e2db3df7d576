//! docs/explain.md, made from the table of figures.

use super::figures::FIGURES;
use crate::table::{check_doc, markdown};

const INTRODUCTION: &str = "\
# `rss-drift explain PID`

<!-- Made from rss-drift/src/explain/: UPDATE_DOCS=1 cargo test --locked -p rss-drift --lib explain::doc -->

One screen about one process: what each reader shows of its memory, which of them are exact on this kernel, where the difference is, and what
RSS does not say. Instead of a pid, what selects processes can be given ([selection.md](selection.md)): `explain --unit nginx`. Of several the
one with the largest drift is explained, and standard error says which.

- **The conclusion** is the second line. If the process changed its memory while it was read, it says so and blames no reader.
- **The table** has a line for each source that readers take RSS from. DIFFERENCE is exact - figure: above 0 the reader shows too little. It is
  `-` where the figure is not RSS of this moment: a peak, the OOM killer's badness, the control group.
- **Holders** are the CPUs' slots, or on per-task accounting the threads, that hold the pages which `stat` lacks.
- **In RSS, by the page tables** is from `smaps_rollup`, which walks the page tables: private, shared with other processes, Pss (shared pages
  divided by how often they are mapped), lazily free (MADV_FREE), in huge pages, merged by KSM; locked and pinned are from `status`.
- **The OOM killer** adds RSS, swap and page tables up. Up to Linux 6.18 it takes RSS as `stat` has it. `oom_score_adj` is not in the badness
  of the table, and is in `oom_score`.
- **The peak.** VmHWM is the kernel's own mark, made from approximate figures. With `--duration` full mode follows the true peak meanwhile.
  If VmHWM is then below the true peak by more than drift can be, somebody reset the mark (`echo 5 >/proc/PID/clear_refs`).

Without `--duration` nothing is attached to a hot path. Where the output is no terminal, sizes are bare KiB (`--units`).

## JSON

`--json` prints one object with sizes in bytes; what is not known is `null`, never 0. It has every column of a row of `watch`
([csv.md](csv.md)), the keys below, `oom_score_adj`, and two lists:

- `readers`: `reads` (the source), `tools`, `figure_bytes`, `precision` (`exact`, `approximate`, `unknown`, or `null`: another kind of figure) and
  `difference_bytes`.
- `holders`: `cpu` or `thread` (its number), `comm` and `rss_bytes`, the ten largest.

";

#[test]
fn the_documentation_of_explain_is_made_from_the_table() {
    check_doc("explain.md", &(INTRODUCTION.to_owned() + &markdown("key", FIGURES)));
}
