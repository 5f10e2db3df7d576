//! per-cpu accounting: the BPF programs of full mode, and where each CPU's memory lies.

use rss_drift_common::record::CpuRecord;

use super::Scheme;

/// `kmem:rss_stat`, which creates states, is last.
pub(super) static SCHEME: Scheme = Scheme {
    reader: "shadow_read",
    mmdrop: "shadow_mmdrop",
    exit_mmap: "shadow_exit_mmap",
    newtask: Some("shadow_newtask"),
    events: &[
        ("shadow_exec", "sched_process_exec"),
        ("shadow_sched_switch", "sched_switch"),
        ("shadow_fault_user", "page_fault_user"),
        ("shadow_fault_kernel", "page_fault_kernel"),
        ("shadow_rss_stat", "rss_stat"),
    ],
};

/// Each of the `possible` CPUs, in their order, with its `__per_cpu_offset`: from where the elements of a per-CPU map lie.
///
/// # Errors
/// The first CPU of which `records` says nothing.
pub(in crate::probe) fn offsets(records: &[CpuRecord], possible: &[u32]) -> Result<Vec<(u32, u64)>, u32> {
    possible
        .iter()
        .map(|&cpu| {
            records
                .iter()
                .find(|record| record.cpu == u64::from(cpu) && record.element != 0)
                // Per-CPU pointers are offsets that wrap: the kernel adds them without a carry too.
                .map(|record| (cpu, record.element.wrapping_sub(record.pointer)))
                .ok_or(cpu)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_element_minus_pointer() {
        let records = [
            CpuRecord { cpu: 0, element: 0xffff_8881_0000_1000, pointer: 0x1000 },
            CpuRecord { cpu: 1, element: 0, pointer: 0x1000 },
            CpuRecord { cpu: 2, element: 0x500, pointer: 0x1000 },
        ];
        assert_eq!(
            offsets(&records, &[0, 2]),
            Ok(vec![(0, 0xffff_8881_0000_0000), (2, 0x500_u64.wrapping_sub(0x1000))])
        );
        assert_eq!(offsets(&records, &[0, 1]), Err(1));
        assert_eq!(offsets(&records, &[3]), Err(3));
    }
}
