//! Where updates come from: the kernel's frames above the event.
//!
//! The first frames of a stack are our BPF program's and the tracepoint's. User space finds out how many from a stack that was taken
//! before ([`calibrate`]). Some paths have one more (`trace_rss_stat`, if the compiler did not inline it): it counts as a helper.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::BPF_NOEXIST,
    helpers::generated::{bpf_get_current_pid_tgid, bpf_get_stack, bpf_get_stackid},
    macros::map,
    maps::{Array, HashMap, StackTrace},
};
use rss_drift_common::{
    protocol::observer::Update,
    run::{CALIBRATION_FRAMES, CODES, Code, MemberCounts, RunCpu, SITE_FRAMES, Site, SiteCounts, kind},
};

use super::{count::add, maps};
use crate::atomic;

/// Updates by where they come from.
#[map]
static RUN_SITES: HashMap<Site, SiteCounts> = HashMap::with_max_entries(1, 0);

/// The functions that decide what kind of a site it is; put in by user space.
#[map]
static RUN_CODES: Array<Code> = Array::with_max_entries(CODES as u32, 0);

/// Stacks of misses.
#[map]
static RUN_STACKS: StackTrace = StackTrace::with_max_entries(1, 0);

/// Misses by their stack's number.
#[map]
static RUN_CHAINS: HashMap<u32, MemberCounts> = HashMap::with_max_entries(1, 0);

/// The stack that [`calibrate`] takes.
#[map]
static RUN_FRAMES: Array<[u64; CALIBRATION_FRAMES]> = Array::with_max_entries(1, 0);

/// Takes the whole stack of an event of the process that asks for it: ours, before the command begins.
#[inline(always)]
pub fn calibrate(context: *const u64) {
    if !maps::on() {
        return;
    }
    let Some(shared) = maps::shared() else { return };
    // SAFETY: map values; the context is the program's own.
    unsafe {
        if (*shared).calibrate == 0 || (*shared).calibrate != bpf_get_current_pid_tgid() >> 32 {
            return;
        }
        (*shared).calibrate = 0;
        let Some(frames) = RUN_FRAMES.get_ptr_mut(0) else { return };
        let size = (CALIBRATION_FRAMES * size_of::<u64>()) as u32;
        bpf_get_stack(context.cast_mut().cast(), frames.cast(), size, 0);
    }
}

/// Counts an update of a measured mm by its frames; a miss by its whole stack too. `context` is null
/// if a look at a task's cache found the update and no event did: only the RFC's sites use that cache.
#[inline(always)]
pub unsafe fn count(this: *mut RunCpu, context: *const u64, pages: i64, update: Update) {
    // SAFETY: `this` is a map value; the context is the program's own.
    unsafe {
        let kind = if context.is_null() { kind::RFC } else { of_event(this, context, pages, update) };
        // The verifier has to see that the index is within the array.
        let kind = if kind < kind::KINDS as u64 { kind } else { kind::UNKNOWN };
        add(&raw mut (*this).kinds[kind as usize], pages, update);
        if update == Update::Hit && kind == kind::RFC {
            (*this).rfc_live = 1;
        }
    }
}

/// Functions of ours between the place where [`calibrate`] takes a stack and the place that takes it here.
const FRAMES_OF_OURS: u64 = 1;

/// The kind of the site of an event.
#[inline(always)]
unsafe fn of_event(this: *mut RunCpu, context: *const u64, pages: i64, update: Update) -> u64 {
    let Some(shared) = maps::shared() else { return kind::UNKNOWN };
    // SAFETY: map values, and the context of the program that runs.
    unsafe {
        // How many frames to leave out is in the flags' lowest bits.
        let mut skip = ((*shared).skip + FRAMES_OF_OURS) & 0xff;
        let context: *mut c_void = context.cast_mut().cast();
        let mut site: Site = [0; SITE_FRAMES];
        bpf_get_stack(context, site.as_mut_ptr().cast(), size_of::<Site>() as u32, skip);
        // Some updates are counted deeper in our functions: then the last frame of ours is among these.
        let further = behind(&site, (*shared).last);
        if further != 0 {
            skip = (skip + further) & 0xff;
            bpf_get_stack(context, site.as_mut_ptr().cast(), size_of::<Site>() as u32, skip);
        }
        if update == Update::Miss && (*shared).chains != 0 {
            chain(this, context, skip, pages);
        }
        if let Some(counts) = find_site(&site) {
            add(&raw mut (*counts).counts, pages, update);
            return (*counts).kind;
        }
        atomic::add(&raw mut (*this).sites_lost, 1);
        classify(site[0], site[1], site[2])
    }
}

/// The number of frames up to the one with this address, itself included; 0 if it is not among them.
#[inline(always)]
const fn behind(site: &Site, last: u64) -> u64 {
    if last == 0 {
        0
    } else if site[0] == last {
        1
    } else if site[1] == last {
        2
    } else if site[2] == last {
        3
    } else {
        0
    }
}

/// A miss by its whole stack.
#[inline(always)]
unsafe fn chain(this: *mut RunCpu, context: *mut c_void, skip: u64, pages: i64) {
    // SAFETY: map values, and the context of the program that runs.
    unsafe {
        let stack = bpf_get_stackid(context, (&raw const RUN_STACKS).cast_mut().cast(), skip);
        // Negative: another stack has its place.
        if stack >= 0
            && let Some(counts) = find_chain(stack.cast_unsigned() as u32)
        {
            add(counts, pages, Update::Miss);
        } else {
            atomic::add(&raw mut (*this).chains_lost, 1);
        }
    }
}

/// If a site's function is a helper of the counters, its caller decides; at most two helpers follow each other.
#[inline(always)]
fn classify(first: u64, second: u64, third: u64) -> u64 {
    let mut kind = run_kind(first);
    if kind == kind::HELPER {
        kind = run_kind(second);
    }
    if kind == kind::HELPER {
        kind = run_kind(third);
    }
    if kind == kind::HELPER { kind::UNKNOWN } else { kind }
}

/// The kind by the function that a frame returns to. A return address may be behind the last instruction of its function.
///
/// A global function: the verifier walks it once, and not for each frame and state of its callers.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn run_kind(frame: u64) -> u64 {
    if frame == 0 {
        return kind::UNKNOWN;
    }
    let mut index = 0;
    while index < CODES as u32 {
        let Some(code) = RUN_CODES.get(index) else { break };
        if code.kind == 0 {
            break;
        }
        if frame > code.start && frame <= code.end {
            return code.kind;
        }
        index += 1;
    }
    // Without a single name nothing can be told.
    if index == 0 { kind::UNKNOWN } else { kind::OTHER }
}

const NONE: MemberCounts = MemberCounts { hits: 0, misses: 0, added: 0, removed: 0, missed: 0 };

#[inline(always)]
fn find_site(site: &Site) -> Option<*mut SiteCounts> {
    if let Some(counts) = RUN_SITES.get_ptr_mut(site) {
        return Some(counts);
    }
    let fresh = SiteCounts { kind: classify(site[0], site[1], site[2]), counts: NONE };
    // A failure: another CPU was faster, or the map is full, which the next line shows.
    let _ = RUN_SITES.insert(site, fresh, u64::from(BPF_NOEXIST));
    RUN_SITES.get_ptr_mut(site)
}

#[inline(always)]
fn find_chain(stack: u32) -> Option<*mut MemberCounts> {
    if let Some(counts) = RUN_CHAINS.get_ptr_mut(stack) {
        return Some(counts);
    }
    // As above.
    let _ = RUN_CHAINS.insert(stack, NONE, u64::from(BPF_NOEXIST));
    RUN_CHAINS.get_ptr_mut(stack)
}
