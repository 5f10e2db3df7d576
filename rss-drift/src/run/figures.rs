//! The one table of a report's figures: CSV header, JSON keys and docs/run.md are made from it.

use std::borrow::Cow;

use rss_drift_common::{
    Member,
    run::{MemberCounts, kind},
};

use super::{
    opened::Openings,
    report::{COMMAND, LARGEST, Peak, Report, updates_per_miss},
};
use crate::{
    drift::stats::Percentiles,
    field::{Value, bytes, unsigned_bytes},
    probe::Scope,
    proc::Precision,
};

/// One figure.
pub struct Figure {
    /// Its name in CSV and JSON: never changed.
    pub name: &'static str,
    /// Its unit in the documentation.
    #[cfg_attr(not(test), expect(dead_code, reason = "a test makes the documentation of it"))]
    pub unit: &'static str,
    /// What it is.
    #[cfg_attr(not(test), expect(dead_code, reason = "as above"))]
    pub doc: &'static str,
    /// Its value.
    pub get: fn(&Report) -> Value<'_>,
}

macro_rules! figures {
    ($($name:ident $unit:literal $doc:literal $get:expr;)*) => {
        &[$(Figure { name: stringify!($name), unit: $unit, doc: $doc, get: $get },)*]
    };
}

/// All of them, in their order; new ones go to the end.
pub const FIGURES: &[Figure] = figures! {
    timestamp "RFC 3339, UTC, ms" "when the command began" |it| Value::Time(it.began);
    host "text" "name of the host" |it| text(&it.host.hostname);
    boot_id "text" "the kernel's id of this boot" |it| text(&it.host.boot_id);
    kernel "text" "release of the kernel" |it| text(&it.host.kernel);
    accounting "text" "`per-cpu` or `per-task`" |it| text(it.host.accounting.name());
    cpus "number" "CPUs online" |it| Value::Number(it.rules.cpus.online.len() as u64);
    command "text" "the command and its arguments, separated by blanks" |it| text(&it.command);
    exit_status "number" "as shells give it: 128 + n after signal n; empty: the command still runs" |it| it.ended.map(|ended| u64::from(ended.code())).into();
    duration_seconds "seconds" "from the start of the command to its end, or to the end of the run" |it| Value::Percent(it.duration.as_secs_f64());
    forks "number" "processes that were forked" |it| Value::Number(it.totals.forks);
    execs "number" "programs that were executed, the command included" |it| Value::Number(it.totals.execs);
    outlived "number" "processes that still run" |it| Value::Number(it.outlived.len() as u64);
    faults "number" "page faults, minor and major, by the kernel's count" |it| Value::Number(it.faults());
    switches "number" "context switches by which a CPU took another mm, one that is measured" |it| Value::Number(it.totals.switches);
    updates "number" "updates of RSS counters: hits + misses" |it| Value::Number(it.totals.updates().updates());
    hits "number" "updates of the mm that the CPU's slot held" |it| Value::Number(it.totals.updates().hits);
    misses "number" "updates of another mm" |it| Value::Number(it.totals.updates().misses);
    updates_per_miss "number" "updates for each miss; empty without a miss" |it| mean(updates_per_miss(&it.totals.updates()));
    flushes "number" "slots that gave deltas up for another mm" |it| Value::Number(it.totals.flushes);
    file_updates "number" "updates of the member file" |it| updates(it, Member::File);
    file_added_bytes "bytes" "pages of files that came" |it| added(it, Member::File);
    file_removed_bytes "bytes" "pages of files that went" |it| removed(it, Member::File);
    anon_updates "number" "updates of the member anon" |it| updates(it, Member::Anon);
    anon_added_bytes "bytes" "anonymous pages that came" |it| added(it, Member::Anon);
    anon_removed_bytes "bytes" "anonymous pages that went" |it| removed(it, Member::Anon);
    swap_updates "number" "updates of the member swap" |it| updates(it, Member::Swap);
    swap_added_bytes "bytes" "swap entries that came" |it| added(it, Member::Swap);
    swap_removed_bytes "bytes" "swap entries that went" |it| removed(it, Member::Swap);
    shmem_updates "number" "updates of the member shmem" |it| updates(it, Member::Shmem);
    shmem_added_bytes "bytes" "pages of shared memory that came" |it| added(it, Member::Shmem);
    shmem_removed_bytes "bytes" "pages of shared memory that went" |it| removed(it, Member::Shmem);
    command_pid "number" "pid of the command" |it| peak(it, COMMAND, |peak| Value::Number(peak.pid));
    command_peak_bytes "bytes" "largest RSS of the command itself, from events" |it| peak(it, COMMAND, |peak| Value::Bytes(peak.exact));
    command_peak_error_bytes "bytes" "by how much that may be wrong: several CPUs changed it at once" |it| peak(it, COMMAND, |peak| Value::Bytes(peak.error));
    command_vm_hwm_bytes "bytes" "its VmHWM as the kernel would have printed it last" |it| peak(it, COMMAND, |peak| size(peak.vm_hwm));
    command_maxrss_bytes "bytes" "its ru_maxrss" |it| peak(it, COMMAND, |peak| size(peak.maxrss));
    largest_pid "number" "pid of the process with the largest peak" |it| peak(it, LARGEST, |peak| Value::Number(peak.pid));
    largest_comm "text" "its name" |it| peak(it, LARGEST, |peak| Value::Text(Cow::Borrowed(&peak.comm)));
    largest_peak_bytes "bytes" "its largest RSS, from events" |it| peak(it, LARGEST, |peak| Value::Bytes(peak.exact));
    largest_peak_error_bytes "bytes" "by how much that may be wrong" |it| peak(it, LARGEST, |peak| Value::Bytes(peak.error));
    largest_vm_hwm_bytes "bytes" "its VmHWM as the kernel would have printed it last" |it| peak(it, LARGEST, |peak| size(peak.vm_hwm));
    largest_maxrss_bytes "bytes" "its ru_maxrss" |it| peak(it, LARGEST, |peak| size(peak.maxrss));
    exact_sources "text" "files of /proc that are exact here: they do not drift" |it| Value::Text(it.sources(Precision::Exact).join(" ").into());
    drift_readings "number" "readings of a process while the command ran" |it| Value::Number(it.watcher.readings);
    drift_p50_bytes "bytes" "|drift| of the approximate files: half of the readings are not above this" |it| drift(it, |found| found.p50);
    drift_p95_bytes "bytes" "95 of 100 readings are not above this" |it| drift(it, |found| found.p95);
    drift_p99_bytes "bytes" "99 of 100 readings are not above this" |it| drift(it, |found| found.p99);
    drift_max_bytes "bytes" "the largest of the readings" |it| drift(it, |found| found.max);
    drift_bound_bytes "bytes" "the largest that they can have here; empty without a reading" |it| if it.watcher.readings > 0 { Value::Bytes(unsigned_bytes(it.watcher.bound, it.rules.page_size)) } else { Value::Empty };
    drift_peak_bytes "bytes" "the largest |drift| that the events saw" |it| it.totals.drift.map_or(Value::Empty, |of| Value::Bytes(bytes(of.drift, it.rules.page_size)));
    drift_peak_pid "number" "pid of the process that had it" |it| it.totals.drift.map(|of| of.tgid).into();
    threshold_bytes "bytes" "`--threshold`" |it| Value::Bytes(i64::try_from(it.threshold).unwrap_or(i64::MAX));
    above_threshold_percent "percent" "readings whose |drift| was that or more" |it| it.above_percent().map_or(Value::Empty, Value::Percent);
    missed_events "number" "our fault: events that our programs missed" |it| Value::Number(it.faults.missed);
    updates_refused "number" "our fault: updates of an mm for which there was no room (--max-mms)" |it| Value::Number(it.faults.refused);
    processes_refused "number" "our fault: processes that could not be followed (--max-mms)" |it| Value::Number(it.totals.refused);
    error_at_rest_bytes "bytes" "our fault: largest |shadow - exact| of a process at rest" |it| Value::Bytes(unsigned_bytes(it.faults.error_at_rest, it.rules.page_size));
    repaired_bytes "bytes" "our fault: what had to be corrected for processes at rest" |it| Value::Bytes(unsigned_bytes(it.faults.repaired, it.rules.page_size));
    deaths_with_rest "number" "our fault: mms whose shadow was not 0 at their end" |it| Value::Number(it.faults.deaths_with_rest);
    own_cpu_seconds "seconds" "our own CPU time, without that of our programs in the kernel" |it| Value::Percent(it.costs.cpu_time.as_secs_f64());
    own_rss_bytes "bytes" "our own RSS" |it| size(it.costs.rss.and_then(|rss| i64::try_from(rss).ok()));
    map_bytes "bytes" "kernel memory of our programs and maps" |it| size(i64::try_from(it.costs.maps).ok());
    rfc_updates "number" "updates by the RFC's own sites" |it| kind(it, kind::RFC, MemberCounts::updates);
    rfc_pages_bytes "bytes" "pages that came or went by them" |it| Value::Bytes(unsigned_bytes(it.totals.of_kind(kind::RFC).pages(), it.rules.page_size));
    rfc_hits "number" "of these updates the hits" |it| kind(it, kind::RFC, |of| of.hits);
    rfc_misses "number" "of these updates the misses" |it| kind(it, kind::RFC, |of| of.misses);
    rfc_updates_per_miss "number" "of these updates so many for each miss; empty without a miss" |it| mean(updates_per_miss(&it.totals.of_kind(kind::RFC)));
    rfc_flushes "number" "slots that gave up deltas of the RFC's own sites for another mm" |it| Value::Number(it.totals.rfc_flushes);
    other_updates "number" "updates by other functions, which the RFC left at atomic operations" |it| kind(it, kind::OTHER, MemberCounts::updates);
    other_misses "number" "of these the misses" |it| kind(it, kind::OTHER, |of| of.misses);
    unclassified_updates "number" "updates by functions whose names are not known" |it| kind(it, kind::UNKNOWN, MemberCounts::updates);
    possible_cpus "number" "CPUs that a reader visits who visits all" |it| Value::Number(it.rules.cpus.possible.len() as u64);
    ran_cpus_mean "number" "CPUs that ran the mm in the shadow, mean of all readings; empty without a reading" |it| mean(it.visited(it.totals.visits.ran));
    ran_cpus_max "number" "the most of them" |it| most(it, it.totals.visits.ran_max);
    mm_cpumask_mean "number" "CPUs in the kernel's mm_cpumask, which x86 clears late, mean of all readings; empty without a reading" |it| mean(it.visited(it.totals.visits.mask));
    mm_cpumask_max "number" "the most of them" |it| most(it, it.totals.visits.mask_max);
    sites_lost "number" "our fault: updates whose site found no room: counted by kind, not by function" |it| Value::Number(it.totals.sites_lost);
    chains_lost "number" "our fault: misses whose call chain found no room" |it| Value::Number(it.totals.chains_lost);
    scope "text" "whom all figures are of: `command` and its descendants, or every process of the `system`" |it| text(match it.scope { Scope::Command => "command", Scope::System => "system" });
    exits "number" "processes that ended: at each the kernel reads RSS for getrusage(2), as at each program that is executed" |it| Value::Number(it.totals.exits);
    stat_opened "number" "openings of `/proc/PID/stat` of measured processes, by others than rss-drift; empty: not known" |it| opened(it, |of| of.stat);
    statm_opened "number" "of `statm`" |it| opened(it, |of| of.statm);
    status_opened "number" "of `status`" |it| opened(it, |of| of.status);
    smaps_opened "number" "of `smaps` and `smaps_rollup`" |it| opened(it, |of| of.smaps);
    unnamed_opened "number" "our fault: openings in /proc of which the kernel could not tell which file it was" |it| opened(it, |of| of.unnamed);
    updates_per_read "number" "updates for each of these readings of RSS (openings, exits, execs)" |it| mean(it.updates_per_read());
    rfc_hit_bytes "bytes" "pages that came or went by the hits of the RFC's own sites: what compares with the RFC, one of whose events was one page" |it| Value::Bytes(unsigned_bytes(it.totals.of_kind(kind::RFC).hit_pages(), it.rules.page_size));
    rfc_miss_bytes "bytes" "the same by the misses" |it| Value::Bytes(unsigned_bytes(it.totals.of_kind(kind::RFC).missed, it.rules.page_size));
    nested_events "number" "our fault: of `missed_events` those of updates that came while the CPU's slot was busy" |it| Value::Number(it.faults.nested);
    unsettled_words "number" "our fault: words of the kernel that did not hold still while they were read: made good by the next reading" |it| Value::Number(it.faults.unsettled);
    late_bytes "bytes" "our fault: what was found only at the end of an mm" |it| Value::Bytes(unsigned_bytes(it.faults.late, it.rules.page_size));
    unjudged_deaths "number" "mms that could not be asked for a rest at their end: they were being read, or another CPU had yet to flush them" |it| Value::Number(it.faults.unjudged);
    swept_states "number" "states of mms whose end was not seen: swept away" |it| Value::Number(it.faults.swept);
    inherited_states "number" "the same: a new mm had the address" |it| Value::Number(it.faults.inherited);
    caught_updates "number" "updates that found the CPU's slot on another mm than the running task's, and set that right" |it| Value::Number(it.faults.caught);
};

fn text(text: &str) -> Value<'_> {
    Value::Text(Cow::Borrowed(text))
}

fn kind(it: &Report, kind: u64, get: impl FnOnce(&MemberCounts) -> u64) -> Value<'_> {
    Value::Number(get(&it.totals.of_kind(kind)))
}

fn opened(it: &Report, get: impl FnOnce(&Openings) -> u64) -> Value<'_> {
    it.openings.as_ref().map_or(Value::Empty, |openings| Value::Number(get(openings)))
}

fn mean(mean: Option<f64>) -> Value<'static> {
    mean.map_or(Value::Empty, Value::Percent)
}

/// Of readings: nothing where there was none.
fn most(it: &Report, most: u64) -> Value<'_> {
    if it.totals.visits.readings > 0 { Value::Number(most) } else { Value::Empty }
}

fn size(bytes: Option<i64>) -> Value<'static> {
    bytes.map_or(Value::Empty, Value::Bytes)
}

fn updates(it: &Report, member: Member) -> Value<'_> {
    Value::Number(it.totals.members[member.index()].updates())
}

fn added(it: &Report, member: Member) -> Value<'_> {
    Value::Bytes(unsigned_bytes(it.totals.members[member.index()].added, it.rules.page_size))
}

fn removed(it: &Report, member: Member) -> Value<'_> {
    Value::Bytes(unsigned_bytes(it.totals.members[member.index()].removed, it.rules.page_size))
}

fn peak<'a>(it: &'a Report, whose: usize, get: impl FnOnce(&'a Peak) -> Value<'a>) -> Value<'a> {
    it.peaks[whose].as_ref().map_or(Value::Empty, get)
}

fn drift(it: &Report, get: impl FnOnce(Percentiles<u64>) -> u64) -> Value<'_> {
    let found = it.watcher.drift.distribution().absolute;
    found.map_or(Value::Empty, |found| Value::Bytes(unsigned_bytes(get(found), it.rules.page_size)))
}
