//! The one table of a report's figures: CSV header, JSON keys and docs/run.md are made from it.

use rss_drift_common::{
    Member,
    run::{Largest, kind},
};

use super::report::{COMMAND, LARGEST, Report, updates_per_miss};
use crate::{
    drift::stats::Percentiles,
    probe::Scope,
    proc::Precision,
    table::{Column, columns},
};

/// All of them, in their order; new ones go to the end.
pub(super) static FIGURES: &[Column<Report>] = columns! { Report;
    timestamp Time "when the command began" |it, _| it.began;
    host Text "name of the host" |it, _| it.host.hostname.as_str();
    boot_id Text "the kernel's id of this boot" |it, _| it.host.boot_id.as_str();
    kernel Text "release of the kernel" |it, _| it.host.kernel.as_str();
    accounting Text "`per-cpu` or `per-task`" |it, _| it.host.accounting.name();
    cpus Number "CPUs online" |it, _| it.rules.cpus.online.len() as u64;
    command Text "the command and its arguments, separated by blanks" |it, _| it.command.as_str();
    exit_status Number "as shells give it: 128 + n after signal n; empty: the command still runs" |it, _| it.ended.map(|ended| u64::from(ended.code()));
    duration_seconds Seconds "from the start of the command to its end, or to the end of the run" |it, _| it.duration;
    forks Number "processes that were forked" |it, _| it.totals.forks;
    execs Number "programs that were executed, the command included" |it, _| it.totals.execs;
    outlived Number "processes that still run" |it, _| it.outlived.len() as u64;
    faults Number "page faults, minor and major, by the kernel's count" |it, _| it.faults();
    switches Number "context switches by which a CPU took another mm, one that is measured" |it, _| it.totals.switches;
    updates Number "updates of RSS counters: hits + misses" |it, _| it.totals.updates().updates();
    hits Number "updates of the mm that the CPU's slot held" |it, _| it.totals.updates().hits;
    misses Number "updates of another mm" |it, _| it.totals.updates().misses;
    updates_per_miss Number "updates for each miss; empty without a miss" |it, _| updates_per_miss(&it.totals.updates());
    flushes Number "slots that gave deltas up for another mm" |it, _| it.totals.flushes;
    file_updates Number "updates of the member file" |it, _| it.totals.members[Member::File.index()].updates();
    file_added_bytes Pages "pages of files that came" |it, _| it.totals.members[Member::File.index()].added;
    file_removed_bytes Pages "pages of files that went" |it, _| it.totals.members[Member::File.index()].removed;
    anon_updates Number "updates of the member anon" |it, _| it.totals.members[Member::Anon.index()].updates();
    anon_added_bytes Pages "anonymous pages that came" |it, _| it.totals.members[Member::Anon.index()].added;
    anon_removed_bytes Pages "anonymous pages that went" |it, _| it.totals.members[Member::Anon.index()].removed;
    swap_updates Number "updates of the member swap" |it, _| it.totals.members[Member::Swap.index()].updates();
    swap_added_bytes Pages "swap entries that came" |it, _| it.totals.members[Member::Swap.index()].added;
    swap_removed_bytes Pages "swap entries that went" |it, _| it.totals.members[Member::Swap.index()].removed;
    shmem_updates Number "updates of the member shmem" |it, _| it.totals.members[Member::Shmem.index()].updates();
    shmem_added_bytes Pages "pages of shared memory that came" |it, _| it.totals.members[Member::Shmem.index()].added;
    shmem_removed_bytes Pages "pages of shared memory that went" |it, _| it.totals.members[Member::Shmem.index()].removed;
    command_pid Number "pid of the command" |it, _| it.peaks[COMMAND].as_ref().map(|peak| peak.pid);
    command_peak_bytes Bytes "largest RSS of the command itself, from events" |it, _| it.peaks[COMMAND].as_ref().map(|peak| peak.exact);
    command_peak_error_bytes Bytes "by how much that may be wrong: several CPUs changed it at once" |it, _| it.peaks[COMMAND].as_ref().map(|peak| peak.error);
    command_vm_hwm_bytes Bytes "its VmHWM as the kernel would have printed it last" |it, _| it.peaks[COMMAND].as_ref().and_then(|peak| peak.vm_hwm);
    command_maxrss_bytes Bytes "its ru_maxrss" |it, _| it.peaks[COMMAND].as_ref().and_then(|peak| peak.maxrss);
    largest_pid Number "pid of the process with the largest peak" |it, _| it.peaks[LARGEST].as_ref().map(|peak| peak.pid);
    largest_comm Text "its name, as last seen while it ran" |it, _| it.peaks[LARGEST].as_ref().map(|peak| peak.comm.as_str());
    largest_peak_bytes Bytes "its largest RSS, from events" |it, _| it.peaks[LARGEST].as_ref().map(|peak| peak.exact);
    largest_peak_error_bytes Bytes "by how much that may be wrong" |it, _| it.peaks[LARGEST].as_ref().map(|peak| peak.error);
    largest_vm_hwm_bytes Bytes "its VmHWM as the kernel would have printed it last" |it, _| it.peaks[LARGEST].as_ref().and_then(|peak| peak.vm_hwm);
    largest_maxrss_bytes Bytes "its ru_maxrss" |it, _| it.peaks[LARGEST].as_ref().and_then(|peak| peak.maxrss);
    exact_sources Text "files of /proc that are exact here: they do not drift" |it, _| it.sources(Precision::Exact).join(" ");
    drift_readings Number "readings of a process while the command ran" |it, _| it.samples.readings;
    drift_p50_bytes Pages "|drift| of the approximate files: half of the readings are not above this; empty where no file is known to be approximate" |it, _| drift(it, |found| found.p50);
    drift_p95_bytes Pages "95 of 100 readings are not above this" |it, _| drift(it, |found| found.p95);
    drift_p99_bytes Pages "99 of 100 readings are not above this" |it, _| drift(it, |found| found.p99);
    drift_max_bytes Pages "the largest of the readings" |it, _| drift(it, |found| found.max);
    drift_bound_bytes Pages "the largest that they can have here; empty without a reading" |it, _| (it.samples.readings > 0 && it.knows_drift()).then_some(it.samples.bound);
    drift_peak_bytes Pages "the largest |drift| that the events saw" |it, _| peak_of_drift(it).map(|of| of.drift);
    drift_peak_pid Number "pid of the process that had it" |it, _| peak_of_drift(it).map(|of| of.tgid);
    threshold_bytes Bytes "`--threshold`" |it, _| it.threshold;
    above_threshold_percent Percent "readings whose |drift| was that or more" |it, _| it.above_percent();
    missed_events Number "self-check: events that the BPF programs missed" |it, _| it.check.missed;
    updates_refused Number "self-check: updates of an mm for which there was no room (--max-mms)" |it, _| it.check.refused;
    processes_refused Number "self-check: processes that could not be followed (--max-mms)" |it, _| it.totals.refused;
    error_at_rest_bytes Pages "self-check: largest |shadow - exact| of an idle process" |it, _| it.check.idle_error;
    repaired_bytes Pages "self-check: pages that had to be corrected for idle processes" |it, _| it.check.repaired;
    deaths_with_rest Number "self-check: mms that ended with a residue: their shadow was not 0" |it, _| it.check.residues;
    own_cpu_seconds Seconds "CPU time of rss-drift, without that of its BPF programs" |it, _| it.costs.cpu_time;
    own_rss_bytes Bytes "RSS of rss-drift" |it, _| it.costs.rss;
    map_bytes Bytes "kernel memory of the BPF programs and maps" |it, _| it.costs.maps;
    rfc_updates Number "updates by the RFC's own sites; this and all that follows from sites is empty where the kernel hides its functions' names" |it, _| it.by_rfc_sites().map(|of| of.updates());
    rfc_pages_bytes Pages "pages that came or went by them" |it, _| it.by_rfc_sites().map(|of| of.pages());
    rfc_hits Number "of these updates the hits" |it, _| it.by_rfc_sites().map(|of| of.hits);
    rfc_misses Number "of these updates the misses" |it, _| it.by_rfc_sites().map(|of| of.misses);
    rfc_updates_per_miss Number "of these updates so many for each miss; empty without a miss" |it, _| it.by_rfc_sites().and_then(|of| updates_per_miss(&of));
    rfc_flushes Number "slots that gave up deltas of the RFC's own sites for another mm" |it, _| it.by_rfc_sites().map(|_| it.totals.rfc_flushes);
    other_updates Number "updates by other functions, which the RFC left at atomic operations" |it, _| it.by_other_sites().map(|of| of.updates());
    other_misses Number "of these the misses" |it, _| it.by_other_sites().map(|of| of.misses);
    unclassified_updates Number "updates by functions whose names are not known" |it, _| it.totals.of_kind(kind::UNKNOWN).updates();
    possible_cpus Number "CPUs that a reader visits when it visits all" |it, _| it.rules.cpus.possible.len() as u64;
    ran_cpus_mean Number "CPUs that ran the mm in the shadow, mean of all readings; empty without a reading" |it, _| it.visited(it.totals.visits.ran);
    ran_cpus_max Number "the most of them" |it, _| most(it, it.totals.visits.ran_max);
    mm_cpumask_mean Number "CPUs in the kernel's mm_cpumask, which x86 clears late, mean of all readings; empty without a reading" |it, _| it.visited(it.totals.visits.mask);
    mm_cpumask_max Number "the most of them" |it, _| most(it, it.totals.visits.mask_max);
    sites_lost Number "self-check: updates whose site found no room: counted by kind, not by function" |it, _| it.totals.sites_lost;
    chains_lost Number "self-check: misses whose call chain found no room" |it, _| it.totals.chains_lost;
    scope Text "what all figures cover: `command` and its descendants, or every process of the `system`" |it, _| match it.scope { Scope::Command => "command", Scope::System => "system" };
    exits Number "processes that ended: at each the kernel reads RSS for getrusage(2), as at each program that is executed" |it, _| it.totals.exits;
    stat_opened Number "openings of `/proc/PID/stat` of measured processes, by others than rss-drift; empty: not known" |it, _| it.openings.as_ref().ok().map(|of| of.stat);
    statm_opened Number "of `statm`" |it, _| it.openings.as_ref().ok().map(|of| of.statm);
    status_opened Number "of `status`" |it, _| it.openings.as_ref().ok().map(|of| of.status);
    smaps_opened Number "of `smaps` and `smaps_rollup`" |it, _| it.openings.as_ref().ok().map(|of| of.smaps);
    unnamed_opened Number "self-check: openings in /proc whose file the kernel could not name" |it, _| it.openings.as_ref().ok().map(|of| of.unnamed);
    updates_per_read Number "updates for each of these readings of RSS (openings, exits, execs)" |it, _| it.updates_per_read();
    rfc_hit_bytes Pages "pages that came or went by the hits of the RFC's own sites: what compares with the RFC, one of whose events was one page" |it, _| it.by_rfc_sites().map(|of| of.hit_pages());
    rfc_miss_bytes Pages "the same by the misses" |it, _| it.by_rfc_sites().map(|of| of.missed);
    nested_events Number "self-check: of `missed_events`, updates that came while the CPU's slot was busy" |it, _| it.check.nested;
    unsettled_words Number "self-check: words of the kernel that changed while they were read; the next reading corrects them" |it, _| it.check.unsettled;
    late_bytes Pages "self-check: pages that were found only when their mm ended" |it, _| it.check.late;
    unjudged_deaths Number "mms that could not be checked for a residue at their end: they were being read, or another CPU had yet to flush them" |it, _| it.check.unjudged;
    swept_states Number "states whose mm's end was not seen: swept" |it, _| it.check.swept;
    inherited_states Number "the same: taken over by a new mm at the same address" |it, _| it.check.inherited;
    caught_updates Number "updates that found another mm than the running task's in the CPU's slot, and corrected the slot" |it, _| it.check.caught;
    own_peak_rss_bytes Bytes "largest RSS of rss-drift since its start, start-up included" |it, _| it.costs.peak_rss;
    openings_overflows Number "self-check: how often the kernel's queue of openings was full, and lost some: then the counts of openings are too low" |it, _| it.openings.as_ref().ok().map(|of| of.overflows);
    measured_seconds Seconds "from the start of the command to the end of measuring: less than `duration_seconds` where `--max-overhead` ended it" |it, _| it.stopped.unwrap_or(it.duration);
    programs_percent Percent "self-check: run time of the BPF programs as a share of the host's CPU time when it was measured last; empty without `--max-overhead`" |it, _| it.check.programs_percent;
};

/// Of readings: nothing where there was none.
fn most(it: &Report, most: u64) -> Option<u64> {
    (it.totals.visits.readings > 0).then_some(most)
}

fn peak_of_drift(it: &Report) -> Option<Largest> {
    it.totals.drift.filter(|_| it.knows_drift())
}

fn drift(it: &Report, get: impl FnOnce(Percentiles<u64>) -> u64) -> Option<u64> {
    it.samples.drift.distribution().absolute.filter(|_| it.knows_drift()).map(get)
}
