//! What bounds the drift on this kernel.

use rss_drift_common::Member;

use crate::{
    drift::{behaviour::Precisions, bounds::Batching},
    kernel::{Accounting, Kernel, checks::Check},
    proc::{Precision, Source},
};

/// What bounds follow from on this kernel.
pub(super) fn batching(kernel: &Kernel) -> Batching<'_> {
    Batching {
        accounting: kernel.accounting,
        cpus: &kernel.cpus,
        pages_per_fault: kernel.fault_around.pages(kernel.page_size),
        caches: kernel.caches(),
    }
}

/// The largest |drift| that each file can have, as a check of `doctor`.
pub(super) fn bounds(kernel: &Kernel, precisions: Precisions) -> Check {
    let batching = batching(kernel);
    let kib = |pages: u64| pages.saturating_mul(kernel.page_size) / 1024;
    let mut of_each = Vec::new();
    for precision in [Precision::Approximate, Precision::Unknown, Precision::Exact] {
        let names: Vec<_> = Source::ALL
            .iter()
            .filter(|&&source| precisions.of(source) == precision)
            .map(|source| source.name())
            .collect();
        if names.is_empty() {
            continue;
        }
        let bound = batching.bound(precision, 1);
        let members = Member::RSS
            .map(|member| format!("{} {}", member.name(), kib(batching.member_bound(member, precision, 1))));
        let members = if bound == 0 { String::new() } else { format!(" ({})", members.join(", ")) };
        of_each.push(format!("{} {} KiB{members}", names.join(", "), kib(bound)));
    }
    let of_each = of_each.join(", ");
    let why = match kernel.accounting {
        Accounting::PerCpu if !kernel.caches() => {
            "no CONFIG_SMP: the kernel caches nothing, so nothing drifts".to_owned()
        }
        Accounting::PerCpu => {
            format!("{} CPUs online, batch {} pages", kernel.cpus.online.len(), kernel.cpus.batch())
        }
        Accounting::PerTask => format!(
            "for each task that uses the memory; a page fault on a file maps {} KiB{}; no bound for a process that receives \
             TCP by zerocopy",
            kernel.fault_around.bytes / 1024,
            if kernel.fault_around.known { "" } else { " (the default: debugfs does not show it)" },
        ),
    };
    Check::ok("bound", format!("{of_each}; {why}"))
}
