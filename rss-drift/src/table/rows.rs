//! The rows of `watch`. The contract's columns keep the order that users' files have.

use std::cmp::Ordering;

use rss_drift_common::Member;

use super::{
    Column, Record,
    Set::{Kernel, Memory, Rfc},
    Value, bytes, columns,
};
use crate::{
    drift::sample::{Host, Row, StepDown},
    proc::{Source, Wanted},
};

/// A column of `watch`.
pub type Field = Column<Row>;

impl Record for Row {
    const DEFAULT: &'static str = "time pid comm reported exact drift drift% bound uncertainty resident note";

    const MOVES: bool = true;

    const LEGEND: &'static [(&'static str, &'static str)] = &[];

    fn contract() -> &'static [Column<Self>] {
        CONTRACT
    }

    fn terminal() -> &'static [Column<Self>] {
        TERMINAL
    }

    fn tie(&self, other: &Self) -> Ordering {
        self.process.pid.cmp(&other.process.pid)
    }

    fn drift(&self) -> Option<i64> {
        self.drift()
    }

    fn drift_percent(&self) -> Option<f64> {
        self.drift_percent()
    }

    fn bound(&self) -> Option<u64> {
        self.bound
    }

    fn is_moving(&self) -> bool {
        self.is_moving()
    }
}

impl Field {
    /// The files of /proc that the column is from. The file of the reported figure is not among them, and neither is the figure of
    /// `stat`, which the iterator's record can have.
    #[must_use]
    pub fn files(&self) -> Wanted {
        match self.name {
            "faults" => Wanted::only(Source::Stat),
            "statm_bytes" => Wanted::only(Source::Statm),
            "status_bytes" | "vm_hwm_bytes" | "uid" => Wanted::only(Source::Status),
            "resident_bytes" => Wanted { resident: true, ..Wanted::NOTHING },
            "cgroup" => Wanted { cgroup: true, ..Wanted::NOTHING },
            _ => Wanted::NOTHING,
        }
    }
}

fn note(row: &Row) -> Option<String> {
    let notes: Vec<_> = row.notes.iter().map(|note| note.name()).collect();
    (!notes.is_empty()).then(|| notes.join(" "))
}

fn uncertainty(row: &Row, host: &Host) -> Value<'static> {
    if let Some(pages) = row.shadow.and_then(|it| it.uncertainty) {
        return Value::Bytes(bytes(pages, host.page_size));
    }
    row.moved.map_or(Value::Empty, |moved| Value::AtLeast(bytes(moved, host.page_size)))
}

/// The columns of CSV and the keys of JSON, in their order: new ones go to the end.
pub static CONTRACT: &[Field] = columns! { Row;
    timestamp Time "When the row was read" |row, _| row.time, head("TIMESTAMP");
    host Text "Node name of the host" |_, host| host.hostname.as_str(), head("HOST");
    boot_id Text "The kernel's id of this boot: with pid and start_time it names a process for ever"
        |_, host| host.boot_id.as_str(), head("BOOT-ID");
    kernel Text "The kernel's release" |_, host| host.kernel.as_str(), head("KERNEL") also(&["release"]);
    mode Text "passive: nothing attached to a hot path; full: with the shadow" |_, host| host.mode, head("MODE");
    accounting Text "Where the kernel caches updates of RSS: per-task or per-cpu"
        |_, host| host.accounting.name(), head("ACCOUNTING");
    pid Id "Thread group id" |row, _| u64::from(row.process.pid), head("PID") keep(100) within(&[Memory, Rfc, Kernel]);
    start_time Id "Start of the process in clock ticks since boot, field 22 of /proc/PID/stat as rss-drift's time namespace has it"
        |row, _| row.process.start_ticks, head("START") also(&["start"]);
    mm_generation Id "Rises with every execve: a new address space under the same pid"
        |row, _| row.process.mm_generation, head("GENERATION") also(&["generation"]);
    comm Text "Name of the process, as it set it itself" |row, _| row.process.comm.as_str(), head("COMM") keep(90) within(&[Memory, Rfc, Kernel]);
    uid Id "Effective user id" |row, _| row.process.uid.map(u64::from), head("UID");
    cgroup Text "Path of the control group that limits memory, as /proc/PID/cgroup prints it: in a cgroup namespace from its root on"
        |row, _| row.process.cgroup.as_deref(), head("CGROUP") path();
    threads Number "Threads of the process" |row, _| u64::from(row.process.threads), head("THREADS");
    source Text "The /proc file whose figure is the reported one: stat, statm or status"
        |row, _| row.source.name(), head("SOURCE");
    reported_bytes Pages "What the kernel reported in the source's file"
        |row, _| row.reported(), head("REPORTED") also(&["reported"]) keep(80) within(&[Memory]);
    exact_bytes Pages "What the kernel's counters add up to, with all that is still cached"
        |row, _| row.exact_rss(), head("EXACT") also(&["exact", "rss"]) keep(85) within(&[Memory, Rfc]);
    shadow_bytes Pages "RSS by the shadow, rss-drift's own per-CPU cache (full mode)"
        |row, _| row.shadow.map(|it| it.shadow), head("SHADOW") also(&["shadow"]) within(&[Rfc]);
    drift_bytes Pages "exact - reported; positive: the kernel under-reports; empty where the file may be exact or not"
        |row, _| row.drift(), head("DRIFT") also(&["drift"]) keep(95) within(&[Memory, Kernel]) signed();
    uncertainty_bytes Pages "What was updated between the readings of exact and of /proc (full mode)"
        |row, _| row.shadow.and_then(|it| it.uncertainty), head("UNCERTAINTY") within(&[Rfc]);
    moved_bytes Pages "|second - first| of exact, read around /proc: at least so much moved"
        |row, _| row.moved, head("MOVED") also(&["moved"]);
    bound_bytes Pages "The largest |drift| that the source can have here; empty where there is none"
        |row, _| row.bound, head("BOUND") also(&["bound"]) keep(60) within(&[Kernel]);
    stat_bytes Pages "Field 24 of /proc/PID/stat" |row, _| row.files.stat, head("STAT") also(&["stat"]) within(&[Kernel]);
    statm_bytes Pages "Field 2 of /proc/PID/statm" |row, _| row.files.statm, head("STATM") also(&["statm"]) within(&[Kernel]);
    status_bytes Pages "VmRSS of /proc/PID/status" |row, _| row.files.status, head("STATUS") also(&["status"]) within(&[Kernel]);
    resident_bytes Pages "Rss of /proc/PID/smaps_rollup, a walk of the page tables (--resident)"
        |row, _| row.files.resident, head("RESIDENT") also(&["resident"]) keep(70) optional();
    exact_file_bytes Pages "Exact: pages of files"
        |row, _| row.exact[Member::File.index()], head("FILE") also(&["exact_file", "file"]) within(&[Memory]);
    exact_anon_bytes Pages "Exact: anonymous pages"
        |row, _| row.exact[Member::Anon.index()], head("ANON") also(&["exact_anon", "anon"]) within(&[Memory]);
    exact_shmem_bytes Pages "Exact: pages of shared memory"
        |row, _| row.exact[Member::Shmem.index()], head("SHMEM") also(&["exact_shmem", "shmem"]) within(&[Memory]);
    exact_swap_bytes Pages "Exact: swapped out, not part of RSS"
        |row, _| row.exact[Member::Swap.index()], head("SWAP") also(&["exact_swap", "swap"]) within(&[Memory]);
    global_file_bytes Pages "The global count alone: pages of files; can be negative"
        |row, _| row.global[Member::File.index()], head("GLOBAL-FILE") also(&["global_file"]) within(&[Kernel]);
    global_anon_bytes Pages "The global count alone: anonymous pages; can be negative"
        |row, _| row.global[Member::Anon.index()], head("GLOBAL-ANON") also(&["global_anon"]) within(&[Kernel]);
    global_shmem_bytes Pages "The global count alone: pages of shared memory; can be negative"
        |row, _| row.global[Member::Shmem.index()], head("GLOBAL-SHMEM") also(&["global_shmem"]) within(&[Kernel]);
    global_swap_bytes Pages "The global count alone: swapped out; can be negative"
        |row, _| row.global[Member::Swap.index()], head("GLOBAL-SWAP") also(&["global_swap"]) within(&[Kernel]);
    peak_exact_bytes Pages "Largest exact figure since rss-drift first saw the process (full mode)"
        |row, _| row.shadow.map(|it| it.peak_exact), head("PEAK") also(&["peak_exact", "peak"]) within(&[Memory, Rfc]);
    peak_drift_bytes Pages "Largest |drift| of stat since rss-drift first saw the process (full mode)"
        |row, _| row.shadow.and_then(|it| it.peak_drift), head("PEAK-DRIFT") also(&["peak_drift"]) within(&[Rfc]);
    vm_hwm_bytes Pages "VmHWM of /proc/PID/status, the kernel's own peak"
        |row, _| row.files.vm_hwm, head("VMHWM") also(&["vm_hwm", "hwm"]) within(&[Memory, Kernel]);
    hits Number "Updates for the process that the CPU's slot held (full mode)"
        |row, _| row.shadow.map(|it| it.hits), head("HITS") within(&[Rfc]);
    misses Number "Updates for a process that the CPU's slot did not hold (full mode)"
        |row, _| row.shadow.map(|it| it.misses), head("MISSES") within(&[Rfc]);
    flushes Number "Slots whose pending deltas went to the shared totals (full mode)"
        |row, _| row.shadow.map(|it| it.flushes), head("FLUSHES") within(&[Rfc]);
    faults Number "Page faults: by BPF programs since rss-drift first saw it (--faults, per-task), else since it began"
        |row, _| row.faults(), head("FAULTS") within(&[Rfc, Kernel]);
    missed_events Number "Events of the host that the BPF programs missed since the start (full mode)"
        |row, _| row.missed_events, head("MISSED") also(&["missed"]);
    note Text "Remarks on the row: dead-leader, shared-mm, uncertain, died; separated by blanks"
        |row, _| note(row), head("NOTE") keep(75) optional();
    interval Id "Number of the report, from 1: the same in all rows of one report"
        |row, _| row.report.interval, head("INTERVAL");
    reading_time Time "When the reading of the host began that the report is made of: the same in all rows of one report"
        |row, _| row.report.time, head("READING-TIME");
    band_low_bytes Pages "The lowest that the true drift can be: drift - uncertainty; empty for an uncertain row (full mode)"
        |row, _| row.band().map(|(low, _)| low), head("BAND-LOW") also(&["band_low"]) signed();
    band_high_bytes Pages "The highest that the true drift can be: drift + uncertainty; empty for an uncertain row (full mode)"
        |row, _| row.band().map(|(_, high)| high), head("BAND-HIGH") also(&["band_high"]) signed();
    step_down Text "Why the mode is passive though full was asked for: unavailable (at the start) or overhead (--max-overhead)"
        |_, host| host.step_down.map(StepDown::name), head("STEP-DOWN");
    mm_pid Id "The lowest pid of the processes that use the same memory (shared-mm); empty where there is one"
        |row, _| row.process.mm_pid.map(u64::from), head("MM-PID");
};

/// The columns that only the terminal has.
static TERMINAL: &[Field] = columns! { Row;
    time Clock "Local time of day at which the row was read" |row, _| row.time, head("TIME") keep(40);
    drift_percent Percent "drift as a share of exact"
        |row, _| row.drift_percent(), head("DRIFT%") also(&["drift%"]) keep(50);
    shadow_error Pages "shadow - exact: an error of rss-drift, never drift (full mode)"
        |row, _| row.shadow.map(|it| it.shadow - row.exact_rss()), head("SHADOW-ERR") within(&[Rfc]);
    peak_error Pages "By how much the two peaks can be off: 0 while one CPU at a time runs the process"
        |row, _| row.shadow.map(|it| it.peak_error), head("PEAK-ERR") within(&[Rfc]);
    events_per_miss Number "Updates for each one that missed, rounded down (full mode)"
        |row, _| row.shadow.and_then(|it| (it.hits + it.misses).checked_div(it.misses)), head("PER-MISS") within(&[Rfc]);
    uncertainty Bytes "uncertainty_bytes, or in passive mode >= moved_bytes"
        |row, host| uncertainty(row, host), head("UNCERT") also(&["uncert"]) keep(65);
};

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{
        super::{Set, Unit},
        *,
    };
    use crate::{drift::fixture, proc::ProcFigures};

    /// The contract word for word: a change here breaks the files of every user.
    const NAMES: &str = "timestamp,host,boot_id,kernel,mode,accounting,pid,start_time,mm_generation,comm,uid,\
        cgroup,threads,source,reported_bytes,exact_bytes,shadow_bytes,drift_bytes,uncertainty_bytes,moved_bytes,\
        bound_bytes,stat_bytes,statm_bytes,status_bytes,resident_bytes,exact_file_bytes,exact_anon_bytes,\
        exact_shmem_bytes,exact_swap_bytes,global_file_bytes,global_anon_bytes,global_shmem_bytes,\
        global_swap_bytes,peak_exact_bytes,peak_drift_bytes,vm_hwm_bytes,hits,misses,flushes,faults,missed_events,\
        note,interval,reading_time,band_low_bytes,band_high_bytes,step_down,mm_pid";

    #[test]
    fn the_contract_keeps_its_names_and_order() {
        let names: Vec<_> = CONTRACT.iter().map(|field| field.name).collect();
        assert_eq!(names.join(","), NAMES);
    }

    #[test]
    fn a_column_knows_its_files() {
        // What a row shows without any file of /proc must not change when they are there.
        let (with, host) = (fixture::row(42, "sh", 100, 90), fixture::host());
        let mut without = with.clone();
        without.files = ProcFigures::default();
        (without.process.uid, without.process.cgroup, without.process.faults) = (None, None, None);
        let mut with = with;
        with.files.resident = Some(95);
        let of_source = [
            "reported_bytes",
            "drift_bytes",
            "drift_percent",
            "band_low_bytes",
            "band_high_bytes",
            "stat_bytes",
        ];
        for field in Row::columns().filter(|field| !of_source.contains(&field.name)) {
            let differs = field.get(&with, &host) != field.get(&without, &host);
            assert_eq!(differs, field.files() != Wanted::NOTHING, "{}", field.name);
        }
    }

    #[test]
    fn no_name_is_used_twice() {
        let mut seen = HashSet::new();
        for field in Row::columns() {
            for name in field.aliases.iter().chain([&field.name]) {
                assert!(seen.insert(*name), "{name} names two fields");
                assert_eq!(*name, name.to_ascii_lowercase(), "names are looked up in lower case");
            }
        }
    }

    #[test]
    fn each_set_is_a_table_of_its_own() {
        for set in Set::ALL {
            let names: Vec<_> =
                Row::columns().filter(|field| field.sets.contains(&set)).map(|field| field.name).collect();
            assert!(names.starts_with(&["pid", "comm"]) && names.len() > 8, "{set:?}: {names:?}");
            // A set says nothing of a walk of page tables: that is asked for by name.
            assert!(!names.contains(&"resident_bytes"), "{set:?}");
            // Its name hides that of a field, which has another then.
            let hidden = Row::columns().find(|field| field.name == set.name());
            assert!(hidden.is_none_or(|field| !field.aliases.is_empty()), "{set:?}");
            assert!(Row::columns().all(|field| !field.aliases.contains(&set.name())), "{set:?}");
        }
    }

    #[test]
    fn sizes_say_so_in_their_name() {
        for field in CONTRACT {
            assert_eq!(field.unit == Unit::Bytes, field.name.ends_with("_bytes"), "{}", field.name);
        }
    }

    #[test]
    fn documentation_is_one_line_without_a_full_stop() {
        for field in Row::columns() {
            assert!(
                !field.doc.is_empty() && !field.doc.contains('\n') && !field.doc.ends_with('.'),
                "{}",
                field.name
            );
        }
    }
}
