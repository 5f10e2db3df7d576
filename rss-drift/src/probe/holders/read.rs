//! Reading holders: by a BPF program of its own on per-cpu accounting, from the tasks' records on per-task.

use aya::{Btf, Ebpf, Endianness};
use rss_drift_common::record::{TARGETS, Targets};

use crate::{
    kernel::{
        Kernel,
        btf::{Target, blob_of},
    },
    probe::{
        error::ProbeError,
        holders::list::{Holders, agree, of_slots, of_tasks},
        maps,
        programs::load_iterator,
        stream::Stream,
    },
};

/// The BPF program that writes what each CPU's slots hold.
const PROGRAM: &str = "rss_holders";
/// The map that says which processes it is about.
const MAP: &str = "HOLDER_TARGETS";
/// How often a reading that a fold or a sync disturbed is repeated.
const ATTEMPTS: usize = 6;

/// per-task accounting: passes over all tasks until two of them agree.
pub(in crate::probe) fn in_tasks(
    ebpf: &mut Ebpf,
    stream: &mut Stream,
    pids: &[u32],
    give_up: &dyn Fn() -> bool,
) -> Result<Option<Vec<Holders>>, ProbeError> {
    let mut before = of_tasks(&stream.read(ebpf)?, pids);
    for _ in 1..ATTEMPTS {
        if give_up() {
            return Ok(None);
        }
        let mut after = of_tasks(&stream.read(ebpf)?, pids);
        let all = agree(&before, &mut after);
        before = after;
        if all {
            break;
        }
    }
    Ok(Some(before))
}

/// per-cpu accounting: reads slots. Its BPF program is loaded when it is first asked for.
#[derive(Debug)]
pub(in crate::probe) struct SlotReader {
    stream: Option<Stream>,
    /// Numbers of the possible CPUs, by their place in `CPU_OFFSETS`.
    possible: Vec<u32>,
    /// What its BPF program attaches to.
    targets: Vec<Target>,
}

impl SlotReader {
    /// A reader for this kernel.
    pub(in crate::probe) fn new(kernel: &Kernel) -> Self {
        Self { stream: None, possible: kernel.cpus.possible.clone(), targets: kernel.targets.clone() }
    }

    /// What the slots of all CPUs hold of the mms of `pids`.
    pub(in crate::probe) fn read(
        &mut self,
        ebpf: &mut Ebpf,
        pids: &[u32],
        kernel: &str,
        give_up: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<Holders>>, ProbeError> {
        if self.stream.is_none() {
            let btf = Btf::parse(&blob_of(&self.targets), Endianness::default())?;
            load_iterator(ebpf, PROGRAM, &btf, kernel)?;
        }
        let stream = self.stream.get_or_insert(Stream::new(PROGRAM));
        let mut found = Vec::with_capacity(pids.len());
        for group in pids.chunks(TARGETS) {
            set_targets(ebpf, group)?;
            let mut lists: Vec<Holders> = Vec::new();
            for _ in 0..ATTEMPTS {
                if give_up() {
                    return Ok(None);
                }
                merge(&mut lists, of_slots(&stream.read(ebpf)?, &self.possible));
                if lists.iter().all(|list| list.valid) {
                    break;
                }
            }
            found.extend(lists);
        }
        Ok(Some(found))
    }
}

/// Says to the BPF program which processes it is about.
fn set_targets(ebpf: &mut Ebpf, group: &[u32]) -> Result<(), ProbeError> {
    let mut targets = Targets::default();
    for (target, pid) in targets.0.iter_mut().zip(group) {
        *target = *pid;
    }
    maps::set(ebpf, MAP, 0, targets)
}

/// Takes over what a repeated reading found: what was valid already stays, of the rest the last is as good as any.
fn merge(lists: &mut Vec<Holders>, again: Vec<Holders>) {
    for list in again {
        match lists.iter_mut().find(|known| known.pid == list.pid && known.mm == list.mm) {
            Some(known) if known.valid => {}
            Some(known) => *known = list,
            None => lists.push(list),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::Holder;

    #[test]
    fn a_repeated_reading_replaces_only_what_was_not_valid() {
        let list = |pid, pages, valid| Holders {
            pid,
            mm: pid.into(),
            held: vec![(Holder::Cpu(0), [pages, 0, 0, 0])],
            valid,
        };
        let mut lists = vec![list(1, 10, true), list(2, 20, false)];
        merge(&mut lists, vec![list(1, 11, true), list(2, 21, true), list(3, 30, true)]);
        assert_eq!(lists, [list(1, 10, true), list(2, 21, true), list(3, 30, true)]);
    }
}
