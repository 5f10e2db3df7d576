//! What the shadow's BPF programs report.

use aya_ebpf::helpers::generated::{
    bpf_get_current_pid_tgid, bpf_get_current_task, bpf_get_smp_processor_id,
};
use rss_drift_common::{
    protocol::observer::{Sought, Update},
    run::{Largest, MemberCounts, RunCpu, RunState},
};

use super::{
    maps::{self, on, run},
    sites,
};
use crate::{
    atomic,
    kernel::{layout, probe},
    shadow,
};

/// A state is made: notes whether its mm is measured.
#[inline(always)]
pub fn born(index: u32) {
    if !on() {
        return;
    }
    // SAFETY: no preconditions.
    if let Some(this) = maps::cpu(unsafe { bpf_get_smp_processor_id() }) {
        // SAFETY: a map value.
        unsafe {
            (*this).born = u64::from(index) + 1;
            (*this).found = [0; 4];
        }
    }
    // SAFETY: no preconditions.
    let tgid = unsafe { bpf_get_current_pid_tgid() >> 32 } as u32;
    // SAFETY: only looked at.
    if unsafe { maps::RUN_TASKS.get(tgid) }.is_some()
        && let Some(state) = maps::state(index)
    {
        // SAFETY: a map value.
        unsafe { (*state).measured = 1 };
    }
}

/// An update of `member` by this CPU. `context`: of the event's BPF program; null if a look
/// found the update. `pages` may be 0: a reading, or another CPU's event, found them first.
#[inline(always)]
pub fn update(context: *const u64, index: u32, member: u32, pages: i64, update: Update) {
    if on() && maps::measured(index).is_some() {
        update_measured(context, index, member, pages, update);
    }
}

/// A function of its own, as the stacks of all frames together have 512 bytes: a site is as large as its frames.
#[inline(never)]
fn update_measured(context: *const u64, index: u32, member: u32, pages: i64, update: Update) {
    // SAFETY: no preconditions.
    let Some(this) = maps::cpu(unsafe { bpf_get_smp_processor_id() }) else { return };
    // SAFETY: a map value, masked to the four members. By locked instructions: on 7.2 one program may interrupt another.
    unsafe {
        let member = (member & 3) as usize;
        let counts = &raw mut (*this).members[member];
        add(counts, pages, update);
        let mut pages = pages;
        if pages == 0 && (*this).born == u64::from(index) + 1 {
            // The first update of an mm makes its state, which finds the pages of that update.
            pages = (*this).found[member];
            (*this).found[member] = 0;
            add_missed(counts, pages, update);
        }
        sites::count(this, context, pages, update);
    }
}

/// Pages that were found outside of an update: when the state was made, or by the reader, which was faster than the event.
#[inline(always)]
pub fn pages(index: u32, pages: &[i64; 4]) {
    if !on() || maps::measured(index).is_none() {
        return;
    }
    // SAFETY: no preconditions.
    let Some(this) = maps::cpu(unsafe { bpf_get_smp_processor_id() }) else { return };
    // SAFETY: a map value.
    unsafe {
        add_pages(&raw mut (*this).members[0], pages[0]);
        add_pages(&raw mut (*this).members[1], pages[1]);
        add_pages(&raw mut (*this).members[2], pages[2]);
        add_pages(&raw mut (*this).members[3], pages[3]);
        if (*this).born == u64::from(index) + 1 {
            (*this).found[0] += pages[0];
            (*this).found[1] += pages[1];
            (*this).found[2] += pages[2];
            (*this).found[3] += pages[3];
        }
    }
}

/// Counts an update of so many pages.
#[inline(always)]
pub(super) unsafe fn add(counts: *mut MemberCounts, pages: i64, update: Update) {
    // SAFETY: the counts lie in a map value.
    unsafe {
        match update {
            Update::Hit => atomic::add(&raw mut (*counts).hits, 1),
            Update::Miss => atomic::add(&raw mut (*counts).misses, 1),
        }
        add_missed(counts, pages, update);
        add_pages(counts, pages);
    }
}

#[inline(always)]
unsafe fn add_missed(counts: *mut MemberCounts, pages: i64, update: Update) {
    // SAFETY: as in `add`.
    unsafe {
        if update == Update::Miss && pages != 0 {
            atomic::add(&raw mut (*counts).missed, pages.unsigned_abs());
        }
    }
}

#[inline(always)]
unsafe fn add_pages(counts: *mut MemberCounts, pages: i64) {
    // SAFETY: as in `add`.
    unsafe {
        if pages > 0 {
            atomic::add(&raw mut (*counts).added, pages.cast_unsigned());
        } else if pages < 0 {
            atomic::add(&raw mut (*counts).removed, pages.unsigned_abs());
        }
    }
}

/// This CPU's slot gives up its deltas: whether updates by the RFC's own sites are among them.
#[inline(always)]
pub fn gives_up() -> Sought {
    if !on() {
        return Sought::Absent;
    }
    // SAFETY: no preconditions.
    let Some(this) = maps::cpu(unsafe { bpf_get_smp_processor_id() }) else { return Sought::Absent };
    // SAFETY: a map value.
    unsafe {
        let live = (*this).rfc_live != 0;
        (*this).rfc_live = 0;
        if live { Sought::Present } else { Sought::Absent }
    }
}

/// A slot gave the deltas of a state up for another mm; `sought`: what [`gives_up`] said.
#[inline(always)]
pub fn flushed(index: u32, sought: Sought) {
    if !on() || maps::measured(index).is_none() {
        return;
    }
    // SAFETY: no preconditions.
    let Some(this) = maps::cpu(unsafe { bpf_get_smp_processor_id() }) else { return };
    // SAFETY: a map value.
    unsafe {
        atomic::add(&raw mut (*this).flushes, 1);
        if sought == Sought::Present {
            atomic::add(&raw mut (*this).rfc_flushes, 1);
        }
    }
}

/// This CPU takes the mm at `next`, by a context switch.
#[inline(always)]
pub fn switched(next: u64) {
    if let Some(this) = go_on_with(next) {
        // SAFETY: a map value.
        unsafe { (*this).switches += 1 };
    }
}

/// As [`switched`], by execve, which is no switch.
#[inline(always)]
pub fn executed(next: u64) {
    let _ = go_on_with(next);
}

/// What this CPU has counted, where the mm at `next` is measured and another than the CPU's last one.
#[inline(always)]
fn go_on_with(next: u64) -> Option<*mut RunCpu> {
    if !on() || next == 0 {
        return None;
    }
    // SAFETY: no preconditions.
    let this = maps::cpu(unsafe { bpf_get_smp_processor_id() })?;
    // SAFETY: map values.
    unsafe {
        let (mut id, mut measured) = (0, false);
        if let Some(index) = shadow::find(next) {
            id = shadow::id_of(index);
            measured = maps::measured(index).is_some();
        }
        // By its id too: an address is used again after its mm has ended.
        if (*this).mm == next && (*this).id == id {
            return None;
        }
        (*this).mm = next;
        (*this).id = id;
        measured.then_some(this)
    }
}

/// The mm has no user any more (`mm_users` is 0): this update is the first of its end (`mm/mmap.c:exit_mmap`).
/// What it had until then is kept. `approximate`, `exact`: its RSS by the events so far, in pages.
#[inline(always)]
pub fn last_user_gone(index: u32, mm: u64, approximate: i64, exact: i64) {
    let Some(kept) = maps::measured(index) else { return };
    // SAFETY: map values; whatever the address, a probe reads or fails.
    unsafe {
        let of = &raw mut (*kept).of;
        if (*of).ended != 0 {
            return;
        }
        (*of).ended = 1;
        (*of).hiwater = probe(mm + u64::from(run!(mm_hiwater_rss))).unwrap_or(0);
        (*of).approximate = approximate;
        (*of).exact = exact;
        if bpf_get_current_pid_tgid() >> 32 == (*of).tgid {
            let signal = probe::<u64>(bpf_get_current_task() + u64::from(layout!(task_signal))).unwrap_or(0);
            (*of).maxrss = probe(signal + u64::from(run!(signal_maxrss))).unwrap_or(0);
        }
    }
}

/// Offset of `mm_users` in an mm.
#[inline(always)]
pub fn mm_users() -> u32 {
    run!(mm_users)
}

/// A measured mm's figures.
#[inline(always)]
pub fn measured(index: u32) -> Option<*mut RunState> {
    if on() { maps::measured(index) } else { None }
}

/// A measured mm that is about to end had peaks of at least so many pages, and as many CPUs that changed it at once.
#[inline(always)]
pub fn raise_peaks(index: u32, exact: i64, drift: i64, cpus: i64) {
    let Some(kept) = measured(index) else { return };
    // SAFETY: a map value.
    unsafe {
        let of = &raw mut (*kept).of;
        if exact > (*of).peak {
            (*of).peak = exact;
        }
        if drift > (*of).drift {
            (*of).drift = drift;
        }
        if cpus > (*of).cpus {
            (*of).cpus = cpus;
        }
    }
}

/// As [`raise_peaks`], for the error of these.
#[inline(always)]
pub fn raise_unsure(index: u32, hidden: i64, twice: i64) {
    let Some(kept) = measured(index) else { return };
    // SAFETY: a map value.
    unsafe {
        let of = &raw mut (*kept).of;
        if hidden > (*of).hidden {
            (*of).hidden = hidden;
        }
        if twice > (*of).twice {
            (*of).twice = twice;
        }
    }
}

/// The end of the state at `index`: its largest figures are kept, and its index is cleared.
#[inline(always)]
pub fn ended(index: u32) {
    if !on() {
        return;
    }
    let Some(state) = maps::measured(index) else { return };
    // SAFETY: no preconditions.
    let this = maps::cpu(unsafe { bpf_get_smp_processor_id() });
    // SAFETY: map values.
    unsafe {
        let of = &raw const (*state).of;
        if let (Some(this), Some(shared)) = (this, maps::shared())
            && (*of).tgid != 0
        {
            if (*of).peak > (*this).largest.peak {
                keep(&raw mut (*this).largest, of);
            }
            // Not the mm that it had from us before it executed its program.
            if (*of).tgid == (*shared).command && (*of).executed != 0 && (*of).peak > (*this).command.peak {
                keep(&raw mut (*this).command, of);
            }
            if (*of).drift > (*this).drift.drift {
                keep(&raw mut (*this).drift, of);
            }
        }
    }
    forget(index);
}

/// Field by field: to copy a whole struct becomes a call of memcpy, which this target does not have.
#[inline(always)]
unsafe fn keep(kept: *mut Largest, of: *const Largest) {
    // SAFETY: both lie in map values.
    unsafe {
        (*kept).tgid = (*of).tgid;
        copy_comm((&raw mut (*kept).comm).cast(), (&raw const (*of).comm).cast());
        (*kept).peak = (*of).peak;
        (*kept).drift = (*of).drift;
        (*kept).cpus = (*of).cpus;
        (*kept).hidden = (*of).hidden;
        (*kept).twice = (*of).twice;
        (*kept).ended = (*of).ended;
        (*kept).hiwater = (*of).hiwater;
        (*kept).approximate = (*of).approximate;
        (*kept).exact = (*of).exact;
        (*kept).maxrss = (*of).maxrss;
    }
}

/// Copies a name: two words.
#[inline(always)]
unsafe fn copy_comm(to: *mut u64, from: *const u64) {
    // SAFETY: both are names of 16 bytes in map values, at a multiple of 8.
    unsafe {
        core::ptr::write_volatile(to, core::ptr::read_volatile(from));
        core::ptr::write_volatile(to.add(1), core::ptr::read_volatile(from.add(1)));
    }
}

/// Clears what is kept at this index, so that its next mm begins with nothing.
#[inline(always)]
pub fn forget(index: u32) {
    if !on() {
        return;
    }
    let Some(state) = maps::state(index) else { return };
    // SAFETY: a map value. Volatile, or the stores become a call of memset, which on BPF goes byte by byte.
    unsafe {
        (*state).measured = 0;
        let words: *mut u64 = (&raw mut (*state).of).cast();
        let mut word = 0;
        while word < size_of::<Largest>() / size_of::<u64>() {
            core::ptr::write_volatile(words.add(word), 0);
            word += 1;
        }
    }
}
