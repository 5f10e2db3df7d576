//! The rows of `watch --by`: sums over the processes of a group. The contract's columns keep the order that users' files have.

use std::cmp::Ordering;

use rss_drift_common::Member;

use super::{
    Column, Count, Record,
    Set::{Kernel, Memory},
    bytes, columns,
};
use crate::{
    drift::{
        groups::Aggregate,
        sample::{Host, StepDown},
    },
    kernel::charge::{Above, Charge},
};

impl Record for Aggregate {
    const DEFAULT: &'static str = "time name processes reported exact drift drift% bound charge beyond limit charge% exact% above \
         above% worst_pid worst_comm worst_drift resident pss";

    /// All of a group is of one instant.
    const MOVES: bool = false;

    const LEGEND: &'static [(&'static str, &'static str)] = &[
        (
            "beyond_rss_bytes",
            "BEYOND-RSS: what the control group is charged and RSS does not see, such as page cache and kernel memory; below 0 where another group is \
             charged for pages that RSS sees",
        ),
        (
            "charge_percent",
            "CHARGE%, EXACT%: of the limit, by the charge, which the kernel acts on, and by the exact RSS",
        ),
        (
            "limit_above_percent",
            "ABOVE, ABOVE%: a control group above it that is nearer to its own limit, and how near",
        ),
    ];

    fn contract() -> &'static [Column<Self>] {
        CONTRACT
    }

    fn terminal() -> &'static [Column<Self>] {
        TERMINAL
    }

    fn tie(&self, other: &Self) -> Ordering {
        self.name.text().cmp(other.name.text()).then(self.place.cmp(&other.place))
    }

    fn drift(&self) -> Option<i64> {
        self.drift()
    }

    fn drift_percent(&self) -> Option<f64> {
        self.drift_percent()
    }

    fn bound(&self) -> Option<u64> {
        Some(self.bound)
    }

    fn is_moving(&self) -> bool {
        false
    }

    /// Processes that are in none are no group.
    fn is_last(&self) -> bool {
        self.name.text.is_none()
    }
}

fn charged(group: &Aggregate) -> Option<u64> {
    Some(group.charge.as_ref()?.memory.usage)
}

fn limit(group: &Aggregate) -> Option<u64> {
    group.charge.as_ref()?.memory.limit
}

fn charge(group: &Aggregate, of: fn(&Charge) -> Option<u64>) -> Option<u64> {
    of(group.charge.as_ref()?)
}

fn above(group: &Aggregate) -> Option<&Above> {
    group.charge.as_ref()?.above.as_ref()
}

/// The exact figure that stands beside the charge, in bytes.
fn charged_exact(group: &Aggregate, host: &Host) -> Option<i64> {
    group.charged_exact.map(|pages| bytes(pages, host.page_size))
}

fn beyond(group: &Aggregate, host: &Host) -> Option<i64> {
    Some(charged(group)?.count().saturating_sub(charged_exact(group, host)?))
}

/// A size as a share of the limit, in percent.
fn of_limit(group: &Aggregate, size: Option<i64>) -> Option<f64> {
    let limit = limit(group).filter(|&limit| limit > 0)?;
    size.map(|size| size as f64 * 100.0 / limit as f64)
}

/// The columns of CSV and the keys of JSON, in their order: new ones go to the end.
static CONTRACT: &[Column<Aggregate>] = columns! { Aggregate;
    timestamp Time "When the group was read: all of it in one reading" |group, _| group.report.time, head("TIMESTAMP");
    host Text "Node name of the host" |_, host| host.hostname.as_str(), head("HOST");
    boot_id Text "The kernel's id of this boot" |_, host| host.boot_id.as_str(), head("BOOT-ID");
    kernel Text "The kernel's release" |_, host| host.kernel.as_str(), head("KERNEL") also(&["release"]);
    mode Text "passive: nothing attached to a hot path; full: with the shadow" |_, host| host.mode, head("MODE");
    accounting Text "Where the kernel caches updates of RSS: per-task or per-cpu"
        |_, host| host.accounting.name(), head("ACCOUNTING");
    interval Id "Number of the report, from 1: the same in all rows of one report"
        |group, _| group.report.interval, head("INTERVAL");
    by Text "What the processes of a group have in common: comm, cgroup, unit, container, user or host"
        |group, _| group.name.by.name(), head("BY");
    group Text "Name, path of the control group, unit, id of the container, user, or the host's name; - where that cannot be told"
        |group, _| group.name.text(), head("GROUP-ID") keep(99) path() within(&[Memory, Kernel]);
    container_name Text "The container's name, where a file of its runtime has it"
        |group, _| group.name.container.as_deref(), head("CONTAINER");
    uid Id "The user's number" |group, _| group.name.uid.map(u64::from), head("UID");
    cgroup Text "Path of the control group: of a unit and a container too"
        |group, _| group.name.cgroup.as_deref(), head("CGROUP") path();
    processes Number "Processes in the group" |group, _| group.processes, head("PROCS") also(&["procs"]) keep(70) within(&[Memory, Kernel]);
    mms Number "Address spaces that count here: one that several processes share counts once, with the lowest pid"
        |group, _| group.mms, head("MMS");
    threads Number "Threads of its processes" |group, _| group.threads, head("THREADS");
    source Text "The /proc file whose figure is the reported one: stat, statm or status"
        |group, _| group.source.name(), head("SOURCE");
    reported_bytes Pages "Sum of what the source's file shows at that instant; empty where the file may be exact or not"
        |group, _| group.reported, head("REPORTED") also(&["reported"]) keep(74) within(&[Memory]);
    exact_bytes Pages "Sum of the exact RSS" |group, _| group.exact_rss(), head("EXACT") also(&["exact", "rss"]) keep(90) within(&[Memory]);
    drift_bytes Pages "exact - reported; positive: the kernel under-reports; empty where the file may be exact or not"
        |group, _| group.drift(), head("DRIFT") also(&["drift"]) keep(95) within(&[Memory, Kernel]) signed();
    bound_bytes Pages "The largest |drift| that its address spaces can have together"
        |group, _| group.bound, head("BOUND") also(&["bound"]) keep(40) within(&[Kernel]);
    exact_file_bytes Pages "Exact: pages of files"
        |group, _| group.exact[Member::File.index()], head("FILE") also(&["exact_file", "file"]) within(&[Memory]);
    exact_anon_bytes Pages "Exact: anonymous pages"
        |group, _| group.exact[Member::Anon.index()], head("ANON") also(&["exact_anon", "anon"]) within(&[Memory]);
    exact_shmem_bytes Pages "Exact: pages of shared memory"
        |group, _| group.exact[Member::Shmem.index()], head("SHMEM") also(&["exact_shmem", "shmem"]) within(&[Memory]);
    exact_swap_bytes Pages "Exact: swapped out, not part of RSS"
        |group, _| group.exact[Member::Swap.index()], head("SWAP") also(&["exact_swap", "swap"]) within(&[Memory]);
    global_file_bytes Pages "The global counts alone: pages of files; can be negative"
        |group, _| group.global[Member::File.index()], head("GLOBAL-FILE") also(&["global_file"]) within(&[Kernel]);
    global_anon_bytes Pages "The global counts alone: anonymous pages; can be negative"
        |group, _| group.global[Member::Anon.index()], head("GLOBAL-ANON") also(&["global_anon"]) within(&[Kernel]);
    global_shmem_bytes Pages "The global counts alone: pages of shared memory; can be negative"
        |group, _| group.global[Member::Shmem.index()], head("GLOBAL-SHMEM") also(&["global_shmem"]) within(&[Kernel]);
    global_swap_bytes Pages "The global counts alone: swapped out; can be negative"
        |group, _| group.global[Member::Swap.index()], head("GLOBAL-SWAP") also(&["global_swap"]) within(&[Kernel]);
    worst_pid Id "The process with the largest |drift|, too much or too little"
        |group, _| group.worst.as_ref().map(|worst| u64::from(worst.pid)), head("WORST") keep(78);
    worst_comm Text "Its name" |group, _| group.worst.as_ref().map(|worst| worst.comm.as_str()), head("WORST-COMM") keep(72);
    worst_drift_bytes Pages "Its drift" |group, _| group.worst.as_ref().map(|worst| worst.drift), head("WORST-DRIFT") also(&["worst_drift"]) keep(35) signed();
    uncertain_mms Number "Address spaces whose counters kept moving while they were read: their exact figure is not of one instant"
        |group, _| group.uncertain, head("UNCERTAIN") also(&["uncertain"]);
    walked_mms Number "Address spaces whose page tables were walked (--resident): those of which the next two are"
        |group, _| group.walked.map(|walked| walked.mms), head("WALKED") also(&["walked"]);
    resident_bytes Bytes "Sum of Rss of /proc/PID/smaps_rollup (--resident)"
        |group, _| group.walked.map(|walked| walked.resident), head("RESIDENT") also(&["resident"]) keep(60) optional();
    pss_bytes Bytes "Sum of Pss of /proc/PID/smaps_rollup (--resident): each page divided by how often it is mapped"
        |group, _| group.walked.map(|walked| walked.pss), head("PSS") also(&["pss"]) keep(62) optional();
    charge_bytes Bytes "What the control group is charged: memory.current, or memory.usage_in_bytes of version 1; with the groups below it"
        |group, _| charged(group), head("CHARGE") also(&["charge"]) keep(66) optional();
    charge_peak_bytes Bytes "The most that it was ever charged: memory.peak, or memory.max_usage_in_bytes"
        |group, _| charge(group, |charge| charge.memory.peak), head("CHARGE-PEAK") also(&["charge_peak"]);
    limit_bytes Bytes "Its own limit: memory.max, or memory.limit_in_bytes; empty without one"
        |group, _| limit(group), head("LIMIT") also(&["limit"]) keep(58) optional();
    charged_exact_bytes Pages "Sum of the exact RSS of all that the charge is of: selected or not, and in groups below"
        |group, _| group.charged_exact, head("CHARGED-EXACT") also(&["charged_exact"]);
    beyond_rss_bytes Bytes "charge_bytes - charged_exact_bytes: what RSS does not see of the charge; below 0 where others are charged for its pages"
        |group, host| beyond(group, host), head("BEYOND-RSS") also(&["beyond_rss", "beyond"]) keep(64) signed() optional();
    page_cache_bytes Bytes "Of the charge: page cache, with tmpfs and shared memory (file or total_cache of memory.stat)"
        |group, _| charge(group, |charge| charge.page_cache), head("PAGE-CACHE") also(&["page_cache"]) within(&[Memory]);
    kernel_bytes Bytes "Of the charge: the kernel's own memory (kernel of memory.stat, or memory.kmem.usage_in_bytes)"
        |group, _| charge(group, |charge| charge.kernel), head("KERNEL-MEM") also(&["kernel_memory"]) within(&[Memory]);
    page_tables_bytes Bytes "Of the kernel's: page tables (pagetables of memory.stat); version 1 does not tell them"
        |group, _| charge(group, |charge| charge.page_tables), head("PAGE-TABLES") also(&["page_tables"]) within(&[Memory]);
    charge_percent Percent "charge_bytes as a share of the limit"
        |group, _| of_limit(group, charged(group).map(Count::count)), head("CHARGE%") also(&["charge%"]) keep(82) optional();
    charged_exact_percent Percent "charged_exact_bytes as a share of the limit"
        |group, host| of_limit(group, charged_exact(group, host)), head("EXACT%") also(&["exact%"]) keep(80) optional();
    missed_events Number "Events of the host that the BPF programs missed since the start (full mode)"
        |group, _| group.missed_events, head("MISSED") also(&["missed"]);
    step_down Text "Why the mode is passive though full was asked for: unavailable (at the start) or overhead (--max-overhead)"
        |_, host| host.step_down.map(StepDown::name), head("STEP-DOWN");
    limit_above_group Text "The control group above it that comes first to its limit; empty where none does before this one comes to its own"
        |group, _| above(group).map(|above| above.path.as_str()), head("ABOVE") also(&["above"]) keep(57) path() optional();
    limit_above_bytes Bytes "The limit of that group"
        |group, _| above(group).map(|above| above.limit), head("ABOVE-LIMIT") also(&["limit_above"]);
    limit_above_percent Percent "What that group is charged as a share of its limit"
        |group, _| above(group).map(|above| above.usage as f64 * 100.0 / above.limit.max(1) as f64),
        head("ABOVE%") also(&["above%"]) keep(81) optional();
};

/// The columns that only the terminal has.
static TERMINAL: &[Column<Aggregate>] = columns! { Aggregate;
    time Clock "Local time of day at which the group was read" |group, _| group.report.time, head("TIME") keep(45);
    name Text "group as people call it: a container by its name, or by the beginning of its id"
        |group, _| group.name.shown(), head("GROUP") keep(100) path();
    drift_percent Percent "drift as a share of exact"
        |group, _| group.drift_percent(), head("DRIFT%") also(&["drift%"]) keep(68);
};

#[cfg(test)]
#[path = "groups_tests.rs"]
mod tests;
