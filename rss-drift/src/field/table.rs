//! The table itself. The contract's columns come first, in the order that users' files have.

use std::borrow::Cow;

use rss_drift_common::Member;

use super::{Field, Getter, Unit, Value, bytes, unsigned_bytes};
use crate::drift::sample::{Host, Row, ShadowFigures};

/// A field of the contract that is dropped early from a narrow terminal.
const fn field(
    name: &'static str,
    header: &'static str,
    unit: Unit,
    doc: &'static str,
    get: Getter,
) -> Field {
    Field { name, aliases: &[], header, unit, doc, contract: true, priority: 30, get }
}

/// A size of the contract.
const fn size(name: &'static str, header: &'static str, doc: &'static str, get: Getter) -> Field {
    field(name, header, Unit::Bytes, doc, get)
}

/// A number of the contract.
const fn number(name: &'static str, header: &'static str, doc: &'static str, get: Getter) -> Field {
    field(name, header, Unit::Number, doc, get)
}

/// A text of the contract.
const fn text(name: &'static str, header: &'static str, doc: &'static str, get: Getter) -> Field {
    field(name, header, Unit::Text, doc, get)
}

impl Field {
    /// Adds shorter names.
    const fn also(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    /// Sets how long a narrow terminal keeps the column.
    const fn keep(mut self, priority: u8) -> Self {
        self.priority = priority;
        self
    }

    /// Takes it out of the contract.
    const fn terminal_only(mut self) -> Self {
        self.contract = false;
        self
    }
}

/// What passive mode cannot know, in pages: only the shadow of full mode has it.
fn shadow_pages(row: &Row, host: &Host, figure: impl Fn(&ShadowFigures) -> i64) -> Value<'static> {
    pages(row.shadow.as_ref().map(figure), host)
}

/// As [`shadow_pages`], a number.
fn shadow_number(row: &Row, figure: impl Fn(&ShadowFigures) -> u64) -> Value<'static> {
    row.shadow.as_ref().map(figure).into()
}

fn pages(pages: Option<i64>, host: &Host) -> Value<'static> {
    pages.map_or(Value::Empty, |pages| Value::Bytes(bytes(pages, host.page_size)))
}

fn unsigned_pages(pages: Option<u64>, host: &Host) -> Value<'static> {
    pages.map_or(Value::Empty, |pages| Value::Bytes(unsigned_bytes(pages, host.page_size)))
}

fn exact(row: &Row, host: &Host, member: Member) -> Value<'static> {
    pages(Some(row.exact[member.index()]), host)
}

fn global(row: &Row, host: &Host, member: Member) -> Value<'static> {
    pages(Some(row.global[member.index()]), host)
}

fn borrowed(text: &str) -> Value<'_> {
    Value::Text(Cow::Borrowed(text))
}

fn note(row: &Row) -> Value<'_> {
    match row.notes.as_slice() {
        [] => Value::Empty,
        [one] => borrowed(one.name()),
        notes => Value::Text(notes.iter().map(|note| note.name()).collect::<Vec<_>>().join(" ").into()),
    }
}

fn uncertainty(row: &Row, host: &Host) -> Value<'static> {
    if let Some(pages) = row.shadow.and_then(|it| it.uncertainty) {
        return Value::Bytes(unsigned_bytes(pages, host.page_size));
    }
    row.moved.map_or(Value::Empty, |moved| Value::AtLeast(unsigned_bytes(moved, host.page_size)))
}

/// All fields: first the columns of CSV and JSON in their fixed order, then those of the terminal only.
///
/// New columns of the contract go behind its last one, never between two.
#[rustfmt::skip]
pub static FIELDS: &[Field] = &[
    field("timestamp", "TIMESTAMP", Unit::Time, "When the row was read", |row, _| Value::Time(row.time)),
    text("host", "HOST", "Node name of the host", |_, host| borrowed(&host.hostname)),
    text("boot_id", "BOOT-ID", "The kernel's id of this boot: with pid and start_time it names a process for ever",
        |_, host| borrowed(&host.boot_id)),
    text("kernel", "KERNEL", "The kernel's release", |_, host| borrowed(&host.kernel)),
    text("mode", "MODE", "passive: nothing attached to a hot path; full: with the shadow", |_, host| borrowed(host.mode)),
    text("accounting", "ACCOUNTING", "Where the kernel caches updates of RSS: per-task or per-cpu",
        |_, host| borrowed(host.accounting.name())),
    number("pid", "PID", "Thread group id", |row, _| Value::Number(row.process.pid.into())).keep(100),
    number("start_time", "START", "Start of the process in clock ticks since boot, field 22 of /proc/PID/stat",
        |row, _| Value::Number(row.process.start_ticks)).also(&["start"]),
    number("mm_generation", "GENERATION", "Rises with every execve: a new address space under the same pid",
        |row, _| Value::Number(row.process.mm_generation)).also(&["generation"]),
    text("comm", "COMM", "Name of the process, as it set it itself", |row, _| borrowed(&row.process.comm)).keep(90),
    number("uid", "UID", "Effective user id", |row, _| row.process.uid.map(u64::from).into()),
    text("cgroup", "CGROUP", "Path of the control group: of v2, else of the memory controller",
        |row, _| row.process.cgroup.as_deref().map_or(Value::Empty, borrowed)),
    number("threads", "THREADS", "Threads of the process", |row, _| Value::Number(row.process.threads.into())),
    text("source", "SOURCE", "The /proc file whose figure is the reported one: stat, statm or status",
        |row, _| borrowed(row.source.name())),
    size("reported_bytes", "REPORTED", "What the kernel reported in the source's file",
        |row, host| pages(row.reported(), host)).also(&["reported"]).keep(80),
    size("exact_bytes", "EXACT", "What the kernel's counters add up to, with all that is still cached",
        |row, host| pages(Some(row.exact_rss()), host)).also(&["exact"]).keep(85),
    size("shadow_bytes", "SHADOW", "RSS of our own per-CPU cache (full mode)",
        |row, host| shadow_pages(row, host, |it| it.shadow)).also(&["shadow"]),
    size("drift_bytes", "DRIFT", "exact - reported; positive: the kernel under-reports",
        |row, host| pages(row.drift(), host)).also(&["drift"]).keep(95),
    size("uncertainty_bytes", "UNCERTAINTY", "What was updated between the readings of exact and of /proc (full mode)",
        |row, host| unsigned_pages(row.shadow.and_then(|it| it.uncertainty), host)),
    size("moved_bytes", "MOVED", "|second - first| of exact, read around /proc: at least so much moved",
        |row, host| unsigned_pages(row.moved, host)).also(&["moved"]),
    size("bound_bytes", "BOUND", "The largest |drift| that the source can have here; empty where there is none",
        |row, host| unsigned_pages(row.bound, host)).also(&["bound"]).keep(60),
    size("stat_bytes", "STAT", "Field 24 of /proc/PID/stat", |row, host| pages(row.files.stat, host)).also(&["stat"]),
    size("statm_bytes", "STATM", "Field 2 of /proc/PID/statm",
        |row, host| pages(row.files.statm, host)).also(&["statm"]),
    size("status_bytes", "STATUS", "VmRSS of /proc/PID/status",
        |row, host| pages(row.files.status, host)).also(&["status"]),
    size("resident_bytes", "RESIDENT", "Rss of /proc/PID/smaps_rollup, a walk of the page tables (--resident)",
        |row, host| pages(row.files.resident, host)).also(&["resident"]).keep(70),
    size("exact_file_bytes", "FILE", "Exact: pages of files",
        |row, host| exact(row, host, Member::File)).also(&["exact_file", "file"]),
    size("exact_anon_bytes", "ANON", "Exact: anonymous pages",
        |row, host| exact(row, host, Member::Anon)).also(&["exact_anon", "anon"]),
    size("exact_shmem_bytes", "SHMEM", "Exact: pages of shared memory",
        |row, host| exact(row, host, Member::Shmem)).also(&["exact_shmem", "shmem"]),
    size("exact_swap_bytes", "SWAP", "Exact: swapped out, not part of RSS",
        |row, host| exact(row, host, Member::Swap)).also(&["exact_swap", "swap"]),
    size("global_file_bytes", "GLOBAL-FILE", "The global count alone: pages of files; can be negative",
        |row, host| global(row, host, Member::File)).also(&["global_file"]),
    size("global_anon_bytes", "GLOBAL-ANON", "The global count alone: anonymous pages; can be negative",
        |row, host| global(row, host, Member::Anon)).also(&["global_anon"]),
    size("global_shmem_bytes", "GLOBAL-SHMEM", "The global count alone: pages of shared memory; can be negative",
        |row, host| global(row, host, Member::Shmem)).also(&["global_shmem"]),
    size("global_swap_bytes", "GLOBAL-SWAP", "The global count alone: swapped out; can be negative",
        |row, host| global(row, host, Member::Swap)).also(&["global_swap"]),
    size("peak_exact_bytes", "PEAK", "Largest exact figure since we know the process (full mode)",
        |row, host| shadow_pages(row, host, |it| it.peak_exact)).also(&["peak_exact", "peak"]),
    size("peak_drift_bytes", "PEAK-DRIFT", "Largest |drift| of stat since we know the process (full mode)",
        |row, host| shadow_pages(row, host, |it| it.peak_drift)).also(&["peak_drift"]),
    size("vm_hwm_bytes", "VMHWM", "VmHWM of /proc/PID/status, the kernel's own peak",
        |row, host| pages(row.files.vm_hwm, host)).also(&["vm_hwm", "hwm"]),
    number("hits", "HITS", "Updates for the process that the CPU's slot held (full mode)",
        |row, _| shadow_number(row, |it| it.hits)),
    number("misses", "MISSES", "Updates for a process that the CPU's slot did not hold (full mode)",
        |row, _| shadow_number(row, |it| it.misses)),
    number("flushes", "FLUSHES", "Slots whose pending deltas went to the shared totals (full mode)",
        |row, _| shadow_number(row, |it| it.flushes)),
    number("faults", "FAULTS", "Page faults: by our programs since we know it (--faults, per-task), else since it began",
        |row, _| row.faults().into()),
    number("missed_events", "MISSED", "Events of the host that our programs missed since the start (full mode)",
        |row, _| row.missed_events.into()).also(&["missed"]),
    text("note", "NOTE", "Remarks on the row: dead-leader, shared-mm, uncertain, died; separated by blanks",
        |row, _| note(row)).keep(75),
    field("time", "TIME", Unit::Clock, "Local time of day at which the row was read",
        |row, _| Value::Time(row.time)).keep(40).terminal_only(),
    field("drift_percent", "DRIFT%", Unit::Percent, "drift as a share of exact",
        |row, _| row.drift_percent().map_or(Value::Empty, Value::Percent)).also(&["drift%"]).keep(50).terminal_only(),
    size("shadow_error", "SHADOW-ERR", "shadow - exact: our own error, never drift (full mode)",
        |row, host| shadow_pages(row, host, |it| it.shadow - row.exact_rss())).terminal_only(),
    size("peak_error", "PEAK-ERR", "By how much the two peaks can be off: 0 while one CPU at a time runs the process",
        |row, host| unsigned_pages(row.shadow.map(|it| it.peak_error), host)).terminal_only(),
    number("events_per_miss", "PER-MISS", "Updates for each one that missed, rounded down (full mode)",
        |row, _| row.shadow.and_then(|it| (it.hits + it.misses).checked_div(it.misses)).into()).terminal_only(),
    size("uncertainty", "UNCERT", "uncertainty_bytes, or in passive mode >= moved_bytes",
        uncertainty).also(&["uncert"]).keep(65).terminal_only(),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// The contract word for word: a change here breaks the files of every user.
    const CONTRACT: &str = "timestamp,host,boot_id,kernel,mode,accounting,pid,start_time,mm_generation,comm,uid,\
        cgroup,threads,source,reported_bytes,exact_bytes,shadow_bytes,drift_bytes,uncertainty_bytes,moved_bytes,\
        bound_bytes,stat_bytes,statm_bytes,status_bytes,resident_bytes,exact_file_bytes,exact_anon_bytes,\
        exact_shmem_bytes,exact_swap_bytes,global_file_bytes,global_anon_bytes,global_shmem_bytes,\
        global_swap_bytes,peak_exact_bytes,peak_drift_bytes,vm_hwm_bytes,hits,misses,flushes,faults,missed_events,\
        note";

    #[test]
    fn the_contract_keeps_its_names_and_order() {
        let names: Vec<_> = super::super::contract().map(|field| field.name).collect();
        assert_eq!(names.join(","), CONTRACT);
    }

    #[test]
    fn no_name_is_used_twice() {
        let mut seen = HashSet::new();
        for field in FIELDS {
            for name in field.aliases.iter().chain([&field.name]) {
                assert!(seen.insert(*name), "{name} names two fields");
                assert_eq!(*name, name.to_ascii_lowercase(), "names are looked up in lower case");
            }
        }
    }

    #[test]
    fn sizes_say_so_in_their_name() {
        for field in FIELDS.iter().filter(|field| field.contract) {
            assert_eq!(field.unit == Unit::Bytes, field.name.ends_with("_bytes"), "{}", field.name);
        }
    }

    #[test]
    fn documentation_is_one_line_without_a_full_stop() {
        for field in FIELDS {
            assert!(
                !field.doc.is_empty() && !field.doc.contains('\n') && !field.doc.ends_with('.'),
                "{}",
                field.name
            );
        }
    }
}
