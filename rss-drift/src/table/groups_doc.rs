//! `docs/aggregates.md`, made from the columns of groups.

use super::{Record as _, check_doc, markdown};
use crate::drift::groups::Aggregate;

const INTRODUCTION: &str = "\
# Sums by name, control group, unit, container, user

<!-- Made from rss-drift/src/table/: UPDATE_DOCS=1 cargo test --locked -p rss-drift --lib groups_doc -->

`rss-drift --by KIND` has one row for each group of processes in place of one for each process:

| `--by` | a row is |
|---|---|
| `process` | a process (the default) |
| `comm` | all processes of one name |
| `cgroup` | the control group that limits their memory; groups below it have rows of their own |
| `unit` | the unit of systemd: the innermost on the path that is no slice, else the innermost slice |
| `container` | the container of docker, podman, containerd or CRI-O: the innermost on the path |
| `user` | the effective user |
| `host` | the host: one row |

```
$ rss-drift -n 1 --by unit --unit web,db --near 83M
23:49:52 vm, kernel 6.18.44-fc-v657, per-cpu accounting, full mode; exact here: ps, top, htop, smaps
off by at most 744 KiB a process: pidstat, Prometheus clients for Go and Python (/proc/PID/stat), the OOM killer (up to Linux 6.18)
by unit: 2 units; 5 of 25 processes selected, sum of stat 294.9 MiB, exact 296.4 MiB: stat shows 1.6 MiB too little
1 unit is off by more than 1 MiB: at most 1.3 MiB too little, 0.61 % of web.service and 1.58 % of 83 MiB; 1 unit crosses 83 MiB by the exact figure but not by stat: db.service stat 83.0 MiB, exact 83.2 MiB
GROUP       PROCS  REPORTED     EXACT    DRIFT DRIFT%   BOUND    CHARGE BEYOND-RSS     LIMIT CHARGE% EXACT% WORST WORST-COMM WORST-DRIFT
web.service     4 211.9 MiB 213.2 MiB +1.3 MiB   0.61 2.9 MiB 209.1 MiB   -4.1 MiB 256.0 MiB   81.70  83.28  4416 python3       +416 KiB
db.service      1  83.0 MiB  83.2 MiB +280 KiB   0.33 744 KiB  82.4 MiB   -884 KiB 100.0 MiB   82.38  83.24  4421 python3       +280 KiB
self-check: ok
DRIFT: + the kernel shows too little, - too much
BEYOND-RSS: what the control group is charged and RSS does not see, such as page cache and kernel memory; below 0 where another group is charged for pages that RSS sees
CHARGE%, EXACT%: of the limit, by the charge, which the kernel acts on, and by the exact RSS
```

The head says how many groups there are and how many of them the table shows, and the verdict is of groups. On a narrow terminal the limits stay longer than
the sizes behind them.

## What is summed up

- **All of a report is of one reading**: exact is what the counters add up to, and reported is what the source's file shows by the same counters. So
  drift has no uncertainty, and no file of RSS is read for a process. In each report the files of up to 16 processes are compared with that, and a
  difference is told by the self-check.
- **A shared memory counts once.** Processes that share one address space (vfork, CLONE_VM) are several `processes` and one of `mms`. It counts
  in the group of the selected process with the lowest pid, whatever groups the others are in: all groups of a report add up to the sums above the table.
- **Pages that different address spaces share count for each of them**, as in every sum of RSS: libraries, or what a forked child has not written to.
  Pss is the sum that counts such pages once: `--resident` adds it (`pss_bytes`), by a walk of all page tables of the rows.
- **The drift of a group** is the sum of its processes' drifts, which can cancel each other out. `worst_pid` is the process that is off most, and
  `bound_bytes` is how far off all of them together can be.
- **A process of which the group cannot be told** is in the group `-`: one in no unit or container, or one that ended while its files were read. `-` is
  not judged and not counted as a group.
- **Selection**: the options of [selection.md](selection.md) select processes first. `--min-rss` and `--min-drift` are then those of a group, `--sort`,
  `--fields` and `--top` those of its columns (`rss-drift --by unit --fields help`), and the verdict and `--near` judge the groups that
  are left. `--where` is of processes only.
- **The cost.** `comm` and `host` read no file of a process, `user` reads one of each that is selected. Control groups, units and containers read one of each
  process of the host, as a charge is of those too; where version 2 is the only hierarchy the path is read once for each group. Files of control groups are read for the
  rows that an output takes, unless `--sort` ranks by them.

## The charge of a control group

Control groups, units and containers stand beside what their own files say: `memory.current`, `memory.peak` and `memory.max` (version 2), or
`memory.usage_in_bytes`, `memory.max_usage_in_bytes` and `memory.limit_in_bytes` (version 1).

- **What RSS does not see** (`beyond_rss_bytes`) is the charge less the exact RSS of everything that is charged there: page cache that nobody maps,
  and the kernel's memory. `page_cache_bytes`, `kernel_bytes` and `page_tables_bytes` are what `memory.stat` says of it.
- **It can be below 0.** RSS counts a page for each address space that maps it, and also where another group is charged for it: a page of a file is charged to the group
  that read it first, and what a process had before it was moved stays with its old group.
- **With the groups below.** A charge is that of the whole subtree, so that `charged_exact_bytes` is too: of all processes in it, those that are not selected
  and those that have another row. Memory that processes of several groups share is in that of the lowest pid of the host, so that
  `charged_exact_bytes` can be below `exact_bytes` of a selection. On version 1 without `memory.use_hierarchy` (up to 5.10) both are of the group alone.
- **How near the limit** a group is, is told twice: `charge_percent` is what the kernel acts on, `charged_exact_percent` what RSS has of it. The limit is the group's own.
  Where a group above comes to its own limit first (a slice, a pod), `limit_above_group`, `limit_above_bytes` and `limit_above_percent` say
  which and how near, and the table has ABOVE and ABOVE%.
- The kernel charges in batches of up to 64 pages a CPU, and `memory.stat` can lag behind. The files are read right behind the counters, not at the
  same instant.
- **Empty**: the root of version 2 has no such files, and a hierarchy that is not mounted here, or that another mount covers, has none to be
  seen. A path of more than 4,095 bytes is cut by the kernel, and names no group. A unit without a group in the hierarchy that limits memory has no charge (version 1, systemd without
  memory accounting), `memory.peak` and some lines of `memory.stat` are not in older kernels, and without a limit there is no share of it.

## CSV and JSON lines

There is one row per interval and group. Everything else is as in [csv.md](csv.md): bytes, empty where a figure could not be read, files that are appended to. A
file of processes is not continued with groups, as its header is another one; groups of another `--by` have the same one.

A group is named by `group`, `cgroup` and `uid` together: two users may have units of one name, and two accounts one name. Bytes of a name
that are not UTF-8 are replaced: names that differ in these alone are one row, and without a charge where they are paths.

";

#[test]
fn the_documentation_of_groups_is_made_from_the_table() {
    check_doc("aggregates.md", &(INTRODUCTION.to_owned() + &markdown("column", Aggregate::contract())));
}
