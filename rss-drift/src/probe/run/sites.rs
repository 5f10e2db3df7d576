//! From where updates come, for `rss-drift run`: the frames above their events.

use aya::{Ebpf, EbpfLoader, maps::StackTraceMap};
use rss_drift_common::run::{CALIBRATION_FRAMES, CODES, Code, MemberCounts, RunShared, Site, SiteCounts};

use super::SHARED;
use crate::{
    kernel::{rfc, symbols::Symbols},
    probe::{
        error::ProbeError,
        maps::{self, Value, array_mut, failed, hash, hash_mut, map, set_all},
    },
};

const SITES: &str = "RUN_SITES";
const CHAINS: &str = "RUN_CHAINS";
const STACKS: &str = "RUN_STACKS";
const FRAMES: &str = "RUN_FRAMES";
const CODE: &str = "RUN_CODES";

/// Sites that are kept apart. Some dozens of functions change the counters, some of them on several ways.
const MOST_SITES: u32 = 2048;
/// Stacks that are kept apart, of a KiB each. They share places by a hash: many more places than stacks.
const MOST_STACKS: u32 = 4096;

/// Misses with one stack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// Return addresses, that of the function that updated first.
    pub frames: Vec<u64>,
    /// Updates.
    pub misses: u64,
}

/// Whether the stacks of misses are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chains {
    /// They are, which costs a look at the stack of each miss.
    Counted,
    /// They are not.
    Ignored,
}

pub(super) fn size_maps(loader: &mut EbpfLoader<'_>) {
    loader
        .map_max_entries(SITES, MOST_SITES)
        .map_max_entries(STACKS, MOST_STACKS)
        .map_max_entries(CHAINS, MOST_STACKS);
}

/// Begins anew.
pub(super) fn forget(ebpf: &mut Ebpf) -> Result<(), ProbeError> {
    let mut sites = hash_mut::<Site, Value<SiteCounts>>(ebpf, SITES)?;
    for site in sites.keys().filter_map(Result::ok).collect::<Vec<_>>() {
        sites.remove(&site).map_err(failed(SITES))?;
    }
    let mut chains = hash_mut::<u32, Value<MemberCounts>>(ebpf, CHAINS)?;
    for stack in chains.keys().filter_map(Result::ok).collect::<Vec<_>>() {
        chains.remove(&stack).map_err(failed(CHAINS))?;
    }
    Ok(())
}

/// Tells the BPF programs where the functions are by which sites are told, and has sites and stacks begin above the event; before
/// `Probe::begin_run`.
pub(in crate::probe) fn prepare(
    ebpf: &mut Ebpf,
    symbols: Option<&Symbols>,
    chains: Chains,
) -> Result<(), ProbeError> {
    let codes = symbols.map(rfc::codes).unwrap_or_default();
    let mut array = array_mut::<Code>(ebpf, CODE)?;
    for (index, code) in (0..).zip(codes.iter().take(CODES)) {
        array.set(index, Value(*code), 0).map_err(failed(CODE))?;
    }
    // Without names the frames of the BPF program and of the tracepoint cannot be told from the others: they stay.
    let ours = symbols.map_or(Ok(Vec::new()), |symbols| calibrate(ebpf, symbols))?;
    let (skip, last) = (ours.len() as u64, ours.last().copied().unwrap_or(0));
    set_all(ebpf, SHARED, |shared| RunShared {
        skip,
        last,
        chains: u64::from(chains == Chains::Counted),
        ..shared
    })
}

/// The frames of a stack that are ours and the tracepoint's, by the stack of an event of our own.
fn calibrate(ebpf: &mut Ebpf, symbols: &Symbols) -> Result<Vec<u64>, ProbeError> {
    let pid = std::process::id();
    set_all(ebpf, SHARED, |shared| RunShared { calibrate: pid.into(), ..shared })?;
    // A page that comes and goes is an event under both accountings.
    // SAFETY: a new mapping that nobody else knows, written to and given back.
    unsafe {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let page = libc::mmap(std::ptr::null_mut(), 4096, protection, flags, -1, 0);
        if page != libc::MAP_FAILED {
            page.cast::<u8>().write_volatile(1);
            libc::munmap(page, 4096);
        }
    }
    let frames: [u64; CALIBRATION_FRAMES] = maps::get(ebpf, FRAMES, 0)?;
    let names: Vec<_> = frames.iter().map(|&frame| symbols.caller(frame).unwrap_or("?")).collect();
    log::debug!("frames of an event: {}", names.join(" "));
    let ours = names.iter().take_while(|name| is_of_the_event(name)).count();
    Ok(frames[..ours].to_vec())
}

/// A frame of the BPF program, or of the tracepoint that calls it. Not each of them is there: a function whose last instruction is a
/// jump to the next leaves no frame.
fn is_of_the_event(name: &str) -> bool {
    name.starts_with("bpf_")
        || matches!(name, "__bpf_trace_rss_stat" | "__traceiter_rss_stat" | "mm_trace_rss_stat")
}

/// Updates by where they came from.
pub(in crate::probe) fn sites(ebpf: &Ebpf) -> Result<Vec<(Site, SiteCounts)>, ProbeError> {
    let map = hash::<Site, Value<SiteCounts>>(ebpf, SITES)?;
    let sites = map.iter().map(|entry| entry.map(|(site, Value(counts))| (site, counts)));
    sites.collect::<Result<_, _>>().map_err(failed(SITES))
}

/// Misses by their stacks, the most frequent first.
pub(in crate::probe) fn chains(ebpf: &Ebpf) -> Result<Vec<Chain>, ProbeError> {
    let counted = hash::<u32, Value<MemberCounts>>(ebpf, CHAINS)?;
    let stacks = StackTraceMap::try_from(map(ebpf, STACKS)?).map_err(failed(STACKS))?;
    let mut chains = Vec::new();
    for entry in &counted {
        let (stack, Value(counts)) = entry.map_err(failed(CHAINS))?;
        let stack = stacks.get(&stack, 0).map_err(failed(STACKS))?;
        let frames = stack.frames().iter().map(|frame| frame.ip).collect();
        chains.push(Chain { frames, misses: counts.misses });
    }
    chains.sort_by(|one, other| other.misses.cmp(&one.misses).then_with(|| one.frames.cmp(&other.frames)));
    Ok(chains)
}
